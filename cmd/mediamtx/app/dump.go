package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of what dumps may take.
const (
	maxDumpFile  = 64 << 20 // bytes of one connection
	maxDumpTotal = 1 << 30  // bytes of one run of the server
	maxDumpFiles = 20_000   // of one run of the server
	maxDumps     = 512      // files that are open
)

// dumper writes what goes between servers and their clients to capture files,
// while that is switched on. The zero value is off.
type dumper struct {
	log     *slog.Logger
	enabled atomic.Bool
	peers   dumpPeers

	mu    sync.Mutex // innermost
	dir   string     // empty: off
	total int64
	files int
	open  int
	full  bool // it was said that nothing more is dumped
}

// Configure switches it on, for connections to come, or off, for all.
func (d *dumper) Configure(on bool, dir string) {
	if !on {
		dir = ""
	}
	d.mu.Lock()
	d.dir = dir
	d.mu.Unlock()
	d.enabled.Store(on)
	if !on {
		d.peers.forget()
	}
}

// dumpDir is beside the log.
func dumpDir(logFile string) string { return filepath.Join(filepath.Dir(logFile), "dump") }

// create opens a file for what is exchanged with a client; nil if it is not dumped.
func (d *dumper) create(kind string, remote netip.AddrPort, now time.Time) *dumpFile {
	dir, ok := d.enter()
	if !ok {
		return nil
	}
	name := fmt.Sprintf("%s_%s_%s.pcap", now.UTC().Format("20060102-150405.000000"), kind,
		strings.NewReplacer(":", "-", "[", "", "]", "", "%", "-").Replace(remote.String()))
	err := os.MkdirAll(dir, 0o700)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	}
	if err != nil {
		d.leave()
		d.log.Error("connection is not dumped", "protocol", kind, "remote", remote.String(), "error", err)
		return nil
	}
	return &dumpFile{d: d, file: f, left: maxDumpFile}
}

func (d *dumper) enter() (dir string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == "" || d.open >= maxDumps {
		return "", false
	}
	if d.total >= maxDumpTotal || d.files >= maxDumpFiles {
		d.say()
		return "", false
	}
	d.open++
	d.files++
	return d.dir, true
}

func (d *dumper) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
}

// take tells whether n more bytes may be written.
func (d *dumper) take(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == "" {
		return false
	}
	if d.total+int64(n) > maxDumpTotal {
		d.say()
		return false
	}
	d.total += int64(n)
	return true
}

// say says once that the limits are reached. The caller holds d.mu.
func (d *dumper) say() {
	if !d.full {
		d.full = true
		d.log.Warn("nothing more is dumped until the server is started again", "bytes", d.total, "files", d.files)
	}
}

// dumpFile is a file of a dump that keeps to the limits. It belongs to one
// goroutine at a time.
type dumpFile struct {
	d    *dumper
	file *os.File // nil: over
	left int      // bytes
}

var errDumpFull = errors.New("the file is large enough")

// Write implements io.Writer.
func (f *dumpFile) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 || !f.d.take(len(b)) {
		return 0, errDumpFull
	}
	return f.file.Write(b)
}

// close ends the file, because of an error unless it is nil.
func (f *dumpFile) close(err error) {
	if f.file == nil {
		return
	}
	_ = f.file.Close()
	f.file = nil
	f.d.leave()
	if err != nil && !errors.Is(err, errDumpFull) {
		f.d.log.Error("connection is dumped no further", "error", err)
	}
}

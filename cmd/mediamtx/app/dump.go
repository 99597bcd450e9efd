package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Limits of what dumps may take.
const (
	maxDumpFile  = 64 << 20 // bytes of one connection
	maxDumpTotal = 1 << 30  // bytes of one run of the server
	maxDumps     = 512      // files that are open
)

// dumper writes what goes over TCP connections to capture files, while that is
// switched on. The zero value is off.
type dumper struct {
	log *slog.Logger

	mu    sync.Mutex
	dir   string // empty: off
	total int64
	open  int
	full  bool // it was said that nothing more is dumped
}

// Configure switches it on, for connections to come, or off, for all.
func (d *dumper) Configure(on bool, dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !on {
		dir = ""
	}
	d.dir = dir
}

// dumpDir is beside the log.
func dumpDir(logFile string) string { return filepath.Join(filepath.Dir(logFile), "dump") }

// Conn returns a connection that is dumped, or the connection itself.
func (d *dumper) Conn(protocol string, c net.Conn) net.Conn {
	dir, ok := d.enter()
	if !ok {
		return c
	}
	local, err1 := netip.ParseAddrPort(c.LocalAddr().String())
	remote, err2 := netip.ParseAddrPort(c.RemoteAddr().String())
	now := time.Now()
	name := fmt.Sprintf("%s_%s_%s.pcap", now.UTC().Format("20060102-150405.000000"), protocol,
		strings.NewReplacer(":", "-", "[", "", "]", "", "%", "-").Replace(c.RemoteAddr().String()))
	err := errors.Join(err1, err2, os.MkdirAll(dir, 0o700))
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	}
	if err != nil {
		d.leave()
		d.log.Error("connection is not dumped", "protocol", protocol, "remote", c.RemoteAddr(), "error", err)
		return c
	}
	dc := &dumpedConn{Conn: c, d: d, file: f, left: maxDumpFile}
	dc.pcap, err = newPcap(dumpFile{dc}, local, remote, now)
	dc.failed(err)
	return dc
}

func (d *dumper) enter() (dir string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == "" || d.open >= maxDumps || d.total >= maxDumpTotal {
		return "", false
	}
	d.open++
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
		if !d.full {
			d.full = true
			d.log.Warn("nothing more is dumped until the server is started again", "bytes", d.total)
		}
		return false
	}
	d.total += int64(n)
	return true
}

// dumpedConn is a connection with its file.
type dumpedConn struct {
	net.Conn
	d *dumper

	mu   sync.Mutex
	file *os.File // nil: over
	pcap *pcap
	left int // bytes
}

var errDumpFull = errors.New("the file is large enough")

// dumpFile is where the capture of a connection is written, within the limits.
type dumpFile struct{ c *dumpedConn }

func (f dumpFile) Write(b []byte) (int, error) {
	c := f.c
	if c.left -= len(b); c.left < 0 || !c.d.take(len(b)) {
		return 0, errDumpFull
	}
	return c.file.Write(b)
}

func (c *dumpedConn) record(out bool, b []byte) {
	if len(b) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil {
		c.failed(c.pcap.data(out, b, time.Now()))
	}
}

// failed ends the file if there is an error.
func (c *dumpedConn) failed(err error) {
	if err == nil || c.file == nil {
		return
	}
	_ = c.file.Close()
	c.file = nil
	c.d.leave()
	if !errors.Is(err, errDumpFull) {
		c.d.log.Error("connection is dumped no further", "error", err)
	}
}

// Read implements net.Conn.
func (c *dumpedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.record(false, b[:n])
	return n, err
}

// Write implements net.Conn. It records first: when the other side has the bytes,
// it may answer, or close the connection.
func (c *dumpedConn) Write(b []byte) (int, error) {
	c.record(true, b)
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *dumpedConn) Close() error {
	c.mu.Lock()
	if c.file != nil {
		_ = c.pcap.end(time.Now())
		c.failed(errDumpFull)
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

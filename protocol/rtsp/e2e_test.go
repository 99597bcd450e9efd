//go:build e2e

package rtsp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
)

// patience bounds what a client may take; it is generous, since tests share the
// processors.
const patience = 30 * time.Second

// slots bounds how many tests run clients at the same time: players and encoders
// that get no processor lose packets, which is no fault of the server.
var slots = make(chan struct{}, 3)

// takeSlot makes a test parallel, within bounds.
func takeSlot(t *testing.T) {
	t.Helper()
	t.Parallel()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
}

// needs skips a test if a program is missing, and fails it on CI servers, which
// have everything. Names that begin with "gst:" are elements of GStreamer.
func needs(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		var err error
		if element, ok := strings.CutPrefix(name, "gst:"); ok {
			err = exec.Command("gst-inspect-1.0", "--exists", element).Run()
		} else {
			_, err = exec.LookPath(name)
		}
		switch {
		case err == nil:
		case os.Getenv("CI") != "":
			t.Fatalf("%s is not installed", name)
		default:
			t.Skipf("%s is not installed", name)
		}
	}
}

// e2eServer is a router with an RTSP server at a random port.
type e2eServer struct {
	*router.Router
	scheme, port string
	credentials  string // "user:password@", of the URLs
}

// serve runs a server in which every path exists, until the end of the test.
func serve(t *testing.T, conf *rtsp.Server, edit ...func(*router.Config)) *e2eServer {
	t.Helper()
	conf.Addr, conf.RTPAddr, conf.RTCPAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if conf.Transports == nil {
		conf.Transports = []rtsp.Transport{rtsp.UDP, rtsp.TCP}
	}
	cfg := router.Config{
		Protocols: []router.Protocol{conf},
		Paths:     []router.PathConfig{{Name: router.AllOthers}},
		AuthPause: -1,
	}
	for _, f := range edit {
		f(&cfg)
	}
	logs := &lockedBuffer{}
	r, err := router.New(cfg, router.WithLogger(slog.New(slog.NewTextHandler(logs, nil))))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		if t.Failed() {
			t.Logf("log of the server:\n%s", logs)
		}
	})
	_, port, err := net.SplitHostPort(r.ProtocolAddrs(conf.Name())[0].String())
	if err != nil {
		t.Fatal(err)
	}
	return &e2eServer{Router: r, scheme: conf.Name(), port: port}
}

func (s *e2eServer) url(path string) string {
	return fmt.Sprintf("%s://%s127.0.0.1:%s/%s", s.scheme, s.credentials, s.port, path)
}

// waitReady waits until somebody publishes.
func (s *e2eServer) waitReady(t *testing.T, path string) {
	t.Helper()
	ready := make(chan struct{})
	var once sync.Once
	defer s.Observe(router.Hooks{PathReady: func(ev router.PathEvent) func() {
		if ev.Path == path {
			once.Do(func() { close(ready) })
		}
		return nil
	}})()
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatalf("nobody has published on %q", path)
	}
}

// checkLosses fails if packets did not arrive, were damaged, or were not sent.
// Call it while the publisher is there.
func (s *e2eServer) checkLosses(t *testing.T) {
	t.Helper()
	found := false
	for info := range s.Sessions(s.scheme + "Session") {
		d, ok := info.Details.(*rtsp.SessionDetails)
		if !ok {
			t.Fatalf("details are %T", info.Details)
		}
		found = true
		t.Logf("state %s: %d packets in, %d packets out", d.State, d.InboundRTPPackets, d.OutboundRTPPackets)
		if d.InboundRTPPacketsLost != 0 || d.InboundRTPPacketsInError != 0 || d.OutboundRTPPacketsDiscarded != 0 {
			t.Errorf("state %s: %d packets lost, %d in error, %d discarded",
				d.State, d.InboundRTPPacketsLost, d.InboundRTPPacketsInError, d.OutboundRTPPacketsDiscarded)
		}
	}
	if !found {
		t.Error("there is no session")
	}
}

// program is an external program at work.
type program struct {
	cmd            *exec.Cmd
	stdout, stderr lockedBuffer
	done           chan struct{}
	err            error // once done is closed
}

// launch starts a program that ends with the test. What it printed is shown if
// the test fails.
func launch(t *testing.T, name string, args ...string) *program {
	t.Helper()
	return launchIn(t, nil, name, args...)
}

// launchIn starts a program in an empty folder, with additions to the environment.
func launchIn(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s %s\n%s", name, strings.Join(args, " "), tail(p.stderr.String()))
		}
	})
	return p
}

// wait waits until the program has ended well.
func (p *program) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		if p.err != nil {
			t.Fatalf("%s: %v\n%s", filepath.Base(p.cmd.Path), p.err, tail(p.stderr.String()))
		}
	case <-time.After(patience):
		t.Fatalf("%s has not ended", filepath.Base(p.cmd.Path))
	}
}

// stop ends the program as a user would, and kills it if that does not help.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// tail is the end of a text: what is of interest in the output of a program.
func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "..." + s[len(s)-most:]
	}
	return s
}

// run runs a program to its end and returns what it printed.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), errors.Join(err, ctx.Err()), tail(stderr.String()))
	}
	return out
}

// lockedBuffer is written to by one goroutine and read by others.
type lockedBuffer struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed at the next write; nil if nobody waits
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// waitFor waits until the text is as wanted, or for too long.
func (b *lockedBuffer) waitFor(limit time.Duration, wanted func(string) bool) bool {
	expired := time.After(limit)
	for {
		b.mu.Lock()
		text := b.buf.String()
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		if wanted(text) {
			return true
		}
		select {
		case <-changed:
		case <-expired:
			return false
		}
	}
}

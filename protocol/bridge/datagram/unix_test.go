package datagram

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router/routertest"
)

func dial(t *testing.T, network, path string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestUnixStream(t *testing.T) {
	t.Parallel()
	var l routertest.Log
	path := filepath.Join(t.TempDir(), "s")
	c, err := Listen(t.Context(), Address{Network: Unix, Path: path}, Options{Log: l.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !c.Stream() {
		t.Error("it is a stream")
	}
	_ = dial(t, "unix", path).Close() // only looks
	mute := dial(t, "unix", path)     // says nothing
	got := make(chan string, 1)
	go func() {
		b, err := c.Receive(100 * time.Millisecond)
		if err != nil {
			got <- err.Error()
			return
		}
		got <- string(b[0])
	}()
	_ = mute.SetReadDeadline(time.Now().Add(patience))
	if _, err := mute.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("who is mute stays connected: %v", err)
	}
	first := dial(t, "unix", path)
	if _, err := first.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "hello" {
		t.Fatal(s)
	}
	second := dial(t, "unix", path)
	_ = second.SetReadDeadline(time.Now().Add(patience))
	if _, err := second.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a second sender is accepted: %v", err)
	}
	if !strings.Contains(l.String(), "second sender") {
		t.Error("no warning")
	}
	if _, err := c.Receive(10 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("silence: %v", err)
	}
	_ = first.Close()
	if _, err := c.Receive(patience); !errors.Is(err, io.EOF) {
		t.Errorf("the sender left: %v", err)
	}
}

func TestUnixgram(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	c, err := Listen(t.Context(), Address{Network: Unixgram, Path: path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 { // senders come and go
		s := dial(t, "unixgram", path)
		for _, d := range []string{"a", "bc"} {
			if _, err := s.Write([]byte(d)); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.Close()
		if got := receiveN(t, c, 2); string(got[0]) != "a" || string(got[1]) != "bc" {
			t.Errorf("%q", got)
		}
	}
}

func TestSocketFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, ca := range []struct {
		name string
		make func(t *testing.T, path string)
		want string // in the error; empty if the file is replaced
	}{
		{"stale stream", func(t *testing.T, path string) {
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			ln.(*net.UnixListener).SetUnlinkOnClose(false)
			_ = ln.Close()
		}, ""},
		{"stale datagram", func(t *testing.T, path string) {
			c, err := net.ListenPacket("unixgram", path)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.Close()
		}, ""},
		{"live stream", func(t *testing.T, path string) {
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ln.Close() })
		}, "somebody listens"},
		{"live datagram", func(t *testing.T, path string) {
			c, err := net.ListenPacket("unixgram", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
		}, "somebody listens"},
		{"file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "no socket"},
		{"directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "no socket"},
		{"missing/folder", func(*testing.T, string) {}, "no such file or directory"},
	} {
		for _, network := range []Network{Unix, Unixgram} {
			path := filepath.Join(dir, ca.name+string(network))
			ca.make(t, path)
			c, err := Listen(t.Context(), Address{Network: network, Path: path}, Options{})
			if err == nil {
				c.Close()
			}
			if (err == nil) != (ca.want == "") || err != nil && !strings.Contains(err.Error(), ca.want) {
				t.Errorf("%s, %s: %v", ca.name, network, err)
			}
			if _, err := os.Lstat(path); strings.Contains(ca.want, "s") && err != nil && !strings.Contains(ca.name, "missing") {
				t.Errorf("%s: it is gone: %v", ca.name, err)
			}
		}
	}
}

package datagram

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router/routertest"
)

const patience = 20 * time.Second

// listen opens a socket on a random port.
func listen(t *testing.T, a Address, o Options) (*Conn, int) {
	t.Helper()
	var err error
	for range 20 {
		var pc net.PacketConn
		if pc, err = net.ListenPacket("udp", ":0"); err != nil {
			t.Fatal(err)
		}
		port := pc.LocalAddr().(*net.UDPAddr).Port
		_ = pc.Close()
		a.Network, a.Port = UDP, uint16(port)
		var c *Conn
		if c, err = Listen(t.Context(), a, o); err == nil {
			t.Cleanup(c.Close)
			return c, port
		}
	}
	t.Fatal(err)
	return nil, 0
}

// sendTo sends datagrams from a local address.
func sendTo(t *testing.T, local, remote string, data ...[]byte) {
	t.Helper()
	from, err := net.ResolveUDPAddr("udp", local)
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", remote)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialUDP("udp", from, to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, d := range data {
		if _, err := c.Write(d); err != nil {
			t.Fatal(err)
		}
	}
}

// receiveN collects n datagrams.
func receiveN(t *testing.T, c *Conn, n int) [][]byte {
	t.Helper()
	var out [][]byte
	for len(out) < n {
		packets, err := c.Receive(patience)
		if err != nil {
			t.Fatalf("%d datagrams: %v", len(out), err)
		}
		for _, p := range packets {
			out = append(out, bytes.Clone(p))
		}
	}
	return out
}

func TestUnicast(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct{ host, local, remote string }{
		{"127.0.0.1", "127.0.0.1:0", "127.0.0.1"},
		{"localhost", "127.0.0.1:0", "127.0.0.1"},
		{"0.0.0.0", "127.0.0.1:0", "127.0.0.1"},
		{"", "127.0.0.1:0", "127.0.0.1"},
		{"", "[::1]:0", "[::1]"},
		{"::", "127.0.0.1:0", "127.0.0.1"},
		{"::1", "[::1]:0", "[::1]"},
	} {
		t.Run(ca.host+" from "+ca.remote, func(t *testing.T) {
			t.Parallel()
			c, port := listen(t, Address{Host: ca.host}, Options{ReadBuffer: 1 << 17})
			sizes := []int{1, 188, 1316, 0, 1400, 9000, 65507}
			var data [][]byte
			for i, n := range sizes {
				data = append(data, bytes.Repeat([]byte{byte(i)}, n))
			}
			sendTo(t, ca.local, fmt.Sprintf("%s:%d", ca.remote, port), data...)
			got := receiveN(t, c, len(sizes)-1) // the empty one does not count
			want := slices.Delete(data, 3, 4)
			for i := range want {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("datagram %d has %d bytes, want %d", i, len(got[i]), len(want[i]))
				}
			}
			if c.Stream() {
				t.Error("datagrams are a stream")
			}
		})
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"0.0.0.0", "::"} {
		c, port := listen(t, Address{Host: host, Source: netip.MustParseAddr("127.0.0.2")}, Options{})
		to := fmt.Sprintf("127.0.0.1:%d", port)
		sendTo(t, "127.0.0.3:0", to, []byte("wrong"))
		sendTo(t, "127.0.0.2:0", to, []byte("right"))
		sendTo(t, "127.0.0.1:0", to, []byte("wrong"))
		if got := receiveN(t, c, 1); string(got[0]) != "right" {
			t.Errorf("%q", got)
		}
		if p, err := c.Receive(50 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q, %v", p, err)
		}
	}
}

func TestTimeoutAndEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, a := range []Address{
		{Network: UDP, Host: "127.0.0.1"},
		{Network: Unix, Path: filepath.Join(dir, "a")},
		{Network: Unixgram, Path: filepath.Join(dir, "b")},
	} {
		t.Run(string(a.Network), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var c *Conn
			if a.Network == UDP {
				_, port := listen(t, a, Options{})
				a.Port = uint16(port)
				if _, err := Listen(ctx, a, Options{}); err == nil || !strings.Contains(err.Error(), "address already in use") ||
					strings.Count(err.Error(), "127.0.0.1") != 1 {
					t.Errorf("a port that is used: %v", err)
				}
				a.Host = "127.0.0.9"
			}
			c, err := Listen(ctx, a, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if a.Network != Unix {
				if _, err := c.Receive(0); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("nothing was sent: %v", err)
				}
			}
			time.AfterFunc(10*time.Millisecond, cancel)
			if _, err := c.Receive(patience); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after the end: %v", err)
			}
			c.Close()
			c.Close()
			if a.Path != "" {
				if _, err := os.Lstat(a.Path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the file is left: %v", err)
				}
			}
		})
	}
	if _, err := Listen(t.Context(), Address{Network: "tcp"}, Options{}); err == nil {
		t.Error("there is no such network")
	}
	if _, err := Listen(t.Context(), Address{Network: UDP, Host: "host.invalid", Port: 1}, Options{}); err == nil ||
		!strings.Contains(err.Error(), "cannot be resolved") {
		t.Errorf("unknown host: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	var l routertest.Log
	a := Address{Host: "127.0.0.1", Interface: "eth0", Unknown: []string{"pkt_size"}}
	listen(t, a, Options{Log: l.Logger(), ReadBuffer: 1 << 30})
	for _, want := range []string{"pkt_size", "the interface has no effect", "smaller UDP read buffer"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("no warning %q in:\n%s", want, &l)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	var l routertest.Log
	f := NewFaults(l.Logger())
	f.Lost(0)
	f.Lost(2)
	f.Invalid(errors.New("first"))
	var n counter
	f.Attach(&n)
	for range 1000 {
		f.Invalid(io.ErrUnexpectedEOF)
	}
	if n != 1003 {
		t.Errorf("%d faults", n)
	}
	if s := l.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "lost=2") {
		t.Errorf("log: %s", s)
	}
	f.Flush()
	f.Flush()
	if s := l.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, `invalid=1001 last="unexpected EOF"`) {
		t.Errorf("log: %s", s)
	}
}

type counter uint64

func (c *counter) AddInboundErrors(n uint64) { *c += counter(n) }

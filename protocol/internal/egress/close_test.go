package egress

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// What was written to a connection that always queues arrives although the connection is closed at once: a server answers and
// hangs up.
func TestTCPCloseWritesQueue(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"pipe", "tls"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			a, b := socketPair(t, kind)
			c := NewTCPConn(a, TCPOptions{OnError: func(err error) { t.Error(err) }})
			p := NewPool(1)
			defer p.Close()
			g := p.NewGroup()
			defer g.Close()
			r := NewTCPReader(c, track0)
			g.Add(r)
			g.Send(testMessage(p, g, 0, []int{1000, 100}))
			eventually(t, "the unit is handed over", func() bool { return g.inflight.Load() == 0 })
			var want strings.Builder
			for i := range 100 {
				fmt.Fprintf(&want, "C%d\n", i)
				fmt.Fprintf(c, "C%d\n", i)
			}
			var closing sync.WaitGroup
			for range 2 {
				closing.Go(func() { c.Close() })
			}
			eventually(t, "it takes no more", func() bool { _, err := c.Write(nil); return err != nil })
			got, err := io.ReadAll(b)
			if err != nil {
				t.Error(err)
			}
			if n := 1000 + 100 + 2*4; len(got) != n+want.Len() || string(got[min(n, len(got)):]) != want.String() {
				t.Errorf("%d bytes arrive, want %d", len(got), n+want.Len())
			}
			closing.Wait()
			if s := r.Stats(); s.Packets != 2 || s.Discarded != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A client that takes nothing does not hold up who closes its connection.
func TestTCPCloseIsBounded(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"pipe", "tls", "trickle"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			a, b := socketPair(t, strings.Replace(kind, "trickle", "pipe", 1))
			if kind == "trickle" {
				// net.Pipe hands over bytes one by one
				go func() {
					for _, err := b.Read(make([]byte, 1)); err == nil; _, err = b.Read(make([]byte, 1)) {
						time.Sleep(time.Millisecond)
					}
				}()
			}
			c := NewTCPConn(a, TCPOptions{OnError: func(err error) { t.Error(err) }})
			if _, err := c.Write(make([]byte, 200<<10)); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			c.Close()
			if d := time.Since(begin); d < closeGrace || d > closeGrace+5*time.Second {
				t.Errorf("it took %v", d)
			}
			if c.q.len() != 0 || c.draining {
				t.Error("something is left")
			}
			if _, err := c.Write([]byte("x")); err != net.ErrClosed { //nolint:errorlint // it is that one
				t.Error(err)
			}
		})
	}
}

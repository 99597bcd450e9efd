package routertest

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/org/mtx/router"
)

// TestProtocol is the conformance suite of protocols. newProtocol returns equal
// values that listen on the same free address of the local machine (port 0 works
// too, but then a busy address cannot be tested). It checks that
//
//   - equal values are equal for the router, so that a reload disturbs nobody
//   - Serve calls Ready, and returns soon when it is stopped, even with clients
//     that are connected and silent, or that talk nonsense
//   - the address is free after that, and Serve works again on it
//   - a busy address is an error, not a panic
//   - it can be stopped before it is ready
//   - no goroutine is left
func TestProtocol(t *testing.T, newProtocol func() router.Protocol) {
	config := func() router.Config { return router.Config{Protocols: []router.Protocol{newProtocol()}} }
	t.Run("equal", func(t *testing.T) {
		a, b := config(), config()
		if ch := router.Diff(&a, &b); !ch.Empty() {
			t.Errorf("values with the same content differ: %+v", ch)
		}
	})
	t.Run("restart", func(t *testing.T) { testRestart(t, config) })
	t.Run("busy address", func(t *testing.T) { testBusyAddress(t, config) })
	t.Run("clients", func(t *testing.T) { testClients(t, config) })
	t.Run("stopped before ready", func(t *testing.T) {
		CheckLeaks(t)
		for i := range 20 {
			r, err := router.New(config())
			if err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Duration(i*i)*5*time.Microsecond, func() { _ = r.Close() })
			within(t, "start and close", func() {
				// the outcome depends on who comes first
				if err := r.Start(t.Context()); isPanic(err) {
					t.Errorf("start: %v", err)
				}
				_ = r.Close()
			})
			timer.Stop()
		}
	})
}

func testRestart(t *testing.T, config func() router.Config) {
	r := New(t, config())
	name := r.Config().Protocols[0].Name()
	for range 3 {
		addrs := r.ProtocolAddrs(name)
		within(t, "stop", func() {
			if _, err := r.Apply(t.Context(), router.Config{}); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
		for _, a := range addrs {
			tryListen(t, a)
		}
		within(t, "start again", func() {
			if _, err := r.Apply(t.Context(), config()); err != nil {
				t.Errorf("start again: %v", err)
			}
		})
		if got := r.Protocols(); !slices.Equal(got, []string{name}) {
			t.Fatalf("running protocols: %v, want %v", got, name)
		}
	}
}

// tryListen checks that an address is free.
func tryListen(t *testing.T, a net.Addr) {
	t.Helper()
	switch a := a.(type) {
	case *net.TCPAddr:
		ln, err := net.ListenTCP("tcp", a)
		if err != nil {
			t.Errorf("after the end of Serve: %v", err)
			return
		}
		_ = ln.Close()
	case *net.UDPAddr:
		c, err := net.ListenUDP("udp", a)
		if err != nil {
			t.Errorf("after the end of Serve: %v", err)
			return
		}
		_ = c.Close()
	}
}

func testBusyAddress(t *testing.T, config func() router.Config) {
	r := New(t, config())
	name := r.Config().Protocols[0].Name()
	second, err := router.New(config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	within(t, "start on a busy address", func() { err = second.Start(t.Context()) })
	switch {
	case isPanic(err):
		t.Fatalf("start on a busy address: %v", err)
	case err != nil:
		return
	case len(r.ProtocolAddrs(name)) == 0:
		t.Skip("the protocol reports no address to Ready, so it may not listen at all")
	}
	for _, a := range r.ProtocolAddrs(name) {
		if slices.ContainsFunc(second.ProtocolAddrs(name), func(b net.Addr) bool { return a.String() == b.String() }) {
			t.Errorf("two of them serve on %v", a)
		}
	}
}

// testClients connects clients that say nothing, or nonsense, and stops the
// protocol while they are there.
func testClients(t *testing.T, config func() router.Config) {
	r := New(t, config())
	name := r.Config().Protocols[0].Name()
	for _, a := range r.ProtocolAddrs(name) {
		if a.Network() != "tcp" {
			continue
		}
		for _, hello := range []string{"", "\r\n\r\n", "GET\x00\xff\r\n\r\n", "\x16\x03\x01\xff\xff\x01", string(make([]byte, 1<<14))} {
			conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", a.String())
			if err != nil {
				t.Fatalf("after nonsense of another client: %v", err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = conn.Write([]byte(hello)) // it may hang up on us
		}
	}
	within(t, "stop with clients", func() {
		if _, err := r.Apply(context.WithoutCancel(t.Context()), router.Config{}); err != nil {
			t.Errorf("stop with clients: %v", err)
		}
	})
}

func isPanic(err error) bool {
	var pe *router.PanicError
	return errors.As(err, &pe)
}

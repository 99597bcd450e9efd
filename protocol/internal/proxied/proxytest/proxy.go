// Package proxytest has a proxy for tests.
package proxytest

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/pires/go-proxyproto"
)

// Start starts a proxy in front of a server, and returns its address. It tells the
// server, by the given version of the PROXY protocol, that each client has the
// address from. It ends with the test.
func Start(t testing.TB, version byte, server string, from netip.AddrPort) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := []io.Closer{ln} // nil: over
	keep := func(c io.Closer) bool {
		mu.Lock()
		defer mu.Unlock()
		if conns == nil {
			_ = c.Close()
			return false
		}
		conns = append(conns, c)
		return true
	}
	t.Cleanup(func() {
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		conns = nil
		mu.Unlock()
		wg.Wait()
	})
	header := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(from))
	wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil || !keep(client) {
				return
			}
			up, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server)
			if err != nil || !keep(up) {
				_ = client.Close()
				continue
			}
			if _, err := header.WriteTo(up); err != nil {
				_ = client.Close()
				continue
			}
			wg.Go(func() { pass(up, client) })
			wg.Go(func() { pass(client, up) })
		}
	})
	return ln.Addr().String()
}

// pass copies in one direction, and ends the other connection with the first.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
}

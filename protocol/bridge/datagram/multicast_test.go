package datagram

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// loopback returns the interface that needs no network.
func loopback(t *testing.T) *net.Interface {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range all {
		if it.Flags&net.FlagLoopback != 0 && it.Flags&net.FlagUp != 0 {
			return &it
		}
	}
	t.Skip("this machine has no loopback interface")
	return nil
}

// cast sends to a group through the loopback interface.
func cast(t *testing.T, local, group string, port int, data string) {
	t.Helper()
	c, err := net.ListenPacket("udp", net.JoinHostPort(local, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	it := loopback(t)
	if strings.Contains(group, ":") {
		err = ipv6.NewPacketConn(c).SetMulticastInterface(it)
	} else {
		err = ipv4.NewPacketConn(c).SetMulticastInterface(it)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo([]byte(data), &net.UDPAddr{IP: net.ParseIP(group), Port: port}); err != nil {
		t.Skipf("multicast cannot be sent through the loopback interface: %v", err)
	}
}

func TestMulticast(t *testing.T) {
	t.Parallel()
	lo := loopback(t).Name
	for _, ca := range []struct{ name, group, other, local, stranger, itf string }{
		{"ipv4, all interfaces", "239.77.1.1", "239.77.1.2", "127.0.0.1", "", ""},
		{"ipv4, name of an interface", "239.77.1.3", "239.77.1.4", "127.0.0.1", "", lo},
		{"ipv4, address of an interface", "239.77.1.5", "239.77.1.6", "127.0.0.1", "", "127.0.0.1"},
		{"ipv4, source", "232.77.1.7", "232.77.1.8", "127.0.0.2", "127.0.0.1", lo},
		{"ipv6", "ff15::7701", "ff15::7702", "::1", "", lo},
		{"ipv6, all interfaces", "ff15::7703", "ff15::7704", "::1", "", ""},
		{"ipv6, local scope", "ff11::7705", "ff11::7706", "::1", "", lo},
		{"ipv6, local scope, all interfaces", "ff11::7707", "ff11::7708", "::1", "", ""},
		{"ipv6, source", "ff35::7709", "ff35::770a", "::1", "", lo},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			a := Address{Host: ca.group, Interface: ca.itf}
			if strings.Contains(ca.name, "source") {
				a.Source = netip.MustParseAddr(ca.local)
			}
			c, port := listen(t, a, Options{})
			// two at the same port, and another group on the same port
			a.Network, a.Port = UDP, uint16(port)
			c2, err := Listen(t.Context(), a, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c2.Close()
			b := a
			b.Host = ca.other
			c3, err := Listen(t.Context(), b, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c3.Close()

			cast(t, ca.local, ca.other, port, "other group")
			if ca.stranger != "" {
				cast(t, ca.stranger, ca.group, port, "stranger")
			}
			cast(t, ca.local, ca.group, port, "hello")
			for _, c := range []*Conn{c, c2} {
				if got := receiveN(t, c, 1); string(got[0]) != "hello" {
					t.Errorf("%q", got)
				}
				if p, err := c.Receive(20 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%q, %v", p, err)
				}
			}
			if got := receiveN(t, c3, 1); string(got[0]) != "other group" {
				t.Errorf("other group: %q", got)
			}
			c.Close() // the other one goes on
			cast(t, ca.local, ca.group, port, "again")
			if got := receiveN(t, c2, 1); string(got[0]) != "again" {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestMulticastErrors(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		a    Address
		want string
	}{
		{Address{Host: "239.77.2.1", Interface: "none0"}, `interface "none0": this machine has no such network interface`},
		{Address{Host: "239.77.2.1", Interface: "203.0.113.77"}, `interface "203.0.113.77"`},
		{Address{Host: "239.77.2.1", Source: netip.MustParseAddr("::1")}, "not of the same kind"},
	} {
		ca.a.Network, ca.a.Port = UDP, 1
		_, err := Listen(t.Context(), ca.a, Options{})
		if err == nil || !strings.Contains(err.Error(), ca.want) {
			t.Errorf("%+v: %v", ca.a, err)
		}
	}
	// a port of unicast is no hindrance
	u, port := listen(t, Address{Host: "127.0.0.1"}, Options{})
	m, err := Listen(t.Context(), Address{Network: UDP, Host: "239.77.2.2", Port: uint16(port)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	sendTo(t, "127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", port), []byte("unicast"))
	if got := receiveN(t, u, 1); string(got[0]) != "unicast" {
		t.Errorf("%q", got)
	}
}

package datagram

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	ip := netip.MustParseAddr
	for _, ca := range []struct {
		url  string
		want Address
	}{
		{"udp+mpegts://127.0.0.1:1234", Address{Network: UDP, Host: "127.0.0.1", Port: 1234}},
		{"udp+mpegts://:1234", Address{Network: UDP, Port: 1234}},
		{"udp+mpegts://localhost:65535/", Address{Network: UDP, Host: "localhost", Port: 65535}},
		{"udp+mpegts://[::]:1234?source=fd00::1", Address{Network: UDP, Host: "::", Port: 1234, Source: ip("fd00::1")}},
		{"udp+mpegts://[::]:1234?source=10.0.0.1", Address{Network: UDP, Host: "::", Port: 1234, Source: ip("10.0.0.1")}},
		{"udp+mpegts://0.0.0.0:1?source=192.168.3.5", Address{Network: UDP, Host: "0.0.0.0", Port: 1, Source: ip("192.168.3.5")}},
		{"udp+mpegts://238.0.0.1:1234?interface=eth0", Address{Network: UDP, Host: "238.0.0.1", Port: 1234, Interface: "eth0"}},
		{"udp+mpegts://[ff02::1%25eth1]:1234", Address{Network: UDP, Host: "ff02::1%eth1", Port: 1234, Interface: "eth1"}},
		{"udp+mpegts://:1?pkt_size=1316&b=1", Address{Network: UDP, Port: 1, Unknown: []string{"b", "pkt_size"}}},
		{"unix+mpegts:///tmp/a.sock", Address{Network: Unix, Path: "/tmp/a.sock"}},
		{"unix+mpegts:///tmp/a%20b.sock?type=stream", Address{Network: Unix, Path: "/tmp/a b.sock"}},
		{"unix+mpegts:///tmp/a.sock?type=datagram", Address{Network: Unixgram, Path: "/tmp/a.sock"}},
	} {
		got, err := Parse(ca.url, "mpegts")
		if err != nil || !reflect.DeepEqual(got, ca.want) {
			t.Errorf("%s: %+v, %v, want %+v", ca.url, got, err, ca.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct{ url, want string }{
		{"", "it must begin with udp+rtp:// or unix+rtp://"},
		{"udp+mpegts://:1234", "it must begin with udp+rtp:// or unix+rtp://"},
		{"udp+rtp:/127.0.0.1:5004", "it must begin with"},
		{"udp+rtp:127.0.0.1:5004", "it must begin with"},
		{"udp+rtp://127.0.0.1", `port "": it must be a number from 1 to 65535`},
		{"udp+rtp://127.0.0.1:0", `port "0"`},
		{"udp+rtp://127.0.0.1:65536", `port "65536"`},
		{"udp+rtp://127.0.0.1:abc", "the URL is invalid: it must be udp+rtp://HOST:PORT or unix+rtp:///PATH"},
		{"udp+rtp://127.0.0.1:5004/stream", `URL "udp+rtp://127.0.0.1:5004/stream": there must be nothing behind the port`},
		{"udp+rtp://:5004?source=host", `source "host": it must be the IP address of the sender`},
		{"udp+rtp://:5004?source=0.0.0.0", `source "0.0.0.0"`},
		{"udp+rtp://238.0.0.1:5004?source=fd00::1", "of the same kind"},
		{"udp+rtp://:5004?%zz", "the query is invalid"},
		{"udp+rtp://user:topsecret@:5004", "holds credentials"},
		{"unix+rtp://tmp/a.sock", "three slashes"},
		{"unix+rtp://", "three slashes"},
		{"unix+rtp:///tmp/", "three slashes"},
		{"unix+rtp:///" + strings.Repeat("a", 200), "at most 107 bytes"},
		{"unix+rtp:///a?type=pigeon", `type "pigeon": it must be stream or datagram`},
		{"udp+rtp://" + strings.Repeat("a", 10000), "port"},
	} {
		_, err := Parse(ca.url, "rtp")
		if err == nil || !strings.Contains(err.Error(), ca.want) {
			t.Errorf("%.100s: %v, want %q", ca.url, err, ca.want)
			continue
		}
		if s := err.Error(); strings.Contains(s, "topsecret") || strings.Contains(s, "\n") || len(s) > 500 {
			t.Errorf("%.100s: %v", ca.url, err)
		}
	}
}

// URLs that were meant for something else do not show their secrets.
func TestErrorsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"srt://host:8890?streamid=publish:cam:bob:topsecret&passphrase=topsecret",
		"rtsp://bob:topsecret@host/cam",
		"bob:topsecret@host",
		"udp+rtp://bob:topsecret@host:5004",
		"udp+rtp://bob:topsecret@host:5004:",
		"udp+rtp://bob:topsecret",
		"udp+rtp://bob:topsecret%@host:5004",
		"udp+rtp://host:0?passphrase=topsecret",
		"udp+rtp://host:5004/cam?passphrase=topsecret",
		"udp+rtp://host:5004?passphrase=topsecret%",
		"udp+rtp://host:5004?passphrase=topsecret&source=nobody",
		"udp+rtp://host:0#topsecret",
		"unix+rtp://bob:topsecret@host/a.sock",
		"unix+rtp:///a/?key=topsecret",
		"unix+rtp:///a?type=pigeon&key=topsecret",
	} {
		_, err := Parse(url, "rtp")
		if err == nil || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	a, _ := Parse("udp+rtp://:5004?x=1", "rtp")
	if n, ok := a.Next(); !ok || n.Port != 5005 || n.Unknown != nil {
		t.Errorf("%+v %v", n, ok)
	}
	for _, url := range []string{"udp+rtp://:65535", "unix+rtp:///a"} {
		a, _ := Parse(url, "rtp")
		if n, ok := a.Next(); ok {
			t.Errorf("%s: %+v", url, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"udp+rtp://238.0.0.1:5004?interface=eth0&source=1.2.3.4", "udp+rtp://[ff02::1%25a]:1", "unix+rtp:///a/b?type=datagram", "udp+rtp://:\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		a, err := Parse(url, "rtp")
		switch {
		case err != nil:
			if len(err.Error()) > 4*len(url)+1000 {
				t.Errorf("%d bytes of error for %d", len(err.Error()), len(url))
			}
		case a.Network == UDP && a.Port == 0, a.Network != UDP && (a.Path == "" || len(a.Path) > maxSocketPath):
			t.Errorf("%q: %+v", url, a)
		}
		_ = a.String()
	})
}

package whipclient

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestLinks(t *testing.T) {
	t.Parallel()
	many := ""
	for i := range 100 {
		many += fmt.Sprintf("<stun:%d.example>; rel=ice-server,", i)
	}
	for _, ca := range []struct {
		name string
		in   []string
		want []ICEServer
	}{
		{"none", nil, nil},
		{"token", []string{"<stun:a>;rel=ice-server"}, []ICEServer{{URL: "stun:a"}}},
		{"two headers", []string{`<stun:a>; rel="ice-server"`, `<stuns:b>; rel="x ICE-SERVER"`}, []ICEServer{{URL: "stun:a"}, {URL: "stuns:b"}}},
		{"one header", []string{`<turn:a?transport=tcp>; rel="ice-server"; username=u; credential="a\\b\",c", <turns:b>; REL = ice-server`},
			[]ICEServer{{"turn:a?transport=tcp", "u", `a\b",c`}, {URL: "turns:b"}}},
		{"first of a name", []string{`<stun:a>; rel=other; rel=ice-server, <stun:b>; rel=ice-server; rel=other`}, []ICEServer{{URL: "stun:b"}}},
		{"other schemes", []string{`<http://a>; rel=ice-server, <stun://a>; rel=ice-server, <a>; rel=ice-server, <stun:a b>; rel=ice-server`}, nil},
		{"other credentials", []string{`<turn:a>; rel=ice-server; credential-type=oauth`}, nil},
		{"long", []string{"<stun:" + strings.Repeat("a", 2000) + ">; rel=ice-server", "<turn:a>; rel=ice-server; username=" + strings.Repeat("u", 2000), "<stun:b>; rel=ice-server"},
			[]ICEServer{{URL: "stun:b"}}},
		{"endless", []string{strings.Repeat("<", 1<<20), "<stun:b>; rel=ice-server"}, nil},
		{"cut", []string{`<stun:a>; rel="ice-server`, `<stun:b`}, nil},
		{"many", []string{many}, []ICEServer{
			{URL: "stun:0.example"}, {URL: "stun:1.example"}, {URL: "stun:2.example"}, {URL: "stun:3.example"},
			{URL: "stun:4.example"}, {URL: "stun:5.example"}, {URL: "stun:6.example"}, {URL: "stun:7.example"},
		}},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			if got := parseLinks(http.Header{"Link": ca.in}); !reflect.DeepEqual(got, ca.want) {
				t.Errorf("got %+v, want %+v", got, ca.want)
			}
		})
	}
	secret := []ICEServer{{"turn:a", "user", "s3cret"}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, secret); strings.Contains(s, "s3cret") || !strings.Contains(s, "turn:a") {
			t.Errorf("printed as %s", s)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "servers", secret, "server", secret[0])
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "servers", secret, "server", secret[0])
	if strings.Contains(log.String(), "s3cret") {
		t.Errorf("logged as %s", log.String())
	}
}

func FuzzLinks(f *testing.F) {
	f.Add(`<turn:a?transport=tcp>; rel="ice-server"; username=u; credential="a\\b\",c", <turns:b>; REL = ice-server`)
	f.Add(`<stun:a>;;;=;="x"; rel="ice-server`)
	f.Fuzz(func(t *testing.T, s string) {
		got := parseLinks(http.Header{"Link": {s}})
		if len(got) > maxICEServers {
			t.Errorf("%d servers", len(got))
		}
		for _, s := range got {
			if len(s.URL) > maxLinkField || len(s.Username) > maxLinkField || len(s.Password) > maxLinkField || !isICEServer(s.URL) {
				t.Errorf("accepted: %q", s.URL)
			}
		}
	})
}

// A Location never leads to another host, nor from HTTPS to HTTP.
func FuzzLocation(f *testing.F) {
	f.Add("https://host:1/a", "//other/b")
	f.Add("http://host/a", "/b?c#d")
	f.Fuzz(func(t *testing.T, request, location string) {
		base, err := url.Parse(request)
		if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Hostname() == "" {
			return
		}
		if u := sessionURL(base, location); u != nil && (origin(u) != origin(base) || u.User != nil) {
			t.Errorf("session of %q at %q: %v", request, location, u)
		}
		if u, err := redirectURL(base, location); err == nil && (base.Scheme == "https" && u.Scheme != "https" || u.User != nil || u.Hostname() == "") {
			t.Errorf("redirect of %q to %q: %v", request, location, u)
		}
	})
}

func FuzzURL(f *testing.F) {
	f.Add("whep://user:pass@host:1234/path?query=x#y")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := New(Options{Protocol: WHEP, URL: s})
		if err != nil {
			return
		}
		if c.url.Hostname() == "" || c.url.Scheme != "http" && c.url.Scheme != "https" {
			t.Errorf("%q is accepted as %v", s, c.url)
		}
		if _, err := parseURL(c.Address(), WHEP); err != nil {
			t.Errorf("address %q of %q: %v", c.Address(), s, err)
		}
	})
}

package httpserver

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestCORS(t *testing.T) {
	t.Parallel()
	const star, none = "*", ""
	for _, c := range []struct {
		patterns, origin, want string
	}{
		{"*", "https://a.com", star},
		{"*", "null", star},
		{"https://a.com", "https://a.com", "https://a.com"},
		{"https://a.com", "HTTPS://A.com", "HTTPS://A.com"},
		{"https://a.com", "http://a.com", none},
		{"https://a.com", "https://a.com:8443", none},
		{"https://a.com", "https://a.com.evil.org", none},
		{"https://a.com", "null", none},
		{"https://a.com", "", none},
		{"https://*.a.com", "https://x.a.com", "https://x.a.com"},
		{"https://*.a.com", "https://x.y.a.com", "https://x.y.a.com"},
		{"https://*.a.com", "https://a.com", none},
		{"https://*.a.com", "https://.a.com", none},
		{"https://*.a.com", "https://xa.com", none},
		{"https://*.a.com", "https://evil.org/.a.com", none},
		{"https://*.a.com", "https://evil.org#.a.com", none},
		{"https://*.a.com", "https://x.a.com.evil.org", none},
		{"http://localhost:*", "http://localhost:3000", "http://localhost:3000"},
		{"http://localhost:*", "http://localhost:", none},
		{"http://localhost:*", "http://localhost", "http://localhost"},
		{"http://localhost:*", "https://localhost", none},
		{"http://localhost:*", "http://localhost.evil.org", none},
		{"http://*.a.com:*", "http://x.a.com", "http://x.a.com"},
		{"http://*.a.com:*", "http://x.a.com:8080", "http://x.a.com:8080"},
		{"http://*.a.com:*", "http://a.com", none},
		{"http://*.a.com:*", "http://x.a.com.evil.org", none},
		{"https://b.com *", "https://b.com", "https://b.com"},
		{"https://b.com *", "https://c.com", star},
		{"https://*.a.com", "https://" + strings.Repeat("x", 60000) + ".a.com", none},
		{"https://*.*.*", "https://" + strings.Repeat(".", 60000), none},
	} {
		l := Listen{Addr: ":0", AllowOrigins: strings.Fields(c.patterns)}
		if err := l.Validate(); err != nil {
			t.Errorf("%s: %v", c.patterns, err)
		}
		g := newGuard(t.Context(), l.policy(), http.HandlerFunc(hello))
		for _, method := range []string{http.MethodGet, http.MethodOptions} {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
			r.Header.Set("Origin", c.origin)
			r.Header.Set("Access-Control-Request-Method", "GET")
			g.ServeHTTP(w, r)
			h := w.Header()
			if got := h.Get("Access-Control-Allow-Origin"); got != c.want {
				t.Errorf("%s, %s: %s allows %q, want %q", c.patterns, c.origin, method, got, c.want)
			}
			if cred := h.Get("Access-Control-Allow-Credentials") != ""; cred != (c.want != none && c.want != star) {
				t.Errorf("%s, %s: credentials %v", c.patterns, c.origin, cred)
			}
			if vary := h.Get("Vary") == "Origin"; vary != (c.patterns != "*") {
				t.Errorf("%s, %s: Vary %v", c.patterns, c.origin, vary)
			}
			if method == http.MethodOptions && c.origin != "" && (w.Code != http.StatusNoContent || w.Body.Len() != 0) {
				t.Errorf("preflight: %d %q", w.Code, w.Body)
			}
		}
	}
}

// An OPTIONS request that is no preflight belongs to the handler.
func TestPlainOptions(t *testing.T) {
	t.Parallel()
	for _, origins := range [][]string{nil, {"*"}} {
		g := newGuard(t.Context(), policy{allowOrigins: origins}.orDefault(), http.HandlerFunc(hello))
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/", nil))
		if w.Code != http.StatusOK || w.Body.String() != "hello" {
			t.Errorf("got %d %q", w.Code, w.Body)
		}
	}
}

func TestProxies(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("::ffff:11.0.0.0/104"),
	}
	for _, c := range []struct {
		name, remote, forwardedFor, proto, host string
		client, base                            string
	}{
		{"direct", "1.2.3.4:55", "", "", "", "1.2.3.4", "http://example.com"},
		{"direct, forged", "1.2.3.4:55", "9.9.9.9", "https", "evil.org", "1.2.3.4", "http://example.com"},
		{"proxy", "10.1.1.1:55", "9.9.9.9", "https", "", "9.9.9.9", "https://example.com"},
		{"proxy without headers", "10.1.1.1:55", "", "", "", "10.1.1.1", "http://example.com"},
		{"two proxies", "10.1.1.1:55", "9.9.9.9, 10.2.2.2", "HTTPS, http", "", "9.9.9.9", "https://example.com"},
		{"forged hop", "10.1.1.1:55", "8.8.8.8, 9.9.9.9", "http", "", "9.9.9.9", "http://example.com"},
		{"garbage", "10.1.1.1:55", "8.8.8.8, zz", "", "", "10.1.1.1", "http://example.com"},
		{"garbage behind", "10.1.1.1:55", "zz, 10.3.3.3", "", "", "10.3.3.3", "http://example.com"},
		{"port", "10.1.1.1:55", "9.9.9.9:1234", "", "", "9.9.9.9", "http://example.com"},
		{"IPv6", "[fd00::1]:55", "[2001:db8::1]:1234", "", "", "2001:db8::1", "http://example.com"},
		{"IPv6 bare", "[fd00::1]:55", "2001:db8::1", "", "", "2001:db8::1", "http://example.com"},
		{"mapped", "[::ffff:10.1.1.1]:55", "9.9.9.9", "", "", "9.9.9.9", "http://example.com"},
		{"mapped network", "11.1.1.1:55", "9.9.9.9", "", "", "9.9.9.9", "http://example.com"},
		{"zone", "[fe80::1%eth0]:55", "9.9.9.9", "", "", "fe80::1", "http://example.com"},
		{"host", "10.1.1.1:55", "9.9.9.9", "", "cdn.example.com:8443", "9.9.9.9", "http://cdn.example.com:8443"},
		{"bad host", "10.1.1.1:55", "9.9.9.9", "", "a/b@c", "9.9.9.9", "http://example.com"},
		{"long", "10.1.1.1:55", strings.Repeat("10.0.0.1,", 1000) + "10.0.0.2", "", "", "10.0.0.1", "http://example.com"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
		r.RemoteAddr = c.remote
		for k, v := range map[string]string{"X-Forwarded-For": c.forwardedFor, "X-Forwarded-Proto": c.proto, "X-Forwarded-Host": c.host} {
			if v != "" {
				r.Header.Set(k, v)
			}
		}
		called := false
		g := newGuard(t.Context(), policy{trustedProxies: proxies}.orDefault(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			called = true
			if got := ClientAddr(r).String(); got != c.client {
				t.Errorf("%s: client %s, want %s", c.name, got, c.client)
			}
			if got := BaseURL(r); got != c.base {
				t.Errorf("%s: base %s, want %s", c.name, got, c.base)
			}
			if IsHTTPS(r) != strings.HasPrefix(c.base, "https:") {
				t.Errorf("%s: HTTPS %v", c.name, IsHTTPS(r))
			}
		}))
		g.ServeHTTP(httptest.NewRecorder(), r)
		if !called {
			t.Errorf("%s: the handler was not called", c.name)
		}
	}
	if got := ClientAddr(&http.Request{RemoteAddr: "1.2.3.4:5"}).String(); got != "1.2.3.4" {
		t.Errorf("without an endpoint: %s", got)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header, query string
		queryToken          bool
		want                Credentials
	}{
		{"none", "", "", true, Credentials{}},
		{"basic", "Basic dXNlcjpwYTpzcw==", "", false, Credentials{User: "user", Pass: "pa:ss"}},
		{"bad basic", "Basic %%%", "", false, Credentials{}},
		{"bearer pair", "Bearer user:pa:ss", "", false, Credentials{User: "user", Pass: "pa:ss"}},
		{"bearer token", "bearer  a.b.c ", "", false, Credentials{Token: "a.b.c"}},
		{"bearer nothing", "Bearer ", "", false, Credentials{}},
		{"query", "", "jwt=a.b.c", true, Credentials{Token: "a.b.c"}},
		{"token", "", "x=1&token=a.b.c", true, Credentials{Token: "a.b.c"}},
		{"query not allowed", "", "jwt=a.b.c", false, Credentials{}},
		{"header first", "Bearer h", "jwt=q", true, Credentials{Token: "h"}},
		{"bad query", "", "jwt=%zz", true, Credentials{}},
		{"other scheme", "Digest x", "", false, Credentials{}},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.RawQuery = c.query
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		if got := CredentialsOf(r, c.queryToken); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	w := httptest.NewRecorder()
	AskCredentials(w)
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") != `Basic realm="mediamtx"` || strings.TrimSpace(w.Body.String()) != "authentication error" {
		t.Errorf("got %d %v %q", w.Code, w.Header(), w.Body)
	}
}

func TestRedactQuery(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                         "",
		"a=b":                      "a=b",
		"user=x&pass=y":            "user=***&pass=***",
		"a=1&jwt=x&b=2":            "a=1&jwt=***&b=2",
		"%6awt=x;token=y;":         "%6awt=***;token=***;",
		"PASS=x":                   "PASS=***",
		"jwt":                      "jwt",
		"token=a=b=c&_HLS_msn=12":  "token=***&_HLS_msn=12",
		"password=&passphrase=x&&": "password=***&passphrase=***&&",
	} {
		if got := RedactQuery(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzProxyHeaders(f *testing.F) {
	f.Add("1.2.3.4", "https", "example.com", "a=b&jwt=x")
	f.Add("[::1]:5, 10.0.0.1", "http,https", "[::1]:80", ";;token=")
	g := newGuard(f.Context(), policy{trustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}.orDefault(), http.NotFoundHandler())
	f.Fuzz(func(t *testing.T, forwardedFor, proto, host, query string) {
		r := &http.Request{Header: http.Header{}, RemoteAddr: "1.1.1.1:1", Host: "h"}
		r.Header.Set("X-Forwarded-For", forwardedFor)
		r.Header.Set("X-Forwarded-Proto", proto)
		r.Header.Set("X-Forwarded-Host", host)
		i := g.inspect(r)
		if !i.client.IsValid() || i.host == "" || strings.ContainsAny(i.host, "/?#@ \r\n\"'<>\\") {
			t.Errorf("got %+v", i)
		}
		if got := RedactQuery(query); !strings.Contains(query, "=") && got != query {
			t.Errorf("%q became %q", query, got)
		}
	})
}

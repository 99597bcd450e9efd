package playback

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// json gets an answer that must be a good one.
func (g *rig) json(u string, v any) {
	g.t.Helper()
	res, b := g.get(u)
	if res.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: status %d: %s", u, res.StatusCode, b)
	}
	if err := json.Unmarshal(b, v); err != nil {
		g.t.Fatalf("%v in %s", err, b)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	at := func(s float64) time.Time { return filmStart.Add(time.Duration(s * float64(time.Second))) }
	g.film("a/cam", film{start: at(0), seconds: 4, silent: true})
	g.film("a/cam", film{start: at(5), seconds: 4, silent: true}) // joined: the gap is 1 s
	g.film("a/cam", film{start: at(10.1), seconds: 2, silent: true})
	g.film("a/camera", film{start: at(1), seconds: 1, silent: true})
	type span struct{ from, to float64 }
	for query, want := range map[string][]span{
		"":                                     {{0, 9}, {10.1, 12.1}},
		"&start=" + at(3).Format(time.RFC3339): {{3, 9}, {10.1, 12.1}},
		"&start=" + at(3).Format(time.RFC3339) + "&end=" + at(4).Format(time.RFC3339):        {{3, 4}},
		"&end=" + at(11).Format(time.RFC3339):                                                {{0, 9}, {10.1, 11}},
		"&start=" + at(9.5).Format(time.RFC3339Nano) + "&end=" + at(10).Format(time.RFC3339): {},
		"&start=" + at(100).Format(time.RFC3339):                                             {},
	} {
		var list []item
		g.json("/list?path=a/cam"+query, &list)
		if len(list) != len(want) {
			t.Errorf("%q: %+v, want %v", query, list, want)
			continue
		}
		for i, w := range want {
			x := list[i]
			if !x.Start.Equal(at(w.from)) || x.Duration-(w.to-w.from) > 1e-6 || x.Duration-(w.to-w.from) < -1e-6 {
				t.Errorf("%q: item %d is %+v, want %v", query, i, x, w)
			}
			u, err := url.Parse(x.URL)
			if err != nil || u.Scheme+"://"+u.Host != g.url {
				t.Errorf("URL %q: %v", x.URL, err)
			}
			if res, b := g.get(u.RequestURI()); res.StatusCode != http.StatusOK || len(b) == 0 {
				t.Errorf("%s: status %d", x.URL, res.StatusCode)
			}
		}
	}
}

func TestListFollowsAGrowingFile(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	b := film{seconds: 6, silent: true}.bytes(t)
	short := film{seconds: 3, silent: true}.bytes(t)
	for _, c := range []struct {
		b    []byte
		want float64
	}{{short, 3}, {b[:len(b)-10], 5}, {b, 6}, {short, 3}} {
		g.store("cam", filmStart, c.b)
		var list []item
		g.json("/list?path=cam", &list)
		if len(list) != 1 || list[0].Duration != c.want {
			t.Errorf("%d bytes: %+v, want %v s", len(c.b), list, c.want)
		}
	}
}

func TestPermission(t *testing.T) {
	t.Parallel()
	auth := &routertest.Authenticator{AuthenticateFunc: func(_ context.Context, r *router.AccessRequest) (router.Identity, error) {
		if r.Action == router.ActionPlayback && r.Path == "cam" && (r.User == "me" && r.Pass == "secret" || r.Token == "good") {
			return router.Identity{}, nil
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("no"), AskCredentials: !r.HasCredentials()}
	}}
	g := newRig(t, Server{QueryToken: true}, auth)
	g.film("cam", film{start: filmStart, seconds: 1})
	g.film("other", film{start: filmStart, seconds: 1})
	for _, u := range []string{"/list?path=cam", part("cam", filmStart, time.Second, "mp4"), "/vod/cam/index.m3u8", "/cam/"} {
		if res, _ := g.get(u); res.StatusCode != http.StatusUnauthorized || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without credentials: status %d", u, res.StatusCode)
		}
		if res, _ := g.get(u, "Authorization", "Bearer me:wrong"); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s with a wrong password: status %d", u, res.StatusCode)
		}
		if res, b := g.get(u, "Authorization", "Bearer me:secret"); res.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d: %s", u, res.StatusCode, b)
		}
	}
	if res, _ := g.get("/list?path=other", "Authorization", "Bearer me:secret"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("another path: status %d", res.StatusCode)
	}
	var list []item
	g.json("/list?path=cam&token=good", &list)
	u, _ := url.Parse(list[0].URL)
	if res, _ := g.get(u.RequestURI()); res.StatusCode != http.StatusOK {
		t.Errorf("%s: status %d", u, res.StatusCode)
	}
	g.film("cam", film{start: filmStart.Add(time.Hour), seconds: 1, foreign: true})
	p := g.playlist("/vod/cam/index.m3u8?jwt=good")
	for _, u := range append(p.urls, p.maps...) { // byte ranges, and what is made
		plain, query, _ := strings.Cut(u, "?")
		if query != "jwt=good" {
			t.Errorf("%s: the token is missing", u)
		}
		if res, _ := g.get("/vod/cam/" + u); res.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", u, res.StatusCode)
		}
		for _, bad := range []string{"", "?jwt=bad"} {
			if res, _ := g.get("/vod/cam/" + plain + bad); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s%s: status %d", plain, bad, res.StatusCode)
			}
			if res, _ := g.get("/vod/other/" + plain + bad); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s%s of another path: status %d", plain, bad, res.StatusCode)
			}
		}
	}
	if len(p.urls) != 2 {
		t.Error(p.text)
	}
}

// Everything is there with TLS and for pages of other origins, and URLs in answers
// say so.
func TestTLSAndOrigins(t *testing.T) {
	t.Parallel()
	lender := httptest.NewTLSServer(nil) // of its certificate
	t.Cleanup(lender.Close)
	g := newRig(t, Server{HTTP: httpserver.Listen{
		Addr: "127.0.0.1:0", AllowOrigins: []string{"https://*.example.com"},
		TLS: &tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12},
	}}, nil)
	g.url = "https" + strings.TrimPrefix(g.url, "http")
	g.http = lender.Client()
	g.http.Timeout = 20 * time.Second
	g.film("cam", film{start: filmStart, seconds: 1})
	for u, method := range map[string]string{
		"/list?path=cam": http.MethodGet, part("cam", filmStart, time.Second, "mp4"): http.MethodGet,
		"/vod/cam/index.m3u8": http.MethodGet, "/vod/cam/1772618400000000.mp4": http.MethodHead, "/get?path=never": http.MethodGet,
	} {
		res, b := g.do(method, u, "Origin", "https://a.example.com")
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != "https://a.example.com" || res.TLS == nil {
			t.Errorf("%s: status %d, allowed: %q: %.60q", u, res.StatusCode, got, b)
		}
		if res, _ := g.do(method, u, "Origin", "https://elsewhere.org"); res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: another origin is allowed", u)
		}
	}
	res, _ := g.do(http.MethodOptions, "/vod/cam/1772618400000000.mp4", "Origin", "https://a.example.com",
		"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "range")
	if !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Range") || res.StatusCode != http.StatusNoContent {
		t.Errorf("preflight: status %d, %v", res.StatusCode, res.Header)
	}
	var list []item
	g.json("/list?path=cam", &list)
	if !strings.HasPrefix(list[0].URL, g.url+"/get?") {
		t.Error(list[0].URL)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	addr := routertest.FreeAddr(t)
	p := pattern(t, t.TempDir(), "fmp4")
	routertest.TestProtocol(t, func() router.Protocol {
		return &Server{HTTP: httpserver.Listen{Addr: addr}, Recordings: []Recording{{Name: "cam", Pattern: p}}}
	})
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, c := pattern(t, dir+"/a", "fmp4"), pattern(t, dir+"/b", "fmp4"), pattern(t, dir+"/c", "fmp4")
	k, err := newCatalogue([]Recording{{"all_others", c}, {"~^cam", b}, {"cam1", a}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"cam1": a.String(), "cam2": b.String(), "x": c.String()} {
		if got, ok := k.find(path); !ok || got.String() != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	for _, bad := range []Recording{{"cam", a}, {"~(", a}, {"../x", a}, {Name: "y"}} {
		if s := (&Server{Recordings: []Recording{bad}}); (s.Validate() != nil) == (bad.Name == "cam") {
			t.Errorf("%+v: %v", bad, s.Validate())
		}
	}
}

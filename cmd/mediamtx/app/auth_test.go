package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
	srcwhep "github.com/org/mtx/source/whep"
)

// readable are the protocols by which a stream can be read.
func readable() []string { return []string{"rtsp", "rtmp", "srt", "hls", "webrtc"} }

// sample publishes a stream on a path of a server.
func sample(t *testing.T, in *instance, path string) {
	t.Helper()
	pub, err := in.router.Publish(t.Context(), path, routertest.SampleTracks())
	if err != nil {
		t.Fatal(err)
	}
	writeSamples(t, pub)
}

// writeSamples writes to a publisher until the test or the stream ends.
func writeSamples(t *testing.T, pub *router.Publisher) {
	t.Helper()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer pub.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			for i := range 2 {
				pub.Write(i, routertest.SampleUnit(i, n))
			}
			select {
			case <-tick.C:
			case <-quit:
				return
			case <-pub.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-done })
}

// decider is an HTTP service that decides by the name of the user.
type decider struct {
	srv  *httptest.Server
	hold chan struct{} // closed to answer the slow

	mu   sync.Mutex
	seen map[string]map[string]string // questions about "good", by protocol
}

func newDecider(t *testing.T) *decider {
	t.Helper()
	d := &decider{hold: make(chan struct{}), seen: map[string]map[string]string{}}
	d.srv = httptest.NewServer(d)
	t.Cleanup(d.srv.Close)
	t.Cleanup(sync.OnceFunc(func() { close(d.hold) }))
	return d
}

func (d *decider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/yes" {
		return // who follows redirects gets in
	}
	var q map[string]string
	_ = json.NewDecoder(r.Body).Decode(&q)
	switch q["user"] {
	case "good":
		if q["password"] != "pass" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.seen[q["protocol"]] = q
		w.WriteHeader(http.StatusNoContent)
	case "slow":
		select {
		case <-d.hold:
		case <-r.Context().Done():
		}
	case "broken":
		w.WriteHeader(http.StatusInternalServerError)
	case "moved":
		http.Redirect(w, r, "/yes", http.StatusTemporaryRedirect)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// The HTTP service decides for every protocol; while it keeps one client waiting,
// fails for others or is down, nobody else notices.
func TestAuthHTTP(t *testing.T) {
	t.Parallel()
	d := newDecider(t)
	in := start(t, localServer+operated+"authMethod: http\nauthHTTPAddress: "+d.srv.URL+"/ask\n"+
		"authHTTPExclude: [{action: api}, {action: metrics}]\nhlsSegmentDuration: 500ms\nhlsVariant: fmp4\npaths: {cam: {}}\n", Options{})
	sample(t, in, "cam")
	until(t, "servers", in.out, func() bool { return len(in.router.Protocols()) == 8 })
	p := newPeer(t, in, "")
	for _, protocol := range readable() {
		for _, user := range []string{"slow:x", "broken:x", "moved:x", "good:wrong", ""} {
			p.pull(protocol+"-"+user, protocol, "cam", user, "")
		}
	}
	for _, protocol := range readable() {
		p.pull(protocol, protocol, "cam", "good:pass", "")
	}
	for _, protocol := range readable() {
		p.waitFor(protocol)
		d.mu.Lock()
		q := d.seen[protocol]
		d.mu.Unlock()
		if q["action"] != "read" || q["path"] != "cam" || q["ip"] != "127.0.0.1" || len(q) != 10 ||
			protocol != "hls" && len(q["id"]) != 36 {
			t.Errorf("%s: the question is %v", protocol, q)
		}
	}
	if status, body := in.call(t, "api", "GET", "/v3/paths/get/cam", ""); status != 200 || strings.Count(string(body), `"id":"`) != 1+len(readable()) {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := in.call(t, "pprof", "GET", "/debug/pprof/", ""); status != 401 {
		t.Errorf("profiles, which are not excluded: %d", status)
	}
	d.srv.Listener.Close() // it is down; HLS viewers ask all the time, so the listener goes first
	d.srv.CloseClientConnections()
	for _, protocol := range readable() {
		p.pull(protocol+"-late", protocol, "cam", "good:pass", "")
	}
	until(t, "refusals", in.out, func() bool { return strings.Count(in.out.String(), "connection refused") >= len(readable()) })
	for _, protocol := range readable() {
		for _, user := range []string{"slow:x", "broken:x", "moved:x", "good:wrong", "", "late"} {
			if p.has(protocol + "-" + user) {
				t.Errorf("%s: %q got in", protocol, user)
			}
		}
		if !p.has(protocol) && protocol != "hls" { // HLS viewers are asked again and again
			t.Errorf("%s: who was in had to leave", protocol)
		}
	}
	if s := in.out.String(); strings.Contains(s, "good:pass") || strings.Contains(s, "password=pass") {
		t.Errorf("the log holds a password:\n%s", s)
	}
}

// provider issues tokens.
type provider struct {
	key *ecdsa.PrivateKey
	srv *httptest.Server
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jwk.FromRaw(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	set := jwk.NewSet()
	_ = set.AddKey(public)
	p := &provider{key: key}
	p.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(set) }))
	t.Cleanup(p.srv.Close)
	return p
}

// token allows to read cam for a while.
func (p *provider) token(t *testing.T, d time.Duration) string {
	t.Helper()
	tok := jwt.New()
	_ = tok.Set("sub", "alice")
	_ = tok.Set("exp", time.Now().Add(d))
	_ = tok.Set("mediamtx_permissions", []map[string]string{{"action": "read", "path": "cam"}, {"action": "api"}})
	b, err := jwt.Sign(tok, jwt.WithKey(jwa.ES256, p.key))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func startJWT(t *testing.T, more string) (*instance, *provider, *peer) {
	t.Helper()
	id := newProvider(t)
	in := start(t, localServer+operated+"authMethod: jwt\nauthJWTJWKS: "+id.srv.URL+"\nhlsSegmentDuration: 500ms\nhlsVariant: fmp4\n"+more+
		"paths: {cam: {}, other: {}}\n", Options{})
	sample(t, in, "cam")
	sample(t, in, "other")
	until(t, "servers", in.out, func() bool { return len(in.router.Protocols()) == 8 })
	return in, id, newPeer(t, in, "")
}

// A token is taken wherever a protocol can carry it, and opens what it says.
func TestAuthJWT(t *testing.T) {
	t.Parallel()
	in, id, p := startJWT(t, "")
	good, old := id.token(t, time.Hour), id.token(t, -time.Minute)
	ways := []string{}
	for _, protocol := range readable() {
		p.pull(protocol+"-password", protocol, "cam", "any:"+good, "")
		p.pull(protocol+"-expired", protocol, "cam", "any:"+old, "")
		p.pull(protocol+"-other", protocol, "other", "any:"+good, "")
		p.pull(protocol+"-nothing", protocol, "cam", "", "")
		p.pull(protocol+"-query", protocol, "cam", "", "?jwt="+good)
		ways = append(ways, protocol+"-password", protocol+"-query")
	}
	bearer := p.source("webrtc", "cam", "", "").(srcwhep.Source)
	bearer.BearerToken = good
	if err := p.AddPath(t.Context(), router.PathConfig{Name: "webrtc-bearer", Source: bearer}); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(ways, "webrtc-bearer") {
		p.waitFor(name)
	}
	for _, c := range []struct {
		token string
		want  int
	}{{good, 200}, {old, 401}, {"", 401}} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+in.addr("hls")+"/cam/index.m3u8", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("HLS by bearer token: %d, want %d", res.StatusCode, c.want)
		}
	}
	if status, body := in.call(t, "api", "GET", "/v3/rtspsessions/list?jwt="+good, ""); status != 200 || !strings.Contains(string(body), `"user":"alice"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := in.call(t, "api", "POST", "/v3/auth/jwks/refresh?jwt="+good, ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	for _, protocol := range readable() {
		for _, why := range []string{"expired", "other", "nothing"} {
			if p.has(protocol + "-" + why) {
				t.Errorf("%s: %s got in", protocol, why)
			}
		}
	}
	if strings.Contains(in.out.String(), good) {
		t.Error("the log holds a token")
	}
}

// Queries of HTTP can be excluded, since proxies write them down; those of RTSP and
// RTMP cannot be replaced.
func TestAuthJWTNotInHTTPQuery(t *testing.T) {
	t.Parallel()
	for allowed, want := range map[string]int{"no": 401, "yes": 200} {
		in, id, p := startJWT(t, "authJWTInHTTPQuery: "+allowed+"\n")
		good := id.token(t, time.Hour)
		for _, name := range []string{"jwt", "token"} {
			query := "?" + name + "=" + good
			for protocol, path := range map[string]string{"api": "/v3/paths/list", "hls": "/cam/index.m3u8", "webrtc": "/cam/"} {
				if status, body := in.call(t, protocol, "GET", path+query, ""); status != want {
					t.Errorf("%s: %s is %d %s, want %d", allowed, protocol, status, body, want)
				}
			}
			for _, protocol := range []string{"rtsp", "rtmp"} {
				p.pull(protocol+name, protocol, "cam", "", query)
			}
		}
		for _, path := range []string{"rtspjwt", "rtsptoken", "rtmpjwt", "rtmptoken"} {
			p.waitFor(path)
		}
		in.stop()
	}
}

// A session ends with its token if that is wanted.
func TestAuthJWTKickOnExpiry(t *testing.T) {
	t.Parallel()
	in, id, p := startJWT(t, "authJWTKickOnExpiry: yes\n")
	kicked := []string{"rtsp", "rtmp", "srt", "webrtc"}
	token := id.token(t, 4*time.Second)
	began := time.Now()
	for _, protocol := range kicked {
		p.pull(protocol, protocol, "cam", "any:"+token, "")
	}
	p.pull("stays", "rtsp", "cam", "any:"+id.token(t, time.Hour), "")
	for _, protocol := range append(kicked, "stays") {
		p.waitFor(protocol)
	}
	for _, protocol := range kicked {
		until(t, "end of "+protocol, in.out, func() bool { return !p.has(protocol) })
	}
	if d := time.Since(began); d < 3*time.Second {
		t.Errorf("they had to leave after %v", d)
	}
	if !p.has("stays") || strings.Count(in.out.String(), "access has expired") != len(kicked) {
		t.Error(in.out)
	}
}

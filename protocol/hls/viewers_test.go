package hls

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

// audience returns who watches the only muxer.
func (g *rig) audience() []router.SessionInfo {
	if d := g.muxer(); d != nil {
		return d.Viewers()
	}
	return nil
}

// Viewers are told apart without sessions: by their address, as trusted proxies
// tell it, and their program.
func TestViewers(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{HTTP: httpserver.Listen{
		Addr: "127.0.0.1:0", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}}, nil)
	g.publish("cam", videoAudio(), sps1080)
	g.get("/cam/")
	g.get("/cam/nothing.mp4")
	if n := len(g.audience()); n != 0 {
		t.Errorf("%d viewers before anybody watches", n)
	}
	sent := map[string]uint64{}
	for _, c := range []struct{ addr, agent string }{
		{"192.0.2.1", "a"}, {"192.0.2.1", "b"}, {"2001:db8::1", "a"}, {"192.0.2.1", "a"}, {"", ""}, {"2001:db8::1", "a"},
	} {
		res, list := g.get("/cam/video1_stream.m3u8", "X-Forwarded-For", c.addr, "User-Agent", c.agent)
		_, segment := g.get("/cam/"+lastFile(list), "X-Forwarded-For", c.addr, "User-Agent", c.agent)
		if res.StatusCode != 200 || len(res.Cookies()) != 0 {
			t.Errorf("%v: %d %v", c, res.StatusCode, res.Header)
		}
		if c.addr == "" {
			c.addr = "127.0.0.1"
		}
		sent[c.addr] += uint64(len(list) + len(segment))
	}
	total, got, ids := uint64(0), map[string]uint64{}, map[string]bool{}
	all := g.audience()
	for i := range all {
		d, ok := all[i].Details.(*ViewerDetails)
		if !ok || d.ID != all[i].ID || d.BytesSent != d.OutboundBytes || d.Path != "cam" || all[i].Kind != viewerKind || d.RemoteAddr != all[i].RemoteAddr {
			t.Fatalf("got %+v", all[i])
		}
		ids[d.ID] = true
		got[d.RemoteAddr] += d.OutboundBytes
		total += d.OutboundBytes
	}
	if len(ids) != 4 || fmt.Sprint(got) != fmt.Sprint(sent) {
		t.Errorf("%d viewers: %v, want %v", len(ids), got, sent)
	}
	if d := g.muxer(); d.OutboundBytes != total {
		t.Errorf("the muxer sent %d bytes, its viewers got %d", d.OutboundBytes, total)
	}
}

// Viewers are gone after a while without an answer, and are not without bounds.
func TestViewersLeave(t *testing.T) {
	t.Parallel()
	v := newViewers()
	v.limit = 3
	ask := func(agent, user string) *watcher {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("User-Agent", agent)
		return v.begin(r, user)
	}
	count := func(want int) {
		t.Helper()
		if n := len(v.list("cam")); n != want {
			t.Errorf("%d viewers, want %d", n, want)
		}
	}
	age := func(w *watcher, d time.Duration) { w.last.Store(time.Now().Add(-d).UnixNano()) }
	a, b := ask("a", ""), ask("a", "u")
	if a == b || ask("a", "u") != b {
		t.Error("users are not told apart")
	}
	ask("c", "").end(1)
	for range 10 {
		ask("d", "").end(1) // one too many
	}
	count(3)
	age(a, 11*time.Second)
	age(b, 11*time.Second)
	count(3) // they are still being answered
	a.end(1)
	b.end(1)
	b.end(1)
	age(a, 11*time.Second)
	age(b, 11*time.Second)
	v.target.Store(4)
	count(3) // segments are long
	v.target.Store(3)
	count(1)
	if got := ask("a", ""); got == a || got == nil {
		t.Error("who comes back is another viewer")
	}
	count(2)
	if n := targetOf([]byte("#EXTM3U\n#EXT-X-TARGETDURATION:7\r\n")); n != 7 || targetOf(nil) != 0 {
		t.Errorf("target %d", n)
	}
}

// BenchmarkViewerTable is what telling viewers apart costs per request.
func BenchmarkViewerTable(b *testing.B) {
	v := newViewers()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36")
	for b.Loop() {
		v.begin(r, "").end(1)
	}
}

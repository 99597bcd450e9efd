package playback

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDVRFollowsTheEdge(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]film{
		"bytes": {seconds: 60, silent: true}, "made": {seconds: 60, silent: true, foreign: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, Server{}, nil)
			start := time.Now().Add(-70 * time.Second).Truncate(time.Second)
			g.film("cam", film{start: start.Add(-10 * time.Second), seconds: 10, silent: true, foreign: f.foreign})
			whole := f.bytes(t)
			known, last := map[string]int64{}, int64(0)
			for _, n := range []int{len(whole) / 3, len(whole)/2 - 10, len(whole) / 2, len(whole)} {
				g.store("cam", start, whole[:n])
				p := g.playlist("/vod/cam/index.m3u8?dvr=75s")
				if strings.Contains(p.text, "ENDLIST") || p.tags["#EXT-X-PLAYLIST-TYPE"] != "" || p.tags["#EXT-X-TARGETDURATION"] != "6" {
					t.Error(p.text)
				}
				first, err := strconv.ParseInt(p.tags["#EXT-X-MEDIA-SEQUENCE"], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				for i, u := range p.urls {
					u += p.ranges[i]
					if seq, ok := known[u]; ok && seq != first+int64(i) {
						t.Errorf("%s was number %d, is %d", u, seq, first+int64(i))
					}
					known[u] = first + int64(i)
					last = max(last, first+int64(i))
				}
				// all of it is there, and only whole parts are
				if got := g.all("cam", p)[0]; len(got) < 30*4 || len(got)%30 != 0 {
					t.Errorf("%d pictures of %d bytes", len(got), n)
				}
			}
			if n := len(known); n < 14 || n > 17 {
				t.Errorf("%d segments", n)
			}
			// who records no more has written the last segment, too
			name := g.pattern.Name("cam", start)
			old := time.Now().Add(-time.Minute)
			if err := os.Chtimes(name, old, old); err != nil {
				t.Fatal(err)
			}
			p := g.playlist("/vod/cam/index.m3u8?dvr=75s")
			i := len(p.urls) - 1
			if seq, ok := known[p.urls[i]+p.ranges[i]]; ok {
				t.Errorf("the end is missing, the last one is number %d of %d:\n%s", seq, last, p.text)
			}
		})
	}
}

func TestWindowNumbers(t *testing.T) {
	t.Parallel()
	at := func(n int) time.Duration { return time.Duration(n) * time.Second }
	pc := func(n int, breaks bool) piece {
		return piece{id: 1, from: at(n), to: at(n + 4), at: time.Unix(1000, 0).Add(at(n)), breaks: breaks}
	}
	long := pc(12, true)
	long.to = at(21)
	w := newWindows()
	for i, c := range []struct {
		list []piece
		want place
	}{
		{[]piece{pc(0, true), pc(4, false), pc(8, true), pc(12, false)}, place{sequence: 1000, target: 6}},
		{[]piece{pc(4, true), pc(8, true), pc(12, false)}, place{sequence: 1001, target: 6}},
		{[]piece{pc(8, true), pc(12, false)}, place{sequence: 1002, discontinuities: 1, target: 6}},
		// who was asked before is late
		{[]piece{pc(4, true), pc(8, true), pc(12, false)}, place{sequence: 1001, target: 6}},
		{[]piece{pc(0, true), pc(4, false), pc(8, true)}, place{sequence: 1000, target: 6}},
		{[]piece{long}, place{sequence: 1003, discontinuities: 1, target: 9}},
		{[]piece{pc(40, true)}, place{sequence: 1004, discontinuities: 2, target: 9}},
	} {
		c.want.origin = 990e6
		if got := w.place("cam", time.Hour, c.list); got != c.want {
			t.Errorf("%d: %+v, want %+v", i, got, c.want)
		}
	}
}

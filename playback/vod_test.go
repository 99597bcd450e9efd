package playback

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hlsList is what a playlist says.
type hlsList struct {
	text      string
	urls      []string // of segments
	maps      []string // header of each segment
	durations []float64
	dates     []time.Time
	breaks    []bool
	tags      map[string]string
}

func (g *rig) playlist(u string) (p hlsList) {
	g.t.Helper()
	res, b := g.get(u)
	if res.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: status %d: %s", u, res.StatusCode, b)
	}
	p.text, p.tags = string(b), map[string]string{}
	brk, header := false, ""
	for line := range strings.Lines(p.text) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		switch tag {
		case "#EXT-X-DISCONTINUITY":
			brk = true
		case "#EXT-X-MAP":
			header = strings.Trim(strings.TrimPrefix(value, "URI="), `"`)
		case "#EXTINF":
			d, err := strconv.ParseFloat(strings.TrimSuffix(value, ","), 64)
			if err != nil {
				g.t.Fatal(err)
			}
			p.durations = append(p.durations, d)
		case "#EXT-X-PROGRAM-DATE-TIME":
			d, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				g.t.Fatal(err)
			}
			p.dates = append(p.dates, d)
		default:
			if strings.HasPrefix(line, "#") {
				p.tags[tag] = value
				continue
			}
			p.urls, p.maps, p.breaks = append(p.urls, line), append(p.maps, header), append(p.breaks, brk)
			brk = false
		}
	}
	return p
}

// all returns the samples of all segments.
func (g *rig) all(path string, p hlsList) (out [2][]seen) {
	g.t.Helper()
	for i, u := range p.urls {
		_, header := g.get("/vod/" + path + "/" + p.maps[i])
		_, body := g.get("/vod/" + path + "/" + u)
		got := samplesOf(g.t, append(header, body...))
		for k := range got {
			out[k] = append(out[k], got[k]...)
		}
	}
	return out
}

// names are those of the samples of a film.
func names(kind byte, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%c%d", kind, i))
	}
	return out
}

func TestVODHasEverythingOnce(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]film{
		"plain":             {seconds: 21},
		"keys in fragments": {seconds: 21, keyEvery: 25},
		"reordered":         {seconds: 21, reorder: true},
		"one group":         {seconds: 21, keyEvery: 100000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, Server{}, nil)
			f.start = filmStart
			g.film("a/b", f)
			p := g.playlist("/vod/a/b/index.m3u8")
			got := g.all("a/b", p)
			for k, want := range [][]string{names('v', 21*30), names('a', len(got[1]))} {
				var have []string
				for _, s := range got[k] {
					have = append(have, s.name)
				}
				if !slices.Equal(want, have) {
					t.Errorf("track %d: %v", k, have)
				}
			}
			if n := len(got[1]); n < 21*46 || n > 21*47+1 {
				t.Errorf("%d audio frames", n)
			}
			total, epoch := 0.0, int64(10*videoScale)
			for i, d := range p.durations {
				if at := filmStart.Add(time.Duration(total * 1e9)); p.dates[i].Sub(at).Abs() > time.Millisecond {
					t.Errorf("segment %d is at %v, want %v", i, p.dates[i], at)
				}
				total += d
			}
			if total < 21 || total > 21.1 || got[0][0].pts-epoch > frameTicks || got[0][0].pts < epoch {
				t.Errorf("%v s, from %d on", total, got[0][0].pts)
			}
			if p.tags["#EXT-X-PLAYLIST-TYPE"] != "VOD" || !strings.Contains(p.text, "#EXT-X-ENDLIST\n") || len(p.urls) > 6 {
				t.Error(p.text)
			}
		})
	}
}

func TestVODOfSegments(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	at := func(s int) time.Time { return filmStart.Add(time.Duration(s) * time.Second) }
	g.film("cam", film{start: at(0), seconds: 10})
	g.film("cam", film{start: at(10), seconds: 10})
	g.film("cam", film{start: at(30), seconds: 10})
	g.film("cam", film{start: at(40), seconds: 10, silent: true})
	p := g.playlist("/vod/cam/index.m3u8")
	if want := []bool{false, false, false, false, false, false, true, false, false, true, false, false}; !slices.Equal(p.breaks, want) {
		t.Errorf("discontinuities: %v\n%s", p.breaks, p.text)
	}
	if n := strings.Count(p.text, "#EXT-X-MAP"); n != 2 {
		t.Errorf("%d headers:\n%s", n, p.text)
	}
	if n := len(g.all("cam", p)[0]); n != 40*30 {
		t.Errorf("%d pictures", n)
	}
	p = g.playlist("/vod/cam/index.m3u8?start=" + at(5).Format(time.RFC3339) + "&end=" + at(35).Format(time.RFC3339))
	if !p.dates[0].Equal(at(4).Add(time.Microsecond)) && !p.dates[0].Equal(at(4)) || p.tags["#EXT-X-START"] == "" || len(p.urls) < 4 {
		t.Error(p.text)
	}
}

func TestDVRFollowsTheEdge(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	start := time.Now().Add(-time.Minute).Truncate(time.Second)
	whole := film{start: start, seconds: 60, silent: true}.bytes(t)
	var last int64
	var known = map[string]int64{}
	for _, n := range []int{len(whole) / 3, len(whole) / 2, len(whole)} {
		g.store("cam", start, whole[:n])
		p := g.playlist("/vod/cam/index.m3u8?dvr=55s")
		if strings.Contains(p.text, "ENDLIST") || p.tags["#EXT-X-PLAYLIST-TYPE"] != "" {
			t.Error(p.text)
		}
		first, err := strconv.ParseInt(p.tags["#EXT-X-MEDIA-SEQUENCE"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for i, u := range p.urls {
			if seq, ok := known[u]; ok && seq != first+int64(i) {
				t.Errorf("%s was number %d, is %d", u, seq, first+int64(i))
			}
			known[u] = first + int64(i)
			last = max(last, first+int64(i))
		}
	}
	if n := len(known); n < 10 {
		t.Errorf("only %d segments", n)
	}
	// who records no more has written the last segment, too
	name := g.pattern.Name("cam", start)
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	if p := g.playlist("/vod/cam/index.m3u8?dvr=55s"); known[p.urls[len(p.urls)-1]] != 0 {
		t.Errorf("the end is missing:\n%s", p.text)
	}
}

func TestWindowNumbers(t *testing.T) {
	t.Parallel()
	pc := func(n int, breaks bool) piece {
		return piece{id: 1, from: time.Duration(n) * time.Second, at: time.Unix(1000, 0), breaks: breaks}
	}
	w := newWindows()
	for i, c := range []struct {
		list []piece
		want place
	}{
		{[]piece{pc(0, true), pc(4, false), pc(8, true), pc(12, false)}, place{sequence: 1000}},
		{[]piece{pc(4, true), pc(8, true), pc(12, false)}, place{sequence: 1001}},
		{[]piece{pc(8, true), pc(12, false)}, place{sequence: 1002, discontinuities: 1}},
		{[]piece{pc(12, true)}, place{sequence: 1003, discontinuities: 1}},
		{[]piece{pc(40, true)}, place{sequence: 1004, discontinuities: 2}},
	} {
		c.want.origin = 990e6
		if got := w.place("cam", time.Hour, c.list); got != c.want {
			t.Errorf("%d: %+v, want %+v", i, got, c.want)
		}
	}
}

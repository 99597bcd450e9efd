package playback

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
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
	ranges    []string // of each segment, as HTTP has them; "": the whole
	maps      []string // header of each segment
	mapRanges []string
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
	brk, header, headerRange, part := false, "", "", ""
	for line := range strings.Lines(p.text) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		switch tag {
		case "#EXT-X-DISCONTINUITY":
			brk = true
		case "#EXT-X-MAP":
			var of string
			header, of, _ = strings.Cut(strings.TrimSuffix(strings.TrimPrefix(value, `URI="`), `"`), `",BYTERANGE="`)
			headerRange = httpRange(g.t, of)
		case "#EXT-X-BYTERANGE":
			part = httpRange(g.t, value)
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
			p.ranges, p.mapRanges = append(p.ranges, part), append(p.mapRanges, headerRange)
			brk, part = false, ""
		}
	}
	return p
}

// httpRange turns n@o into what a Range header says.
func httpRange(t testing.TB, v string) string {
	t.Helper()
	if v == "" {
		return ""
	}
	var n, o int
	if _, err := fmt.Sscanf(v, "%d@%d", &n, &o); err != nil || n <= 0 || o < 0 {
		t.Fatalf("%q: %v", v, err)
	}
	return fmt.Sprintf("bytes=%d-%d", o, o+n-1)
}

// fetch gets a segment, or a header, of the playlist of a path.
func (g *rig) fetch(path, u, part string) []byte {
	g.t.Helper()
	want := http.StatusOK
	var header []string
	if part != "" {
		want, header = http.StatusPartialContent, []string{"Range", part}
	}
	res, b := g.get("/vod/"+path+"/"+u, header...)
	if res.StatusCode != want {
		g.t.Fatalf("%s %s: status %d: %s", u, part, res.StatusCode, b)
	}
	return b
}

// all returns the samples of all segments.
func (g *rig) all(path string, p hlsList) (out [2][]seen) {
	g.t.Helper()
	for i, u := range p.urls {
		got := samplesOf(g.t, append(g.fetch(path, p.maps[i], p.mapRanges[i]), g.fetch(path, u, p.ranges[i])...))
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
	for name, c := range map[string]struct {
		film
		made bool // segments are made, and are no byte ranges
	}{
		"plain":                  {film{seconds: 21}, false},
		"reordered":              {film{seconds: 21, reorder: true}, false},
		"one group":              {film{seconds: 21, keyEvery: 100000}, false},
		"only sound":             {film{seconds: 21, blind: true}, false},
		"every picture is a key": {film{seconds: 21, keyEvery: 1}, false},
		"some keys in fragments": {film{seconds: 21, keyEvery: 25}, false},
		"keys in fragments":      {film{seconds: 21, keyEvery: 50, part: 47}, true},
		"not for players":        {film{seconds: 21, reorder: true, foreign: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := c.film
			g := newRig(t, Server{}, nil)
			f.start = filmStart
			g.film("a/b", f)
			p := g.playlist("/vod/a/b/index.m3u8")
			got := g.all("a/b", p)
			pictures := 21 * 30
			if f.blind {
				pictures = 0
			}
			for k, want := range [][]string{names('v', pictures), names('a', len(got[1]))} {
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
			total, epoch := 0.0, int64(0)
			if c.made {
				epoch = 10 * videoScale
			}
			for i, d := range p.durations {
				if at := filmStart.Add(time.Duration(total * 1e9)); p.dates[i].Sub(at).Abs() > time.Millisecond {
					t.Errorf("segment %d is at %v, want %v", i, p.dates[i], at)
				}
				total += d
				if made := p.ranges[i] == ""; made != c.made || made != (p.mapRanges[i] == "") {
					t.Fatalf("segment %d is made: %v\n%s", i, made, p.text)
				}
			}
			if total < 21 || total > 21.1 || !f.blind && (got[0][0].pts-epoch > frameTicks || got[0][0].pts < epoch) {
				t.Errorf("%v s, from %v on", total, got[0])
			}
			if p.tags["#EXT-X-PLAYLIST-TYPE"] != "VOD" || !strings.Contains(p.text, "#EXT-X-ENDLIST\n") || len(p.urls) > 6 {
				t.Error(p.text)
			}
		})
	}
}

func TestVODOfSegments(t *testing.T) {
	t.Parallel()
	for name, foreign := range map[string]bool{"bytes": false, "made": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, Server{}, nil)
			at := func(s int) time.Time { return filmStart.Add(time.Duration(s) * time.Second) }
			g.film("cam", film{start: at(0), seconds: 10, foreign: foreign})
			g.film("cam", film{start: at(10), seconds: 10, foreign: foreign})
			g.film("cam", film{start: at(30), seconds: 10, foreign: foreign})
			g.film("cam", film{start: at(40), seconds: 10, silent: true, foreign: foreign})
			p := g.playlist("/vod/cam/index.m3u8")
			var breaks []int
			for i, b := range p.breaks {
				if b {
					breaks = append(breaks, i)
				}
			}
			// where there is a gap, or another track
			if !slices.Equal(breaks, []int{6, 9}) || len(p.urls) != 12 {
				t.Errorf("discontinuities: %v\n%s", breaks, p.text)
			}
			if n := strings.Count(p.text, "#EXT-X-MAP"); n != 4 { // one per file
				t.Errorf("%d headers:\n%s", n, p.text)
			}
			pictures := g.all("cam", p)[0]
			if n := len(pictures); n != 40*30 {
				t.Fatalf("%d pictures", n)
			}
			for i, s := range pictures[1:] {
				want := int64(frameTicks)
				if i+1 == 20*30 {
					want += 10 * videoScale
				}
				if d := s.pts - pictures[i].pts; d < want-1 || d > want+1 { // a tick is no microsecond
					t.Fatalf("picture %d is %d ticks after the one before, want %d", i+1, d, want)
				}
			}
			p = g.playlist("/vod/cam/index.m3u8?start=" + at(5).Format(time.RFC3339) + "&end=" + at(35).Format(time.RFC3339))
			if !p.dates[0].Equal(at(4)) || p.tags["#EXT-X-START"] != "TIME-OFFSET=1.000000,PRECISE=YES" || len(p.urls) != 7 {
				t.Error(p.text)
			}
		})
	}
}

// Recordings of either kind follow each other, and a picture that is shown late
// does not make a file longer.
func TestVODOfBothKinds(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	at := func(s int) time.Time { return filmStart.Add(time.Duration(s) * time.Second) }
	g.film("cam", film{start: at(0), seconds: 8, reorder: true, late: 5, begins: 4})
	g.film("cam", film{start: at(8), seconds: 8, reorder: true, late: 5, begins: 4})
	g.film("cam", film{start: at(16), seconds: 8, reorder: true, late: 5, begins: 4, foreign: true})
	g.film("cam", film{start: at(24), seconds: 8, reorder: true, late: 5, begins: 4})
	p := g.playlist("/vod/cam/index.m3u8")
	if want := []bool{false, false, false, false, true, false, true, false}; !slices.Equal(p.breaks, want) {
		t.Errorf("discontinuities: %v\n%s", p.breaks, p.text)
	}
	pictures := g.all("cam", p)[0]
	slices.SortFunc(pictures, func(a, b seen) int { return int(a.pts - b.pts) })
	if n := len(pictures); n != 32*30 {
		t.Fatalf("%d pictures", n)
	}
	for i, s := range pictures[1:] {
		if d := s.pts - pictures[i].pts; d < frameTicks-1 || d > frameTicks+1 {
			t.Fatalf("%s is %d ticks after %s", s.name, d, pictures[i].name)
		}
	}
	for i, d := range p.durations[:4] {
		if d != p.dates[i+1].Sub(p.dates[i]).Seconds() {
			t.Errorf("segment %d: %v s:\n%s", i, d, p.text)
		}
	}
}

// The file of a segment is what players may read, up to its last whole part.
func TestVODOfAFile(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	whole := film{seconds: 5}.bytes(t)
	end := bytes.LastIndex(whole, []byte("moof")) - 4
	name := g.store("a/cam", filmStart, whole[:len(whole)-1])
	u := "/vod/a/cam/" + strconv.FormatInt(filmStart.UnixMicro(), 10) + ".mp4"
	for _, c := range []struct {
		ask, says string
		from, to  int
		status    int
	}{
		{"", "", 0, end, 200},
		{"bytes=0-99", "0-99", 0, 100, 206},
		{"bytes=700-", fmt.Sprintf("700-%d", end-1), 700, end, 206},
		{fmt.Sprintf("bytes=0-%d", len(whole)), fmt.Sprintf("0-%d", end-1), 0, end, 206},
		{fmt.Sprintf("bytes=%d-%d", end, len(whole)), "*", 0, 0, 416},
		{"bytes=1-2,4-5", "", 0, end, 200}, // RFC 9110 section 14.2 lets servers ignore it
	} {
		res, b := g.get(u, "Range", c.ask)
		if res.StatusCode != c.status || c.status != 416 && !bytes.Equal(b, whole[c.from:c.to]) {
			t.Errorf("%q: status %d, %d bytes", c.ask, res.StatusCode, len(b))
		}
		want := ""
		if c.says != "" {
			want = fmt.Sprintf("bytes %s/%d", c.says, end)
		}
		if got := res.Header.Get("Content-Range"); got != want || c.status != 416 && res.Header.Get("Content-Type") != "video/mp4" {
			t.Errorf("%q: %q, want %q", c.ask, got, want)
		}
	}
	if res, b := g.do(http.MethodHead, u); res.ContentLength != int64(end) || len(b) != 0 {
		t.Errorf("HEAD: %d bytes of %d", len(b), res.ContentLength)
	}
	old := time.Now().Add(-time.Hour)
	if res, _ := g.get(u); res.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("a file that grows: %v", res.Header)
	}
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	if res, _ := g.get(u); res.Header.Get("Cache-Control") != cacheControl {
		t.Errorf("a file that does not: %v", res.Header)
	}
}

// With other time stamps, a file is the same otherwise, in whatever ranges it is
// read.
func TestVODMovesAFile(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	whole := film{seconds: 6}.bytes(t)
	g.store("cam", filmStart, whole)
	const hour = 3600
	want := bytes.Clone(whole)
	for at, n := 0, 0; ; n++ {
		i := bytes.Index(want[at:], []byte("tfdt"))
		if i < 0 {
			break
		}
		at += i + 8
		scale := uint64(videoScale)
		if n%2 == 1 {
			scale = audioScale
		}
		be.PutUint64(want[at:], be.Uint64(want[at:])+hour*scale)
	}
	id := filmStart.UnixMicro()
	u := fmt.Sprintf("/vod/cam/%d_%d.mp4", id, id-hour*1e6)
	res, got := g.get(u)
	if res.StatusCode != http.StatusOK || !bytes.Equal(got, want) {
		t.Fatalf("status %d, %d bytes of %d", res.StatusCode, len(got), len(want))
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		from := r.IntN(len(want))
		to := min(len(want), from+1+r.IntN(1<<r.IntN(13)))
		if got := g.fetch("cam", u[len("/vod/cam/"):], fmt.Sprintf("bytes=%d-%d", from, to-1)); !bytes.Equal(got, want[from:to]) {
			t.Fatalf("from %d to %d: %d bytes", from, to, len(got))
		}
	}
	for _, u := range []string{
		fmt.Sprintf("/vod/cam/%d_%d.mp4", id, id+1), fmt.Sprintf("/vod/cam/%d_-1.mp4", id), fmt.Sprintf("/vod/cam/%d_.mp4", id),
		fmt.Sprintf("/vod/cam/%d_0_0.mp4", id),
	} {
		if res, b := g.get(u); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d, %d bytes", u, res.StatusCode, len(b))
		}
	}
}

// A URL of a file leads to nothing but recordings of the path.
func TestVODLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	good := film{start: filmStart, seconds: 1, silent: true}
	g.film("cam", good)
	g.film("cam/inner", film{start: filmStart.Add(time.Hour), seconds: 1, silent: true})
	secret := filepath.Join(g.dir, "secret.mp4")
	if err := os.WriteFile(secret, good.bytes(t), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(n int) time.Time { return filmStart.Add(time.Duration(n) * time.Minute) }
	for i, make := range []func(name string) error{
		func(name string) error { return os.Symlink(secret, name) },
		func(name string) error { return os.Symlink("/dev/zero", name) },
		makeFIFO,
		func(name string) error { return os.Mkdir(name, 0o750) },
		func(name string) error { return os.WriteFile(name, []byte("root:x:0:0\n"), 0o600) },
		func(name string) error { return os.WriteFile(name, film{seconds: 1, foreign: true}.bytes(t), 0o600) },
	} {
		if err := make(g.pattern.Name("cam", at(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	id := func(n int) string { return strconv.FormatInt(at(n).UnixMicro(), 10) + ".mp4" }
	for u, want := range map[string]int{
		"/vod/cam/" + id(0):                       200,
		"/vod/cam/" + id(1):                       404, // a symbolic link
		"/vod/cam/" + id(2):                       404, // to a device
		"/vod/cam/" + id(3):                       404, // a FIFO
		"/vod/cam/" + id(4):                       404, // a folder
		"/vod/cam/" + id(5):                       404, // no recording
		"/vod/cam/" + id(6):                       404, // is not for players
		"/vod/cam/" + id(60):                      404, // of another path
		"/vod/cam/inner/" + id(60):                200,
		"/vod/cam/secret.mp4":                     404,
		"/vod/cam/..%2fsecret.mp4":                404,
		"/vod/cam/%2e%2e/secret.mp4":              400,
		"/vod/cam/-1.mp4":                         404,
		"/vod/cam/+" + id(0):                      404,
		"/vod/cam/0" + id(0):                      404,
		"/vod/cam/9223372036854775807.mp4":        404,
		"/vod/cam/99999999999999999999.mp4":       404,
		"/vod/cam/2026-03-04_10-00-00-000000.mp4": 404,
		"/vod/cam/.mp4":                           404,
		"/vod/other/" + id(0):                     404,
	} {
		began := time.Now()
		res, b := g.get(u)
		if res.StatusCode != want && !(want != 200 && (res.StatusCode == 400 || res.StatusCode == 404)) {
			t.Errorf("%s: status %d, want %d: %.60q", u, res.StatusCode, want, b)
		}
		if want != 200 && (bytes.Contains(b, []byte("ftyp")) || !bytes.HasPrefix(b, []byte(`{"status":"error"`)) && res.StatusCode == 404) {
			t.Errorf("%s: %.60q", u, b)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("%s took %v", u, d)
		}
	}
}

package playback

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/pmp4"

	"github.com/org/mtx/record"
)

const ms = time.Millisecond

// expect tells which pictures or audio frames are shown in a part of a film of
// one segment, in the order of their time.
func (f film) expect(kind byte, from, to time.Duration) (out []seen) {
	scale, step, n := int64(videoScale), int64(frameTicks), f.seconds*30
	if kind == 'a' {
		scale, step, n = audioScale, 1024, (f.seconds*audioScale+1023)/1024
	}
	begin, end := ticks(from, uint32(scale)), ticks(to, uint32(scale))
	for i := range n {
		pts := int64(i) * step
		if kind == 'v' {
			pts += int64(f.withDefaults().offset(i))
		}
		if pts+step > begin && pts < end && (kind == 'a' || pts >= begin) {
			out = append(out, seen{fmt.Sprintf("%c%d", kind, i), pts - begin})
		}
	}
	slices.SortFunc(out, func(a, b seen) int { return int(a.pts - b.pts) })
	return out
}

func (f film) withDefaults() film {
	if f.keyEvery == 0 {
		f.keyEvery = 30
	}
	return f
}

// shown sorts what is shown, and drops what the edit list hides.
func shown(list []seen, kind byte) []seen {
	out := slices.DeleteFunc(slices.Clone(list), func(s seen) bool {
		return kind == 'v' && s.pts < 0 || kind == 'a' && s.pts <= -1024
	})
	slices.SortFunc(out, func(a, b seen) int { return int(a.pts - b.pts) })
	return out
}

func TestGetIsExact(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]film{
		"plain":              {seconds: 12},
		"keys in fragments":  {seconds: 12, keyEvery: 25, part: 30},
		"long groups":        {seconds: 12, keyEvery: 100, part: 15},
		"reordered":          {seconds: 12, reorder: true},
		"cut groups":         {seconds: 12, reorder: true, part: 4},
		"reordered, apart":   {seconds: 6, reorder: true, part: 1},
		"a fragment a frame": {seconds: 5, part: 1},
		"one fragment":       {seconds: 12, part: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, Server{}, nil)
			f.start = filmStart
			g.film("cam", f)
			for _, c := range []struct{ from, d time.Duration }{
				{0, time.Hour}, {0, time.Second}, {100 * ms, 100 * ms}, {1000 * ms, 2500 * ms}, {1500 * ms, 1700 * ms},
				{3700 * ms, 400 * ms}, {3999 * ms, 700 * ms}, {4300 * ms, time.Minute},
			} {
				for _, format := range []string{"fmp4", "mp4"} {
					res, b := g.get(part("cam", filmStart.Add(c.from), c.d, format))
					if res.StatusCode != http.StatusOK {
						t.Fatalf("status %d: %s", res.StatusCode, b)
					}
					got := samplesOfFile(t, b, format)
					for i, kind := range []byte("va") {
						want, have := f.expect(kind, c.from, c.from+c.d), shown(got[i], kind)
						if f.reorder && kind == 'v' {
							// what is decoded first may be shown after the end, if what follows needs it
							end := ticks(c.d, videoScale)
							if all := got[0]; all[len(all)-1].pts >= end {
								t.Errorf("%s from %v for %v: the last picture is hidden: %v", format, c.from, c.d, all)
							}
							have = slices.DeleteFunc(have, func(s seen) bool { return s.pts >= end })
						}
						if !slices.Equal(want, have) {
							t.Errorf("%s from %v for %v, %c:\nwant %v\nhave %v", format, c.from, c.d, kind, want, have)
						}
					}
					if hidden := len(got[0]) - len(shown(got[0], 'v')); hidden > f.withDefaults().keyEvery {
						t.Errorf("%s from %v: %d hidden pictures", format, c.from, hidden)
					}
				}
			}
		})
	}
}

func samplesOfFile(t *testing.T, b []byte, format string) [2][]seen {
	t.Helper()
	if format == "fmp4" {
		return samplesOf(t, b)
	}
	return samplesOfMovie(t, b)
}

// samplesOfMovie reads a plain MP4 file with a parser that is not ours.
func samplesOfMovie(t *testing.T, b []byte) (out [2][]seen) {
	t.Helper()
	var p pmp4.Presentation
	if err := p.Unmarshal(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	var tracks []track
	_ = eachBox(b, func(kind string, body, _ []byte) (err error) {
		if kind == "moov" {
			tracks, err = parseInit(body)
		}
		return err
	})
	for i, tr := range p.Tracks {
		dts := tracks[i].shift // the parser does not know edit lists of version 1
		for _, s := range tr.Samples {
			body, err := s.GetPayload()
			if err != nil {
				t.Fatal(err)
			}
			out[i] = append(out[i], seen{fmt.Sprintf("%c%d", body[0], binary.BigEndian.Uint32(body[1:])), dts + int64(s.PTSOffset)})
			dts += int64(s.Duration)
		}
	}
	return out
}

func TestGetJoinsSegments(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]film{
		"plain":                 {},
		"reordered":             {reorder: true},
		"reordered, to its end": {reorder: true, longer: 1},
		"late, to its end":      {late: 2, longer: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := 15 + f.late // pictures of the first segment
			if f.reorder {
				first++ // all are shown one later
			}
			g := newRig(t, Server{}, nil)
			film := func(after time.Duration, seconds int) {
				f := f
				f.start, f.seconds = filmStart.Add(after), seconds
				g.film("cam", f)
			}
			film(0, 4)
			film(4*time.Second, 4)
			film(8500*ms, 2)        // a gap that is played
			film(24*time.Second, 2) // one that is not
			for _, format := range []string{"fmp4", "mp4"} {
				_, b := g.get(part("cam", filmStart.Add(3500*ms), time.Minute, format))
				got := samplesOfFile(t, b, format)
				video := shown(got[0], 'v')
				if n := len(video); n != first+120+60 {
					t.Fatalf("%s: %d pictures, want %d", format, n, first+180)
				}
				for i, s := range video {
					want := int64(i) * frameTicks
					if i >= first+120 {
						want += videoScale / 2
					}
					if s.pts != want {
						t.Fatalf("%s: picture %d (%s) at %d, want %d", format, i, s.name, s.pts, want)
					}
				}
				if last := video[len(video)-1].name; last != "v59" {
					t.Errorf("%s: the last picture is %s", format, last)
				}
				audio := shown(got[1], 'a')
				for i := range audio[1:] {
					if d := audio[i+1].pts - audio[i].pts; d < 0 || d > audioScale*6/10 {
						t.Errorf("%s: audio frame %d comes %d after the one before", format, i+1, d)
					}
				}
			}
		})
	}
}

func TestGetBeginsWithTheFirstRecording(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.film("cam", film{start: filmStart, seconds: 4})
	_, b := g.get(part("cam", filmStart.Add(-2*time.Second), 3*time.Second, "fmp4"))
	if got := shown(samplesOf(t, b)[0], 'v'); len(got) != 30 || got[0] != (seen{"v0", 0}) {
		t.Errorf("%d pictures: %v", len(got), got)
	}
}

func TestGetStopsWhereTracksChange(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.film("cam", film{start: filmStart, seconds: 2})
	g.film("cam", film{start: filmStart.Add(2 * time.Second), seconds: 2, silent: true})
	_, b := g.get(part("cam", filmStart, time.Minute, "fmp4"))
	if got := samplesOf(t, b)[0]; len(got) != 60 {
		t.Errorf("%d pictures, want 60", len(got))
	}
	var list []item
	g.json("/list?path=cam", &list)
	if len(list) != 2 || list[0].Duration < 2 || list[1].Duration != 2 {
		t.Errorf("list: %+v", list)
	}
}

// Sound of the next segment may begin before the pictures of the last one end.
func TestGetWhereSegmentsOverlap(t *testing.T) {
	t.Parallel()
	const early = 6 // pictures
	second := filmStart.Add(2*time.Second - early*time.Second/30)
	for name, c := range map[string]struct {
		sps  string
		want int // pictures
	}{"same tracks": {"", early/2 + 60}, "other tracks": {strings.Replace(sps48, "\x0a", "\x0b", 1), 60}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, Server{}, nil)
			g.film("cam", film{start: filmStart, seconds: 2})
			g.film("cam", film{start: second, seconds: 2, begins: early, sps: c.sps})
			for _, format := range []string{"fmp4", "mp4"} {
				_, b := g.get(part("cam", second.Add(early/2*time.Second/30), time.Minute, format))
				if got := shown(samplesOfFile(t, b, format)[0], 'v'); len(got) != c.want {
					t.Errorf("%s: %d pictures, want %d: %v", format, len(got), c.want, got)
				}
			}
		})
	}
}

func TestMovieInRanges(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.film("cam", film{start: filmStart, seconds: 4})
	u := part("cam", filmStart.Add(500*ms), 3*time.Second, "mp4")
	res, whole := g.get(u)
	if res.Header.Get("Content-Length") != fmt.Sprint(len(whole)) || res.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("headers: %v", res.Header)
	}
	n := len(whole)
	for _, c := range []struct {
		ask      string
		from, to int // -1: not satisfiable, or everything
		status   int
	}{
		{"bytes=0-", 0, n, 206}, {"bytes=100-199", 100, 200, 206}, {fmt.Sprintf("bytes=%d-", n-50), n - 50, n, 206},
		{"bytes=-7", n - 7, n, 206}, {fmt.Sprintf("bytes=%d-%d", n/2, n*2), n / 2, n, 206},
		{fmt.Sprintf("bytes=%d-", n), 0, 0, 416}, {"bytes=9-3", 0, n, 200}, {"lines=1-2", 0, n, 200}, {"bytes=x", 0, n, 200},
	} {
		res, b := g.get(u, "Range", c.ask)
		if res.StatusCode != c.status || c.status != 416 && !bytes.Equal(b, whole[c.from:c.to]) {
			t.Errorf("%s: status %d, %d bytes", c.ask, res.StatusCode, len(b))
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, n); c.status == 206 && res.Header.Get("Content-Range") != want {
			t.Errorf("%s: %q, want %q", c.ask, res.Header.Get("Content-Range"), want)
		}
	}
	if res, b := g.do(http.MethodHead, u); len(b) != 0 || res.ContentLength != int64(n) {
		t.Errorf("HEAD: %d bytes, length %d", len(b), res.ContentLength)
	}
}

// A part of a file that has grown does not fit to what the client has of it.
func TestMovieInRangesGrows(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	f := film{start: filmStart, seconds: 2}
	g.film("cam", f)
	u := part("cam", filmStart, time.Minute, "mp4")
	res, first := g.get(u)
	tag := res.Header.Get("ETag")
	if res, b := g.get(u, "Range", "bytes=100-", "If-Range", tag); tag == "" || res.StatusCode != 206 || !bytes.Equal(b, first[100:]) {
		t.Errorf("tag %s: status %d, %d bytes of %d", tag, res.StatusCode, len(b), len(first))
	}
	f.seconds = 3
	g.film("cam", f)
	if res, b := g.get(u, "Range", "bytes=100-", "If-Range", tag); res.StatusCode != 200 || len(b) <= len(first) || res.Header.Get("ETag") == tag {
		t.Errorf("after it has grown: status %d, %d bytes, tag %s", res.StatusCode, len(b), res.Header.Get("ETag"))
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.film("cam", film{start: filmStart, seconds: 1})
	const at = "start=2026-03-04T10:00:00Z"
	for u, want := range map[string]int{
		"/get?path=cam&" + at + "&duration=1":                 200,
		"/get?path=cam&" + at + "&duration=1s":                200,
		"/get?" + at + "&duration=1":                          400,
		"/get?path=cam&duration=1":                            400,
		"/get?path=cam&start=noon&duration=1":                 400,
		"/get?path=cam&" + at:                                 400,
		"/get?path=cam&" + at + "&duration=0":                 400,
		"/get?path=cam&" + at + "&duration=-1":                400,
		"/get?path=cam&" + at + "&duration=NaN":               400,
		"/get?path=cam&" + at + "&duration=1e300":             400,
		"/get?path=cam&" + at + "&duration=1&format=avi":      400,
		"/get?path=../cam&" + at + "&duration=1":              400,
		"/get?path=..%2fcam&" + at + "&duration=1":            400,
		"/get?path=other&" + at + "&duration=1":               404,
		"/get?path=cam&start=2020-01-01T00:00:00Z&duration=1": 404,
		"/get?path=cam&start=2027-01-01T00:00:00Z&duration=1": 404,
		"/list?path=cam":                                      200,
		"/list":                                               400,
		"/list?path=cam&start=x":                              400,
		"/list?path=cam&end=x":                                400,
		"/list?path=cam&" + at + "&end=2026-03-04T09:00:00Z":  400,
		"/list?path=other":                                    404,
		"/list?path=cam;x=%zz":                                400,
		"/vod/cam/index.m3u8":                                 200,
		"/vod/cam/index.m3u8?dvr=x":                           400,
		"/vod/cam/index.m3u8?dvr=1h&" + at:                    400,
		"/vod/cam/index.m3u8?start=x":                         400,
		"/vod/other/index.m3u8":                               404,
		"/vod/cam/init_1.mp4":                                 404,
		"/vod/cam/init_x.mp4":                                 404,
		"/vod/cam/1_2_3.m4s":                                  404,
		"/vod/cam/1_3_2.m4s":                                  404,
		"/vod/cam/1_0_2_3.m4s":                                404,
		"/":                                                   404,
		"/cam":                                                302,
		"/cam/":                                               200,
	} {
		res, b := g.get(u)
		if res.StatusCode != want {
			t.Errorf("%s: status %d, want %d: %s", u, res.StatusCode, want, b)
		}
		if want >= 400 && (!strings.HasPrefix(string(b), `{"status":"error","error":"`) || res.Header.Get("Content-Type") != "application/json; charset=utf-8") {
			t.Errorf("%s: %s", u, b)
		}
	}
	if res, _ := g.do(http.MethodPost, "/list?path=cam"); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", res.StatusCode)
	}
}

// Tables that are too large to be kept are the same.
func TestLargeTables(t *testing.T) {
	t.Parallel()
	f := film{start: filmStart, seconds: 20, keyEvery: 25, reorder: true}
	b := f.bytes(t)
	x, err := buildIndex(t.Context(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	s := &segment{record.Segment{Start: filmStart}, x, readFile{bytes.NewReader(b)}, 0}
	tl := &timeline{start: filmStart.Add(1234 * ms), duration: time.Minute, segments: []record.Segment{s.Segment}, first: s, tracks: s.list()}
	var out [2]bytes.Buffer
	for i, limit := range []int64{0, maxTables} {
		m, err := layOutMovie(t.Context(), tl, limit)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.writeTo(t.Context(), newOutput(&out[i])); err != nil {
			t.Fatal(err)
		}
		if int64(out[i].Len()) != m.size {
			t.Errorf("%d bytes, want %d", out[i].Len(), m.size)
		}
	}
	if !bytes.Equal(out[0].Bytes(), out[1].Bytes()) {
		t.Error("the files differ")
	}
}

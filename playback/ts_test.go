package playback

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

// sampleOf is what the tests know of a sample: its time and its bytes.
type sampleOf struct {
	pts  time.Duration
	data string
	sync bool
}

// read plays a source without an edit list.
func readAll(t *testing.T, tl *timeline) map[bool][]sampleOf {
	t.Helper()
	out := map[bool][]sampleOf{}
	if err := tl.walk(t.Context(), func(src io.ReaderAt, chunks []chunk) error {
		for i := range chunks {
			c := &chunks[i]
			size, _ := c.size()
			b := make([]byte, size)
			if _, err := c.from(src).ReadAt(b, c.at); err != nil {
				return err
			}
			tr, dts := &tl.tracks[c.track], c.dts
			for _, s := range c.samples {
				out[tr.video] = append(out[tr.video], sampleOf{tr.time(dts + int64(s.offset)), string(b[:s.size]), s.sync})
				b = b[s.size:]
				dts += int64(s.duration)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func transportRig(t *testing.T) (*rig, []byte) {
	t.Helper()
	b, err := os.ReadFile("testdata/h264_aac.ts")
	if err != nil {
		t.Fatal(err)
	}
	p := pattern(t, t.TempDir(), record.MPEGTS)
	g := newRig(t, Server{Recordings: []Recording{{Name: "ts", Pattern: p}}}, nil)
	g.pattern = p
	return g, b
}

func openTransport(t *testing.T, b []byte, start time.Time, from, d time.Duration) *timeline {
	t.Helper()
	c, err := readTransport(context.Background(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	s := &segment{record.Segment{Start: start}, c, readFile{bytes.NewReader(b)}, 0}
	return &timeline{
		lib: newLibrary(nil, slog.New(slog.DiscardHandler)), start: start.Add(from), duration: d,
		segments: []record.Segment{s.Segment}, first: s, tracks: s.list(),
	}
}

// A part of a transport stream is the same, wherever reading begins.
func TestTransportSeeks(t *testing.T) {
	t.Parallel()
	_, b := transportRig(t)
	whole := readAll(t, openTransport(t, b, filmStart, 0, time.Hour))
	if n := len(whole[true]); n != 150 {
		t.Fatalf("%d pictures, want 150", n)
	}
	for i, s := range whole[true] {
		want := time.Duration(i) * time.Second / 30
		if (s.pts-want).Abs() > time.Millisecond || s.sync != (i%30 == 0) {
			t.Fatalf("picture %d is at %v, want %v; key frame: %v", i, s.pts, want, s.sync)
		}
	}
	for i, s := range whole[false][1:] {
		if d := s.pts - whole[false][i].pts; (d - 21333333).Abs() > 2*time.Millisecond {
			t.Errorf("audio frame %d is %v after the one before", i+1, d)
		}
	}
	for _, from := range []time.Duration{0, 900 * ms, 1000 * ms, 2345 * ms, 4100 * ms} {
		part := readAll(t, openTransport(t, b, filmStart, from, 1300*ms))
		for video, list := range part {
			list = slices.DeleteFunc(list, func(s sampleOf) bool { return s.pts < 0 })
			at := slices.IndexFunc(whole[video], func(s sampleOf) bool { return s.pts >= from-500*time.Microsecond })
			for i, s := range list {
				w := whole[video][at+i]
				if s.data != w.data || (s.pts-w.pts+from).Abs() > 50*time.Microsecond {
					t.Errorf("from %v, video %v: sample %d at %v, want %v, same bytes: %v", from, video, i, s.pts, w.pts-from, s.data == w.data)
					break
				}
			}
			if want := min(1300*ms, 5*time.Second-from) / (time.Second / 30); video && len(list) != int(want) {
				t.Errorf("from %v: %d pictures, want %d", from, len(list), want)
			}
		}
	}
}

func TestTransportIsPlayed(t *testing.T) {
	t.Parallel()
	g, b := transportRig(t)
	g.store("ts", filmStart, b)
	g.store("ts", filmStart.Add(5*time.Second), b)
	var list []item
	g.json("/list?path=ts", &list)
	if len(list) != 1 || list[0].Duration < 9.99 || list[0].Duration > 10.1 {
		t.Errorf("list: %+v", list)
	}
	for _, format := range []string{"fmp4", "mp4"} {
		res, body := g.get(part("ts", filmStart.Add(4500*ms), time.Second, format))
		if res.StatusCode != http.StatusOK || !bytes.Contains(body[:100], []byte("ftyp")) {
			t.Fatalf("%s: status %d: %.100q", format, res.StatusCode, body)
		}
	}
	p := g.playlist("/vod/ts/index.m3u8")
	if len(p.urls) != 4 {
		t.Error(p.text)
	}
	for i, u := range p.urls {
		_, header := g.get("/vod/ts/" + p.maps[i])
		res, body := g.get("/vod/ts/" + u)
		if res.StatusCode != http.StatusOK || len(body) < 1000 || len(header) < 500 {
			t.Errorf("%s: status %d, %d bytes", u, res.StatusCode, len(body))
		}
	}
}

func TestHostileTransports(t *testing.T) {
	t.Parallel()
	g, b := transportRig(t)
	for i, bad := range [][]byte{
		nil, {0x47}, b[:188], b[:1000], b[188*10:], bytes.Repeat([]byte{0x47}, 1<<20), make([]byte, 1<<20),
		append(bytes.Clone(b[:5000]), bytes.Repeat([]byte{0xff}, 1<<20)...),
	} {
		start := filmStart.Add(time.Duration(i) * time.Hour)
		g.store("ts", start, bad)
		for _, u := range []string{"/list?path=ts", part("ts", start, time.Second, "mp4"), "/vod/ts/index.m3u8"} {
			began := time.Now()
			if res, _ := g.get(u); res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNotFound || time.Since(began) > time.Second {
				t.Errorf("%d: %s: status %d after %v", i, u, res.StatusCode, time.Since(began))
			}
		}
	}
}

package playback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

// hour stores a segment of an hour with 4 Mbit/s, of which only the headers are on
// disk: the rest are holes.
func hour(b testing.TB, p record.Pattern, path string) {
	b.Helper()
	small := film{seconds: 1}.bytes(b)
	at := bytes.Index(small, []byte("moof")) - 4
	header, moof := small[:at], small[at:bytes.LastIndex(small, []byte("mdat"))-4]
	name := p.Name(path, filmStart)
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write(header); err != nil {
		b.Fatal(err)
	}
	pos := int64(len(header))
	const second = 500 << 10
	for i := range 3600 {
		m := bytes.Clone(moof)
		// the times of both tracks, and 500 KB in the first picture
		first := bytes.Index(m, []byte("tfdt"))
		be.PutUint64(m[first+8:], uint64(i)*videoScale)
		be.PutUint64(m[first+4+bytes.Index(m[first+4:], []byte("tfdt"))+8:], uint64(i)*audioScale)
		run := bytes.Index(m, []byte("trun"))
		be.PutUint32(m[run+4+4+4+4+4:], second) // flags, count, offset, duration
		m = append(m, 0, 0, 0, 0, 'm', 'd', 'a', 't')
		be.PutUint32(m[len(m)-8:], 8+second+4096)
		if _, err := f.WriteAt(m, pos); err != nil {
			b.Fatal(err)
		}
		pos += int64(len(m)) + second + 4096
	}
	if err := f.Truncate(pos); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStart is the time until the first byte of a part of an hour, of which
// nothing is known yet; and until a playlist of all of it.
func BenchmarkStart(b *testing.B) {
	p := pattern(b, b.TempDir(), record.FMP4)
	hour(b, p, "cam")
	from := func(at, d time.Duration, write func(context.Context, *output, *timeline) error) func(context.Context, *server, *output) error {
		return func(ctx context.Context, s *server, o *output) error {
			found, _, err := s.lib.find(ctx, p, "cam", filmStart, time.Time{})
			if err != nil {
				return err
			}
			t, err := newTimeline(ctx, s.lib, found, filmStart.Add(at), d)
			if err != nil {
				return err
			}
			defer t.close()
			return write(ctx, o, t)
		}
	}
	for _, c := range []struct {
		name string
		do   func(context.Context, *server, *output) error
	}{
		{"get fmp4", from(50*time.Minute, time.Minute, writeFragmented)},
		{"get mp4", from(0, time.Hour, func(ctx context.Context, o *output, t *timeline) error {
			m, err := newMovie(ctx, t)
			if err != nil {
				return err
			}
			return m.writeTo(ctx, o)
		})},
		{"vod", func(ctx context.Context, s *server, o *output) error {
			list, err := s.pieces(ctx, &request{path: "cam", pattern: p}, time.Time{}, time.Time{}, false)
			if err != nil {
				return err
			}
			_, err = o.Write(playlist(list, "", place{origin: originOf(list)}, true))
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := &server{lib: newLibrary(nil, slog.New(slog.DiscardHandler))}
				o := newOutput(io.Discard)
				o.left = 1
				if err := c.do(b.Context(), s, o); !errors.Is(err, errStop) { // it is passed on as it is
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkThroughput reads five minutes of an hour, in all the ways that there are,
// beside a plain file server on the same file.
func BenchmarkThroughput(b *testing.B) {
	g := newRig(b, Server{}, nil)
	hour(b, g.pattern, "cam")
	plain := httptest.NewServer(http.FileServer(http.Dir(g.dir)))
	b.Cleanup(plain.Close)
	const size = 300 * 508 << 10 // about that of five minutes
	id := filmStart.UnixMicro()
	for _, c := range []struct{ name, url, ask string }{
		{"file server", plain.URL + "/cam/" + filepath.Base(g.pattern.Name("cam", filmStart)), "bytes=0-" + strconv.Itoa(size)},
		{"get fmp4", g.url + part("cam", filmStart, 5*time.Minute, "fmp4"), ""},
		{"get mp4", g.url + part("cam", filmStart, 5*time.Minute, "mp4"), ""},
		{"vod", fmt.Sprintf("%s/vod/cam/%d.mp4", g.url, id), "bytes=0-" + strconv.Itoa(size)},
		{"vod moved", fmt.Sprintf("%s/vod/cam/%d_%d.mp4", g.url, id, id-1e9), "bytes=0-" + strconv.Itoa(size)},
		{"vod made", fmt.Sprintf("%s/vod/cam/%d_0_300000000_%d.m4s", g.url, id, id-1e9), ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.SetBytes(fetch(b, g, c.url, c.ask))
			}
		})
	}
}

func fetch(t testing.TB, g *rig, u, ask string) int64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := http.StatusOK
	if ask != "" {
		req.Header.Set("Range", ask)
		want = http.StatusPartialContent
	}
	res, err := g.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || res.StatusCode != want {
		t.Fatalf("status %d, %v", res.StatusCode, err)
	}
	return n
}

// Memory does not grow with the length of what is played.
func TestMemoryOfAnHour(t *testing.T) {
	p := pattern(t, t.TempDir(), record.FMP4)
	hour(t, p, "cam")
	lib := newLibrary(nil, slog.New(slog.DiscardHandler))
	found, _, err := lib.find(t.Context(), p, "cam", filmStart, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tl, err := newTimeline(t.Context(), lib, found, filmStart, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer tl.close()
	m, err := newMovie(t.Context(), tl)
	if err != nil {
		t.Fatal(err)
	}
	o := newOutput(io.Discard)
	o.left = m.data                                                 // all tables
	if err := m.writeTo(t.Context(), o); !errors.Is(err, errStop) { // it is passed on as it is
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(m)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 3<<20 {
		t.Errorf("%d bytes are kept for an hour", kept)
	}
	// what was allocated meanwhile is that of a fragment, over and over
	if total := after.TotalAlloc - before.TotalAlloc; total > 64<<20 {
		t.Errorf("%d bytes were allocated for the tables", total)
	}
}

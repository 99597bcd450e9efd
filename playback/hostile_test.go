package playback

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

// patch replaces what follows the n-th name of a box.
func patchBox(b []byte, name string, n, offset int, value ...byte) []byte {
	out := bytes.Clone(b)
	at := 0
	for range n + 1 {
		i := bytes.Index(out[at:], []byte(name))
		if i < 0 {
			return out
		}
		at += i + 4
	}
	copy(out[at+offset:], value)
	return out
}

// nested makes boxes inside of each other.
func nested(names string, depth int) []byte {
	out := make([]byte, 8*depth)
	for i := range depth {
		binary.BigEndian.PutUint32(out[8*i:], uint32(8*(depth-i)))
		copy(out[8*i+4:], names)
	}
	return out
}

// hostile are recordings that are not what they should be.
func hostile(t testing.TB) map[string][]byte {
	good := film{seconds: 5}.bytes(t)
	moof := bytes.Index(good, []byte("moof")) - 4
	header, media := good[:moof], good[moof:]
	huge := []byte{0xff, 0xff, 0xff, 0xff}
	out := map[string][]byte{
		"empty":                   {},
		"a byte":                  {0},
		"zeros":                   make([]byte, 1<<20),
		"header only":             header,
		"no header":               media,
		"two headers":             append(bytes.Clone(header), good...),
		"spliced":                 append(bytes.Clone(good), good...),
		"half a fragment":         good[:moof+100],
		"video time scale 0":      patchBox(good, "mdhd", 0, 12, 0, 0, 0, 0),
		"movie time scale 0":      patchBox(good, "mvhd", 0, 12, 0, 0, 0, 0),
		"samples 2^32":            patchBox(good, "trun", 0, 4, huge...),
		"samples without size":    patchBox(good, "trun", 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff),
		"sample of 4 GB":          patchBox(good, "trun", 0, 16, huge...),
		"sample of 2^32 ticks":    patchBox(good, "trun", 0, 12, huge...),
		"time 2^64":               patchBox(good, "tfdt", 0, 4, append(huge, huge...)...),
		"time 2^40":               patchBox(good, "tfdt", 2, 4, 0, 0, 1, 0, 0, 0, 0, 0),
		"unknown track":           patchBox(good, "tfhd", 0, 4, huge...),
		"moov of 4 GB":            patchBox(good, "moov", 0, -8, huge...),
		"moof of 4 GB":            patchBox(good, "moof", 1, -8, huge...),
		"mdat of 2^63":            patchBox(good, "mdat", 0, -8, 0, 0, 0, 1, 'm', 'd', 'a', 't', 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"box of size 3":           patchBox(good, "moof", 1, -8, 0, 0, 0, 3),
		"trak without size":       patchBox(good, "trak", 0, -8, 0, 0, 0, 0),
		"no sample description":   patchBox(good, "stsd", 0, -4, 'x'),
		"no media header":         patchBox(good, "mdhd", 0, -4, 'x'),
		"no track header":         patchBox(good, "tkhd", 0, -4, 'x'),
		"no track fragment":       patchBox(good, "tfhd", 0, -4, 'x'),
		"no tracks":               patchBox(patchBox(good, "trak", 0, -4, 'x'), "trak", 0, -4, 'x'),
		"nested":                  nested("moov", 100000),
		"nested fragments":        append(bytes.Clone(header), nested("moof", 100000)...),
		"many boxes":              append(bytes.Clone(header), bytes.Repeat([]byte{0, 0, 0, 8, 'f', 'r', 'e', 'e'}, 1<<20)...),
		"many fragments, no data": append(bytes.Clone(header), bytes.Repeat([]byte{0, 0, 0, 8, 'm', 'o', 'o', 'f', 0, 0, 0, 8, 'm', 'd', 'a', 't'}, 1<<19)...),
		"text":                    []byte(strings.Repeat("this is not a recording\n", 1000)),
		"transport stream":        bytes.Repeat(append([]byte{0x47, 0, 0, 0x10}, make([]byte, 184)...), 1000),
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 30 {
		b := bytes.Clone(good)
		for range 1 + i {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		out["flipped "+string(rune('A'+i))] = b
		out["cut "+string(rune('A'+i))] = good[:r.IntN(len(good))]
	}
	return out
}

// Whatever is in a file: an answer within a second, without much memory, and
// without harm to the others.
func TestHostileRecordings(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	n := 0
	for name, b := range hostile(t) {
		n++
		path := "x/" + strconv.Itoa(n)
		g.store(path, filmStart, b)
		g.film(path, film{start: filmStart.Add(time.Hour), seconds: 2, silent: true})
		var list []item
		began := time.Now()
		g.json("/list?path="+path, &list)
		if n := len(list); n == 0 || list[n-1].Duration != 2 || list[0].Duration > 12 && !strings.HasPrefix(name, "flipped") || list[0].Duration > 3700 {
			t.Errorf("%s: %+v", name, list)
		}
		for _, u := range []string{
			part(path, filmStart, 10*time.Second, "fmp4"), part(path, filmStart, 10*time.Second, "mp4"),
			"/vod/" + path + "/index.m3u8", "/vod/" + path + "/1772618400000000.mp4", "/vod/" + path + "/init_1772618400000000.mp4", "/vod/" + path + "/1772618400000000_0_4000000_0.m4s",
		} {
			began := time.Now()
			res, b := g.get(u)
			if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNotFound || len(b) > 1<<20 {
				t.Errorf("%s: %s: status %d, %d bytes", name, u, res.StatusCode, len(b))
			}
			if d := time.Since(began); d > time.Second {
				t.Errorf("%s: %s took %v", name, u, d)
			}
		}
		if d := time.Since(began); d > 3*time.Second { // all of them
			t.Errorf("%s took %v", name, d)
		}
	}
}

func TestHostileFolder(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	good := film{start: filmStart, seconds: 2, silent: true}
	at := func(s int) time.Time { return filmStart.Add(time.Duration(s) * time.Minute) }
	g.film("cam", good)
	outside := filepath.Join(t.TempDir(), "secret.mp4")
	if err := os.WriteFile(outside, good.bytes(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, make := range []func(name string) error{
		makeFIFO,
		func(name string) error { return os.Symlink(outside, name) },
		func(name string) error { return os.Symlink("/dev/zero", name) },
		func(name string) error { return os.Mkdir(name, 0o750) },
		func(name string) error { return os.WriteFile(name, good.bytes(t), 0) },
		func(name string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(name), "notes.mp4"), nil, 0o600)
		},
	} {
		if err := make(g.pattern.Name("cam", at(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	want := 1
	if os.Geteuid() == 0 {
		want = 2 // root may read what nobody may
	}
	began := time.Now()
	var list []item
	g.json("/list?path=cam", &list)
	if len(list) != want {
		t.Errorf("list: %+v, want %d", list, want)
	}
	if n := len(g.all("cam", g.playlist("/vod/cam/index.m3u8"))[0]); n != 60*want {
		t.Errorf("%d pictures", n)
	}
	if res, _ := g.get(part("cam", at(1), 3*time.Minute, "mp4")); res.StatusCode != http.StatusNotFound {
		t.Errorf("what is no file: status %d", res.StatusCode)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %v", d)
	}
}

// forbidden is a store of which nothing may be read: tests may be run by root, who
// may read everything.
type forbidden struct {
	record.Local
	list bool // folders may be
}

func (f forbidden) Open(name string) (record.ReadFile, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func (f forbidden) List(ctx context.Context, root string) iter.Seq2[record.Entry, error] {
	if f.list {
		return f.Local.List(ctx, root)
	}
	return func(yield func(record.Entry, error) bool) {
		yield(record.Entry{}, &fs.PathError{Op: "open", Path: root, Err: fs.ErrPermission})
	}
}

func TestFolderWithoutPermission(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		store  forbidden
		status map[string]int
	}{
		"folder": {forbidden{list: false}, map[string]int{"/list?path=cam": 500, "/vod/cam/index.m3u8": 500, part("cam", filmStart, time.Second, "mp4"): 500}},
		"file":   {forbidden{list: true}, map[string]int{"/list?path=cam": 200, "/vod/cam/index.m3u8": 404, part("cam", filmStart, time.Second, "mp4"): 404}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, Server{Store: c.store}, nil)
			g.film("cam", film{start: filmStart, seconds: 1})
			c.status["/vod/cam/1772618400000000.mp4"] = 404
			c.status["/vod/cam/1772618400000000_0_1000000_0.m4s"] = 404
			for u, want := range c.status {
				res, b := g.get(u)
				if res.StatusCode != want || want != 200 && !bytes.HasPrefix(b, []byte(`{"status":"error","error":"`)) || want == 200 && string(b) != "[]\n" {
					t.Errorf("%s: status %d, want %d: %s", u, res.StatusCode, want, b)
				}
				if bytes.Contains(b, []byte(g.dir)) {
					t.Errorf("%s: it tells where the files are: %s", u, b)
				}
			}
		})
	}
}

// The memory for one file is bounded, however long it is.
func TestIndexIsBounded(t *testing.T) {
	t.Parallel()
	b := film{seconds: 600, part: 1, silent: true}.bytes(t)
	moof := bytes.Index(b, []byte("moof")) - 4
	media := b[moof:]
	n := (maxSpans/18000 + 2)
	long := bytes.Clone(b)
	for i := range n {
		m := bytes.Clone(media)
		k := 0
		for at := 0; ; k++ {
			j := bytes.Index(m[at:], []byte("tfdt"))
			if j < 0 {
				break
			}
			at += j + 8
			binary.BigEndian.PutUint64(m[at:], uint64((i+1)*18000+k)*frameTicks)
		}
		long = append(long, m...)
	}
	x, err := buildIndex(t.Context(), bytes.NewReader(long), int64(len(long)))
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Duration(n+1) * 600 * time.Second; x.end != want || x.weight() > 2<<20 || len(x.entries) < maxSpans/2 {
		t.Errorf("%v of %v, %d entries, %d bytes", x.end, want, len(x.entries), x.weight())
	}
	for _, s := range []int{0, 59, 600, 1234, n * 600} {
		first := int64(-1)
		err := x.walk(t.Context(), bytes.NewReader(long), time.Duration(s)*time.Second, func(c []chunk) error {
			first = c[0].dts
			return errStop
		})
		if want := int64(s) * videoScale; !errors.Is(err, errStop) || first > want || first < want-2*videoScale {
			t.Errorf("%d s: begins at %d, want %d", s, first, want)
		}
	}
}

func FuzzSegment(f *testing.F) {
	for _, x := range []film{{seconds: 3}, {seconds: 2, reorder: true, keyEvery: 20}, {seconds: 1, silent: true, part: 5}} {
		f.Add(x.bytes(f), false)
	}
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, filepath.Ext(name) == ".ts")
	}
	f.Fuzz(func(t *testing.T, b []byte, transport bool) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		lib := newLibrary(nil, slog.New(slog.DiscardHandler))
		format := record.FMP4
		if transport {
			format = record.MPEGTS
		}
		c, err := lib.read(ctx, format, bytes.NewReader(b), int64(len(b)), nil)
		if err == nil {
			play(ctx, t, c, b)
		}
		if ctx.Err() != nil {
			t.Fatal("it takes too long")
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 512<<20 {
			t.Fatalf("%d bytes of memory for %d of a file", used, len(b))
		}
	})
}

// play does all that can be done with a segment.
func play(ctx context.Context, t *testing.T, c contents, b []byte) {
	t.Helper()
	s := &segment{record.Segment{Start: filmStart}, c, readFile{bytes.NewReader(b)}, 0}
	cuts, err := c.cuts(ctx, s.file)
	if err != nil {
		return
	}
	for i, from := range cuts[:min(len(cuts), 3)] {
		to := c.length()
		if i+1 < len(cuts) {
			to = cuts[i+1].at
		}
		_ = newCutter(s, from.at, to, filmStart).write(ctx, newOutput(io.Discard))
	}
	checkBytes(ctx, t, c, cuts, b)
	for _, from := range []time.Duration{0, time.Second, c.length() / 2} {
		tl := &timeline{start: filmStart.Add(from), duration: 2 * time.Second, segments: []record.Segment{s.Segment}, first: s, tracks: s.list()}
		_ = writeFragmented(ctx, newOutput(io.Discard), tl)
		if m, err := newMovie(ctx, tl); err == nil {
			var out bytes.Buffer
			if err := m.writeTo(ctx, newOutput(&out)); err == nil && int64(out.Len()) != m.size {
				t.Fatalf("a file of %d bytes has %d", m.size, out.Len())
			}
		}
	}
}

// checkBytes verifies that pieces of a file are what players expect: behind its
// header come whole fragments, the first of which begins with a key frame.
func checkBytes(ctx context.Context, t *testing.T, c contents, cuts []cut, b []byte) {
	t.Helper()
	file := c.bytes()
	if file.head == 0 {
		return
	}
	x := c.(*index)
	var moved bytes.Buffer
	if err := x.send(&moved, readFile{bytes.NewReader(b)}, 0, file.end, time.Hour); err != nil || int64(moved.Len()) != file.end {
		t.Fatalf("with other time stamps: %d of %d bytes, %v", moved.Len(), file.end, err)
	}
	at := file.head
	if cuts[0].pos != at || file.end > int64(len(b)) {
		t.Fatalf("%v in %+v of %d bytes", cuts, file, len(b))
	}
	for i, from := range cuts {
		to := extent{end: file.end}
		if i+1 < len(cuts) {
			to.end = cuts[i+1].pos
		}
		if from.pos != at || to.end <= at || i > 0 && from.at < cuts[i-1].at+leastPiece {
			t.Fatalf("piece %d of %v in %+v", i, cuts, file)
		}
		at = to.end
		part := slices.Concat(b[:file.head], b[from.pos:to.end])
		var s scanner
		if err := s.open(bytes.NewReader(part), int64(len(part))); err != nil {
			t.Fatal(err)
		}
		key := false
		for n := 0; ; n++ {
			f, err := s.scan(ctx)
			if err != nil {
				break
			}
			for _, x := range f.chunks {
				key = key || n == 0 && x.samples[0].sync
			}
		}
		if s.pos != int64(len(part)) || s.odd || i > 0 && !key {
			t.Fatalf("piece %d of %v ends at %d of %d bytes, begins with a key frame: %v", i, cuts, s.pos, len(part), key)
		}
	}
}

// readFile is a file in memory.
type readFile struct{ *bytes.Reader }

func (readFile) Close() error               { return nil }
func (readFile) Stat() (os.FileInfo, error) { return nil, os.ErrInvalid }

package record

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// Each key frame is the first picture of a part, so that the file can be sent from
// there on, but a part is not much shorter than it should be.
func TestPartsBeginAtKeyFrames(t *testing.T) {
	t.Parallel()
	const seconds = 12
	for _, c := range []struct {
		name   string
		gop    int // pictures of 40 ms; zero: never again
		part   time.Duration
		inside bool // key frames may be inside of parts, which begin with one
		most   int  // parts
	}{
		{"as long as parts", 25, time.Second, false, 12},
		{"longer", 50, time.Second, false, 12},
		{"much longer", 200, time.Second, false, 13},
		{"a bit longer", 30, time.Second, false, 20},
		{"shorter", 10, time.Second, false, 30},
		{"much shorter", 4, time.Second, true, 38},
		{"all pictures are key frames", 1, time.Second, true, 12},
		{"only one", 0, time.Second, false, 12},
		{"short parts", 25, 200 * time.Millisecond, false, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := newStudio(t, Sink{PartDuration: c.part, SegmentDuration: time.Minute}, avTracks())
			a := 0
			for v := range seconds * 25 {
				u := picture(1, 100)
				if c.gop == 0 && v == 0 || c.gop > 0 && v%c.gop == 0 {
					u = picture(0, 100)
				}
				u.PTS = int64(v) * frameTicks
				st.write(0, u)
				for ; int64(a)*aacTicks*90000/48000 < int64(v+1)*frameTicks; a++ {
					st.write(1, sound(a))
				}
			}
			list := st.stop()
			if len(list) != 1 {
				t.Fatalf("%d segments", len(list))
			}
			m := parseFile(t, list[0].Name)
			checkParts(t, m, c.inside)
			if n := len(m.parts); n > c.most {
				t.Errorf("%d parts, want at most %d", n, c.most)
			}
			if n := len(m.tracks[1].payload); n != seconds*25 {
				t.Errorf("%d pictures", n)
			}
			if n := len(m.tracks[2].payload); n != a {
				t.Errorf("%d samples of audio, want %d", n, a)
			}
			for _, p := range m.parts {
				if d := partDuration(m, p.Tracks[0].ID, len(p.Tracks[0].Samples)); d > c.part+50*time.Millisecond {
					t.Errorf("a part of %v", d)
				}
			}
		})
	}
}

// partDuration is that of n pictures of the sample tracks.
func partDuration(m *movie, id, n int) time.Duration {
	return m.tracks[id].time(int64(n) * frameTicks)
}

func checkParts(t *testing.T, m *movie, inside bool) {
	t.Helper()
	for i, p := range m.parts {
		if p.Tracks[0].ID != 1 {
			t.Errorf("part %d begins with track %d", i, p.Tracks[0].ID)
			continue
		}
		for k, s := range p.Tracks[0].Samples {
			if !s.IsNonSyncSample && k > 0 && !inside {
				t.Errorf("part %d: picture %d is a key frame", i, k)
			}
			if s.IsNonSyncSample && k == 0 && inside {
				t.Errorf("part %d does not begin with a key frame", i)
			}
		}
	}
}

// Sound goes on to be stored while pictures are missing.
func TestPartsWithoutPictures(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{}, avTracks())
	st.write(0, picture(0, 100))
	st.write(0, picture(1, 100))
	for a := range 5 * 48000 / aacTicks {
		st.write(1, sound(a))
	}
	st.settle(func(s Stats) bool { return s.Parts >= 3 })
	m := parseFile(t, st.stop()[0].Name)
	if n := len(m.tracks[1].payload); n != 2 || !m.tracks[1].sync[0] {
		t.Errorf("%d pictures", n)
	}
}

// What the stream keeps for new readers is recorded when it begins, but not again
// when the recorder is restarted.
func TestRestartRepeatsNothing(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{}, avTracks()[:1])
	path := func(sinks ...router.Sink) router.PathConfig {
		c := st.path(sinks...)
		c.GOPCache = router.GOPCache{MaxBytes: router.DefaultGOPCacheBytes}
		return c
	}
	add := func(c router.PathConfig) {
		t.Helper()
		if err := st.r.AddPath(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	st.pub.Close()
	st.wait()
	add(path())
	pub, err := st.r.Publish(t.Context(), testPath, st.tracks)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	st.pub = pub
	write := func(from, to int) {
		for n := from; n < to; n++ {
			st.write(0, picture(n, 100))
		}
	}
	write(0, 10)
	add(path(st.sink)) // recording is switched on: what there is of the picture is taken
	st.waitSink()
	write(10, 20)
	other := st.sink
	other.PartDuration = 500 * time.Millisecond
	add(path()) // and it is restarted
	st.wait()
	add(path(other))
	st.waitSink()
	write(20, 3*gop)
	list := st.stop()
	if len(list) != 2 {
		t.Fatalf("%d segments", len(list))
	}
	for i, want := range []struct {
		start    time.Duration
		pictures int
	}{{0, 20}, {time.Second, 2 * gop}} {
		m := parseFile(t, list[i].Name)
		if at := list[i].Start.Sub(epoch).Round(time.Millisecond); at != want.start || len(m.tracks[1].payload) != want.pictures {
			t.Errorf("segment %d begins at %v and has %d pictures, want %+v", i, at, len(m.tracks[1].payload), want)
		}
	}
}

// A state does not keep streams alive that are over.
func TestStateForgetsStreams(t *testing.T) {
	t.Parallel()
	s := &State{}
	p := mustPattern(t, DefaultPattern, FMP4)
	st := newStudio(t, Sink{}, []media.Track{{Codec: &media.H264{}}})
	stream := st.pub.Stream()
	if !s.first("a", p, stream) || s.first("a", p, stream) || !s.first("b", p, stream) {
		t.Error("a stream is first once per path")
	}
	st.stop()
	if !s.first("c", p, stream) || len(s.begun) != 1 {
		t.Errorf("%d streams are kept", len(s.begun))
	}
}

// A publisher that sends its first key frame at once, as those of RTMP and SRT do, loses
// nothing: the next one may be ten seconds away.
func TestFirstKeyFrame(t *testing.T) {
	t.Parallel()
	for range 20 {
		s := Sink{Pattern: filepath.Join(t.TempDir(), "%path", "%s-%f"), State: &State{}}
		r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: testPath, Sinks: []router.Sink{s}}}})
		pub, err := r.Publish(t.Context(), testPath, avTracks())
		if err != nil {
			t.Fatal(err)
		}
		for n := range 10 {
			pub.Write(0, picture(n, 100))
		}
		pub.Close()
		pat := mustPattern(t, s.Pattern, FMP4)
		routertest.Eventually(t, "all is recorded", func() bool {
			list, err := Find(t.Context(), nil, pat, testPath)
			return err == nil && len(list) == 1 && s.State.running.Load() == 0
		})
	}
}

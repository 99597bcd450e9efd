package record

import (
	"bytes"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// faultyStore is a disk of a size that can be changed, and that can hang.
type faultyStore struct {
	Local

	mu    sync.Mutex
	size  int64
	used  int64
	hang  chan struct{} // writes wait until it is closed
	files atomic.Int64  // that were created
}

func (s *faultyStore) resize(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = n
}

// fill leaves n bytes.
func (s *faultyStore) fill(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = s.used + n
}

func (s *faultyStore) setHang(c chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hang = c
}

// take returns how many of n bytes there is room for.
func (s *faultyStore) take(n int) int {
	s.mu.Lock()
	hang := s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n = int(min(int64(n), max(s.size-s.used, 0)))
	s.used += int64(n)
	return n
}

func (s *faultyStore) Create(name string) (File, error) {
	f, err := s.Local.Create(name)
	if err != nil {
		return nil, err
	}
	s.files.Add(1)
	return &faultyFile{File: f, store: s}, nil
}

type faultyFile struct {
	File

	store *faultyStore
	size  int64
}

func (f *faultyFile) Write(p []byte) (int, error) {
	n := f.store.take(len(p))
	w, err := f.File.Write(p[:n])
	f.size += int64(w)
	if err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return w, err
}

func (f *faultyFile) Truncate(size int64) error {
	f.store.mu.Lock()
	f.store.used -= f.size - size
	f.store.mu.Unlock()
	f.size = size
	return f.File.Truncate(size)
}

// logged collects log records.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// settle waits until the writer has nothing to do.
func (st *studio) settle(done func(Stats) bool) {
	st.t.Helper()
	routertest.Eventually(st.t, "the writer has done its work", func() bool { return done(st.sink.State.Stats()) })
}

func TestDiskFullAndBack(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FMP4, MPEGTS} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			disk := &faultyStore{size: 1 << 40}
			var log logged
			st := newStudio(t, Sink{Format: format, PartDuration: 200 * time.Millisecond, Store: disk}, avTracks(), log.logger())
			st.play(0, 5*time.Second)
			st.settle(func(s Stats) bool { return s.Parts >= 24 })
			disk.fill(10)
			st.play(5*time.Second, time.Second)
			st.settle(func(s Stats) bool { return s.DroppedParts > 0 })
			st.play(6*time.Second, time.Second)
			st.settle(func(Stats) bool { return disk.files.Load() == 2 }) // it tries again at key frames
			st.play(7*time.Second, time.Second)
			disk.resize(1 << 40)
			written := st.sink.State.Stats().Parts
			st.play(8*time.Second, 4*time.Second)
			st.settle(func(s Stats) bool { return s.Parts >= written+10 })
			list := st.stop()

			if n := log.count("parts are dropped"); n != 1 {
				t.Errorf("logged %d times: %s", n, log.buf.String())
			}
			if n := log.count("recording goes on"); n != 1 {
				t.Errorf("the end was logged %d times", n)
			}
			if len(list) != 2 {
				t.Fatalf("%d segments", len(list))
			}
			var ends time.Duration
			for i, g := range list {
				d := wholeSegment(t, format, g.Name)
				st.events.Wait(t, "completed "+g.Name, 1)
				if g.Start.Before(epoch.Add(ends)) {
					t.Errorf("segment %d begins at %v", i, g.Start)
				}
				ends = g.Start.Sub(epoch) + d
				if i == 0 && (d < 4500*time.Millisecond || d > 5100*time.Millisecond) {
					t.Errorf("the first segment has %v", d)
				}
			}
			if ends < 11800*time.Millisecond {
				t.Errorf("the last segment ends after %v", ends)
			}
			if files := filesOf(t, st); len(files) != 2 {
				t.Errorf("files %v", files)
			}
		})
	}
}

// wholeSegment checks that a segment ends with a whole part, and returns its
// duration.
func wholeSegment(t *testing.T, f Format, name string) time.Duration {
	t.Helper()
	if f == FMP4 {
		return parseFile(t, name).duration()
	}
	first, last := transportTimes(t, name)
	return max(last[0], last[1]) - min(first[0], first[1])
}

func filesOf(t *testing.T, st *studio) (names []string) {
	t.Helper()
	err := filepath.WalkDir(st.pat.Root(), func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestNoFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, Local{}, filepath.Join(dir, "file"), "") // stands where a folder should be
	var log logged
	st := newStudio(t, Sink{Pattern: filepath.Join(dir, "file", "%path-%s")}, avTracks(), log.logger())
	st.play(0, 5*time.Second)
	st.settle(func(s Stats) bool { return s.DroppedParts > 0 })
	st.pub.Close()
	st.wait()
	if n := log.count("parts are dropped"); n != 1 {
		t.Errorf("logged %d times: %s", n, log.buf.String())
	}
}

// A disk that hangs holds up nobody, and costs no more memory than is allowed.
func TestDiskHangs(t *testing.T) {
	t.Parallel()
	disk := &faultyStore{size: 1 << 40}
	hang := make(chan struct{})
	disk.setHang(hang)
	var log logged
	const limit = 200_000
	st := newStudio(t, Sink{PartDuration: 200 * time.Millisecond, MaxPartSize: limit, Store: disk}, avTracks()[:1], log.logger())
	for n := range 10 * gop { // 250,000 bytes a second
		st.write(0, picture(n, 10_000))
	}
	st.settle(func(Stats) bool { // the recorder has seen everything
		p, _ := st.r.Path(testPath)
		return p.Info().Out == p.Info().In
	})
	if s := st.sink.State.Stats(); s.DroppedParts == 0 || s.Parts != 0 {
		t.Errorf("stats %+v", s)
	}
	disk.setHang(nil)
	close(hang)
	st.settle(func(s Stats) bool { return s.OpenSegments == 0 })
	for n := 10 * gop; n < 14*gop; n++ {
		st.write(0, picture(n, 1000))
	}
	list := st.stop()
	if len(list) < 2 {
		t.Errorf("%d segments", len(list))
	}
	for _, g := range list {
		parseFile(t, g.Name) // parts are whole
	}
	if n := log.count("parts are dropped"); n != 1 || log.count("recording goes on") != 1 {
		t.Errorf("logged %d times: %s", n, log.buf.String())
	}
}

func TestPartTooLarge(t *testing.T) {
	t.Parallel()
	var log logged
	st := newStudio(t, Sink{MaxPartSize: 50_000}, avTracks()[:1], log.logger())
	for n := range 6 * gop {
		size := 100
		if n/gop == 2 || n/gop == 4 {
			size = 5000
		}
		st.write(0, picture(n, size))
	}
	list := st.stop()
	if st.pub.Stream().Err() == nil || len(list) != 3 {
		t.Fatalf("%d segments", len(list))
	}
	for i, g := range list {
		m := parseFile(t, g.Name)
		if want := []time.Duration{2 * time.Second, time.Second, time.Second}[i]; i < 2 && m.duration() > want || i == 2 && m.duration() != want {
			t.Errorf("segment %d has %v", i, m.duration())
		}
	}
	if s := st.sink.State.Stats(); s.DroppedParts != 2 || log.count("larger than the maximum") != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestNameIsTaken(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{}, avTracks())
	taken := st.pat.Name(testPath, epoch)
	writeFile(t, Local{}, taken, "precious")
	st.play(0, time.Second)
	list := st.stop()
	if len(list) != 2 || list[0].Size != 8 || list[1].Start.Sub(list[0].Start) != time.Microsecond {
		t.Errorf("segments %+v", list)
	}
}

func TestTimeStamps(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FMP4, MPEGTS} {
		for _, c := range []struct {
			name  string
			shift time.Duration // of the second half
			ntp   time.Duration
			want  []time.Duration
		}{
			{"continuous", 0, 0, []time.Duration{6 * time.Second}},
			{"back", -time.Hour, 0, []time.Duration{3 * time.Second, 3 * time.Second}},
			{"a little back", -1500 * time.Millisecond, 0, []time.Duration{3 * time.Second, 3 * time.Second}},
			{"forward", time.Hour, 0, []time.Duration{3 * time.Second, 3 * time.Second}},
			{"stall", 20 * time.Second, 20 * time.Second, []time.Duration{3 * time.Second, 3 * time.Second}},
			{"clock of the source", 0, time.Hour, []time.Duration{3 * time.Second, 3 * time.Second}},
			{"gap", 2 * time.Second, 2 * time.Second, []time.Duration{8 * time.Second}},
		} {
			t.Run(string(format)+" "+c.name, func(t *testing.T) {
				t.Parallel()
				st := newStudio(t, Sink{Format: format}, avTracks())
				st.play(0, 3*time.Second)
				for n := 3 * gop; n < 6*gop; n++ {
					u := picture(n, 100)
					u.NTP = epoch.Add(media.Duration(u.PTS, 90000) + c.ntp)
					u.PTS += media.Ticks(c.shift, 90000)
					st.write(0, u)
				}
				list := st.stop()
				if len(list) != len(c.want) {
					t.Fatalf("%d segments, want %d", len(list), len(c.want))
				}
				for i, g := range list {
					if d := wholeSegment(t, format, g.Name); d-c.want[i] > 60*time.Millisecond || c.want[i]-d > 60*time.Millisecond {
						t.Errorf("segment %d: %v, want %v", i, d, c.want[i])
					}
				}
				if last := list[len(list)-1]; len(list) == 2 {
					if want := epoch.Add(3*time.Second + c.ntp); last.Start.Sub(want).Abs() > time.Millisecond {
						t.Errorf("the second segment begins at %v, want %v", last.Start, want)
					}
				}
			})
		}
	}
}

// otherSPS is of 640x480.
var otherSPS = []byte("\x67\x42\xc0\x1e\xd9\x00\xa0\x3d\xb0\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2e\x48")

// What was shown last in front of a jump of time stamps does not last until after it.
func TestLengthInFrontOfJump(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{6 * time.Second, time.Minute} {
		st := newStudio(t, Sink{}, avTracks()[:1])
		for n := range 2 * gop {
			u := picture(n, 100)
			u.NTP = epoch.Add(media.Duration(u.PTS, 90000)) // goes on
			if n >= gop {
				u.PTS += media.Ticks(jump, 90000)
			}
			st.write(0, u)
		}
		list := st.stop()
		if len(list) != 2 {
			t.Fatalf("%v: %d segments", jump, len(list))
		}
		want := media.Duration(gop*frameTicks, 90000)
		for i, g := range list {
			if d := parseFile(t, g.Name).duration(); (d - want).Abs() > time.Millisecond {
				t.Errorf("%v: segment %d lasts %v, want %v", jump, i+1, d, want)
			}
		}
	}
}

func TestCodecChange(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FMP4, MPEGTS} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			st := newStudio(t, Sink{Format: format}, avTracks())
			st.play(0, 2*time.Second)
			for n := 2 * gop; n < 4*gop; n++ {
				u := picture(n, 100)
				if n%gop == 0 {
					u.Payload[1] = otherSPS
				}
				st.write(0, u)
			}
			list := st.stop()
			if len(list) != 2 {
				t.Fatalf("%d segments", len(list))
			}
			for _, g := range list {
				if d := wholeSegment(t, format, g.Name); d < 1900*time.Millisecond || d > 2100*time.Millisecond {
					t.Errorf("duration %v", d)
				}
			}
		})
	}
}

// Sound that is multiplexed in front of the picture that it belongs to is there,
// and the first pictures are, whatever comes first.
func TestEarlySound(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{}, avTracks())
	for n := range 30 {
		st.write(1, sound(n))
	}
	for n := range gop {
		st.write(0, picture(n, 100))
	}
	m := parseFile(t, st.stop()[0].Name)
	if v, a := len(m.tracks[1].payload), len(m.tracks[2].payload); v != gop || a != 30 {
		t.Errorf("%d pictures and %d samples of audio", v, a)
	}
}

func TestSoundOnly(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FMP4, MPEGTS} {
		st := newStudio(t, Sink{Format: format, SegmentDuration: 2 * time.Second}, []media.Track{avTracks()[1]})
		for n := range 5 * 48000 / aacTicks {
			st.write(0, sound(n))
		}
		if list := st.stop(); len(list) != 3 {
			t.Errorf("%s: %d segments", format, len(list))
		}
	}
}

// Recording is switched off and on while the stream goes on.
func TestLiveSwitch(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{}, avTracks())
	st.play(0, 2*time.Second)
	st.settle(func(s Stats) bool { return s.Parts >= 1 })
	if err := st.r.AddPath(t.Context(), st.path()); err != nil {
		t.Fatal(err)
	}
	st.wait()
	st.play(2*time.Second, 2*time.Second)
	if err := st.r.AddPath(t.Context(), st.path(st.sink)); err != nil {
		t.Fatal(err)
	}
	st.waitSink()
	st.play(4*time.Second, 2*time.Second)
	list := st.stop()
	if len(list) != 2 {
		t.Fatalf("%d segments", len(list))
	}
	if list[1].Start.Sub(epoch).Round(time.Millisecond) != 4*time.Second {
		t.Errorf("the second segment begins at %v", list[1].Start)
	}
	for _, g := range list {
		parseFile(t, g.Name)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sink Sink
		want string
	}{
		{Sink{}, ""},
		{Sink{Pattern: "x"}, "%path"},
		{Sink{Format: "avi"}, `"avi"`},
		{Sink{PartDuration: time.Microsecond}, "part duration 1µs"},
		{Sink{MaxPartSize: 1}, "part size 1 "},
		{Sink{SegmentDuration: -1}, "segment duration"},
	} {
		err := c.sink.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c.sink, err)
		}
	}
}

// measuredStore says how much space is free.
type measuredStore struct {
	Local

	free atomic.Uint64
}

func (s *measuredStore) Free(string) (uint64, error) { return s.free.Load(), nil }

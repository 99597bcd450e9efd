package record

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

const (
	benchStreams = 50
	benchPicture = 4_000_000 / 8 / 25 // bytes: 4 Mbit/s
)

// cpuTime returns what this process has used up to now.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRecord records 50 streams of 4 Mbit/s in parts of one second; each
// round is one second. "copy" writes the same bytes to as many files, with as
// many calls of fsync, and nothing else. What counts is cpu-ms/MB, and how many
// times that of the copy it is; a few rounds are needed until it settles.
func BenchmarkRecord(b *testing.B) {
	var plain float64
	b.Run("copy", func(b *testing.B) { plain = benchCopy(b) })
	for _, f := range []Format{FMP4, MPEGTS} {
		b.Run(string(f), func(b *testing.B) {
			if cpu := benchRecord(b, f); plain > 0 {
				b.ReportMetric(cpu/plain, "x-copy")
			}
		})
	}
}

// report returns milliseconds of CPU time for a megabyte.
func report(b *testing.B, cpu time.Duration, bytes int64) float64 {
	b.Helper()
	b.SetBytes(bytes / int64(b.N))
	v := float64(cpu.Microseconds()) / 1000 / (float64(bytes) / 1e6)
	b.ReportMetric(v, "cpu-ms/MB")
	return v
}

func benchRecord(b *testing.B, f Format) float64 {
	dir := b.TempDir()
	state := &State{}
	sink := Sink{Pattern: filepath.Join(dir, "%path", "%s-%f"), Format: f, State: state}
	cfg := router.Config{QueueSize: 1024}
	for i := range benchStreams {
		cfg.Paths = append(cfg.Paths, router.PathConfig{
			Name: fmt.Sprintf("cam%d", i), UseAbsoluteTimestamp: true, Sinks: []router.Sink{sink},
		})
	}
	r := routertest.New(b, cfg)
	var pubs []*router.Publisher
	for i := range benchStreams {
		pub, err := r.Publish(b.Context(), fmt.Sprintf("cam%d", i), avTracks())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(pub.Close)
		pubs = append(pubs, pub)
	}
	routertest.Eventually(b, "all recorders read", func() bool { return state.Stats().Recorders == benchStreams })
	second := func(k int) {
		for n := k * gop; n < (k+1)*gop; n++ {
			u := picture(n, benchPicture)
			u.NTP = epoch.Add(media.Duration(u.PTS, 90000))
			for _, p := range pubs {
				v, a1, a2 := *u, sound(2*n), sound(2*n+1)
				a1.NTP, a2.NTP = u.NTP, u.NTP
				a1.PTS, a2.PTS = int64(n)*1920, int64(n)*1920+960
				p.Write(0, &v)
				p.Write(1, a1)
				p.Write(1, a2)
			}
		}
	}
	second(0) // the first part is written with the second
	begin, bytes := cpuTime(b), state.Stats().Bytes
	b.ResetTimer()
	for k := 1; k <= b.N; k++ {
		second(k)
		routertest.Eventually(b, "the parts are written", func() bool { return state.Stats().Parts >= uint64(k*benchStreams) })
	}
	b.StopTimer()
	s := state.Stats()
	cpu := report(b, cpuTime(b)-begin, int64(s.Bytes-bytes))
	if s.DroppedParts+s.DroppedUnits > 0 {
		b.Errorf("stats %+v", s)
	}
	var mem unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &mem)
	b.ReportMetric(float64(mem.Maxrss)/1024, "rss-MB")
	return cpu
}

func benchCopy(b *testing.B) float64 {
	dir := b.TempDir()
	part := make([]byte, gop*benchPicture)
	var files []*os.File
	for i := range benchStreams {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	begin := cpuTime(b)
	b.ResetTimer()
	for range b.N {
		var wg sync.WaitGroup
		for _, f := range files {
			wg.Go(func() {
				if _, err := f.Write(part); err != nil {
					b.Error(err)
				}
				if err := f.Sync(); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	b.StopTimer()
	return report(b, cpuTime(b)-begin, int64(b.N)*benchStreams*int64(len(part)))
}

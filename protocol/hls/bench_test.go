//go:build unix

package hls

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router/media"
)

const (
	benchViewers = 100
	benchTime    = 4 * time.Second
	benchRate    = 4_000_000 // bit/s

	// benchEnv makes the test binary the process of the viewers.
	benchEnv = "HLS_BENCH_URL"
)

// BenchmarkViewers compares 100 viewers of a stream of 4 Mbit/s, with low
// latency, with the plain use of gohlslib behind net/http. The viewers are in a
// process of their own; what is measured is that of the server:
//
//	plain-us/MB, us/MB   CPU time per MB delivered
//	ratio                of both
//	plain-B/MB, B/MB     memory allocated per MB delivered
func BenchmarkViewers(b *testing.B) {
	var plain, ours load
	for b.Loop() {
		for _, m := range []struct {
			total *load
			start func(testing.TB) (url string, stop func())
		}{{&plain, startPlain}, {&ours, startOurs}} {
			url, stop := m.start(b)
			l := measure(b, url)
			stop()
			m.total.cpu += l.cpu
			m.total.bytes += l.bytes
			m.total.allocated += l.allocated
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(plain.perMB(plain.cpu.Seconds()*1e6), "plain-us/MB")
	b.ReportMetric(ours.perMB(ours.cpu.Seconds()*1e6), "us/MB")
	b.ReportMetric(ours.perMB(ours.cpu.Seconds())/plain.perMB(plain.cpu.Seconds()), "ratio")
	b.ReportMetric(plain.perMB(float64(plain.allocated)), "plain-B/MB")
	b.ReportMetric(ours.perMB(float64(ours.allocated)), "B/MB")
}

// load is what serving cost.
type load struct {
	cpu       time.Duration
	bytes     uint64
	allocated uint64
}

func (l *load) perMB(v float64) float64 { return v / (float64(l.bytes) / 1e6) }

// measure runs viewers for a while.
func measure(b testing.TB, url string) load {
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestBenchViewers$")
	cmd.Env = append(os.Environ(), benchEnv+"="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReader(out)
	await := func(what string) (n uint64) {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				b.Fatalf("viewers: %v", err)
			}
			if rest, ok := strings.CutPrefix(line, what+" "); ok {
				n, _ = strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
				return n
			}
		}
	}
	from := await("warm")
	cpu, mem := usage(b)
	to := await("done")
	cpu2, mem2 := usage(b)
	if err := cmd.Wait(); err != nil {
		b.Fatalf("viewers: %v", err)
	}
	return load{cpu2 - cpu, to - from, mem2 - mem}
}

// usage returns CPU time and allocated bytes of this process.
func usage(b testing.TB) (time.Duration, uint64) {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), ms.TotalAlloc
}

// benchUnits calls write with access units of benchRate, in real time.
func benchUnits(write func(*media.Unit)) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / fps)
		defer tick.Stop()
		for n := 0; ; n++ {
			u := videoUnit(n, sps1080, benchRate/8/fps)
			u.NTP = time.Now()
			write(u)
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

func startPlain(b testing.TB) (url string, stop func()) {
	track := &gohlslib.Track{Codec: &codecs.H264{SPS: []byte(sps1080), PPS: []byte(pps)}, ClockRate: 90000}
	m := &gohlslib.Muxer{
		Variant: gohlslib.MuxerVariantLowLatency, SegmentMinDuration: time.Second, PartMinDuration: 200 * time.Millisecond,
		Tracks: []*gohlslib.Track{track}, OnEncodeError: func(error) {},
	}
	if err := m.Start(); err != nil {
		b.Fatal(err)
	}
	stopUnits := benchUnits(func(u *media.Unit) {
		if err := m.WriteH264(track, u.NTP, u.PTS, u.Payload); err != nil {
			b.Error(err)
		}
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = path.Base(r.URL.Path)
		m.Handle(w, r)
	}))
	return srv.URL + "/cam/", func() {
		stopUnits()
		m.Close()
		srv.Close()
	}
}

func startOurs(b testing.TB) (url string, stop func()) {
	g := newRig(b, Server{
		HTTP:            httpserver.Listen{Addr: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)}, // no access log
		SegmentDuration: time.Second, PartDuration: 200 * time.Millisecond,
	}, nil)
	pub, err := g.Publish(context.Background(), "cam", []media.Track{{Codec: &media.H264{}}})
	if err != nil {
		b.Fatal(err)
	}
	stopUnits := benchUnits(func(u *media.Unit) { pub.Write(0, u) })
	return g.url + "/cam/", func() {
		stopUnits()
		pub.Close()
		if err := g.Close(); err != nil {
			b.Error(err)
		}
	}
}

// TestBenchViewers is the process of the viewers of BenchmarkViewers.
func TestBenchViewers(t *testing.T) { // alone in its process
	base := os.Getenv(benchEnv)
	if base == "" {
		t.Skip("it is started by BenchmarkViewers only")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var total atomic.Uint64
	var wg sync.WaitGroup
	for range benchViewers {
		wg.Go(func() {
			if err := benchWatch(ctx, base, &total); err != nil && ctx.Err() == nil {
				t.Errorf("viewer: %v", err)
			}
		})
	}
	time.Sleep(3 * time.Second) // all of them are in the rhythm of the parts
	fmt.Println("warm", total.Load())
	time.Sleep(benchTime)
	fmt.Println("done", total.Load())
	cancel()
	wg.Wait()
}

// benchWatch does what a player does: it asks for the part that is announced,
// and for the playlist with the next one.
func benchWatch(ctx context.Context, base string, total *atomic.Uint64) error {
	host := strings.SplitN(strings.TrimPrefix(base, "http://"), "/", 2)[0]
	dir := strings.TrimPrefix(base, "http://"+host)
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	r := bufio.NewReaderSize(conn, 64<<10)
	var body bytes.Buffer
	get := func(file string) error {
		if _, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: %s\r\n\r\n", dir, file, host); err != nil {
			return err
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		body.Reset()
		n, err := io.Copy(&body, res.Body)
		total.Add(uint64(n))
		if err == nil && (res.StatusCode != http.StatusOK || n == 0) {
			err = fmt.Errorf("%s: %s, %d bytes", file, res.Status, n)
		}
		return err
	}
	if err := get("index.m3u8"); err != nil {
		return err
	}
	list := "video1_stream.m3u8"
	for {
		if err := get(list); err != nil {
			return err
		}
		hint, msn, part, err := benchNext(body.String())
		if err != nil {
			return err
		}
		if err := get(hint); err != nil {
			return err
		}
		list = fmt.Sprintf("video1_stream.m3u8?_HLS_msn=%d&_HLS_part=%d", msn, part)
	}
}

// benchNext reads what comes next from a playlist.
func benchNext(list string) (hint string, msn, part int, err error) {
	for line := range strings.Lines(list) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
		case "#EXT-X-MEDIA-SEQUENCE":
			n, _ := strconv.Atoi(value)
			msn += n
		case "#EXTINF":
			msn++
			part = 0
		case "#EXT-X-PART":
			part++
		case "#EXT-X-PRELOAD-HINT":
			_, hint, _ = strings.Cut(value, `URI="`)
			hint = strings.TrimSuffix(hint, `"`)
		}
	}
	if hint == "" {
		return "", 0, 0, fmt.Errorf("no preload hint in\n%s", list)
	}
	return hint, msn, part, nil
}

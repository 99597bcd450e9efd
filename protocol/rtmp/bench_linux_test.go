package rtmp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"golang.org/x/sys/unix"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

const (
	benchReaders = 200
	// benchSize and benchPace make 4 Mbit/s.
	benchSize = 16700
	benchPace = time.Second / 30
	benchWarm = 15 // messages before measuring

	// benchEnv makes a copy of the test program the readers: what they cost does
	// not belong to the server.
	benchEnv = "RTMP_BENCH_READERS" // see TestMain
)

// BenchmarkReaders compares this server with one gortmplib.Writer, one goroutine
// and one queue per reader, on the same stream: CPU of the serving process per
// message and reader. Use -benchtime 150x: an iteration is a picture, in real time.
func BenchmarkReaders(b *testing.B) {
	var cost [2]float64
	b.Run("plain", func(b *testing.B) { cost[0] = benchPlain(b) })
	b.Run("server", func(b *testing.B) {
		cost[1] = benchServer(b)
		if cost[0] > 0 {
			b.ReportMetric(cost[1]/cost[0], "ratio")
		}
	})
}

func benchUnit(n int) [][]byte {
	p := make([]byte, benchSize)
	p[0] = 0x41
	if n%30 == 0 {
		p[0] = 0x65
	}
	p[1] = 0x88
	return [][]byte{p}
}

// measure sends b.N messages and returns the cost of each for one reader.
func measure(b *testing.B, send func(n int)) float64 {
	b.Helper()
	tick := time.NewTicker(benchPace)
	defer tick.Stop()
	var begin int64
	for n := range b.N + benchWarm {
		<-tick.C
		if n == benchWarm {
			begin = processCPU()
			b.ResetTimer()
		}
		send(n)
	}
	<-tick.C
	cost := float64(processCPU()-begin) / 1000 / float64(b.N) / benchReaders
	b.ReportMetric(cost, "cpu-us/message")
	b.ReportMetric(0, "ns/op")
	return cost
}

func processCPU() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts)
	return ts.Nano()
}

func benchServer(b *testing.B) float64 {
	r, addr := start(b, &rtmp.Server{})
	pub, err := r.Publish(b.Context(), "bench", []media.Track{{Codec: &media.H264{SPS: sps, PPS: pps}}})
	if err != nil {
		b.Fatal(err)
	}
	defer pub.Close()
	startReaders(b, addr)
	routertest.WaitReaders(b, r, "bench", benchReaders)
	cost := measure(b, func(n int) { pub.Write(0, &media.Unit{PTS: int64(n) * 3000, Payload: benchUnit(n)}) })
	for i := range r.Sessions("rtmpConn") {
		d := i.Details.(*rtmp.Details)
		if d.OutboundFramesDiscarded > 0 || d.OutboundBytes < uint64(b.N*benchSize) {
			b.Errorf("reader got %d bytes, %d messages were discarded", d.OutboundBytes, d.OutboundFramesDiscarded)
		}
	}
	return cost
}

// plainReader is a reader in the usual way.
type plainReader struct {
	w     *gortmplib.Writer
	queue chan func() error
}

func benchPlain(b *testing.B) float64 {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() { _ = ln.Close() }()
	readers := make(chan *plainReader, benchReaders)
	track := &gortmplib.Track{Codec: &codecs.H264{SPS: sps, PPS: pps}}
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { servePlain(c, track, readers) })
		}
	})
	startReaders(b, ln.Addr().String())
	var list []*plainReader
	for range benchReaders {
		list = append(list, <-readers)
	}
	defer func() {
		for _, r := range list {
			close(r.queue)
		}
	}()
	return measure(b, func(n int) {
		pts, au := time.Duration(n)*time.Second/30, benchUnit(n)
		for _, r := range list {
			r.queue <- func() error { return r.w.WriteH264(track, pts, pts, au) }
		}
	})
}

func servePlain(c net.Conn, track *gortmplib.Track, out chan<- *plainReader) {
	defer func() { _ = c.Close() }()
	sc := &gortmplib.ServerConn{RW: c}
	w := &gortmplib.Writer{Conn: sc, Tracks: []*gortmplib.Track{track}}
	if sc.Initialize() != nil || sc.AcceptConn() != nil || w.Initialize() != nil {
		return
	}
	r := &plainReader{w: w, queue: make(chan func() error, 512)}
	go func() { // servers must notice that readers leave
		for {
			if _, err := sc.Read(); err != nil {
				return
			}
		}
	}()
	out <- r
	for f := range r.queue {
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		if f() != nil {
			return
		}
	}
}

// startReaders starts a process with readers that throw away what they get.
func startReaders(b *testing.B, addr string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchEnv+"="+addr)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close() // tells it to end
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if n, _ := strconv.Atoi(line[:max(0, len(line)-1)]); err != nil || n != benchReaders {
		b.Fatalf("readers: %q, %v", line, err)
	}
}

// benchClients is the process with the readers.
func benchClients(addr string) {
	u := &url.URL{Scheme: "rtmp", Host: addr, Path: "/bench"}
	n := 0
	for range benchReaders {
		c := &gortmplib.Client{URL: u}
		if err := c.Initialize(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			break
		}
		n++
		go func() {
			_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, c.NetConn(), make([]byte, 64<<10))
		}()
	}
	fmt.Println(n)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

package srt

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

const (
	benchReaders = 100

	// readersEnv makes the test binary a set of readers: an address.
	readersEnv = "SRT_BENCH_READERS"
)

// BenchmarkRead compares the processor time of a whole server (router, muxer, SRT) with that of the plain use of the
// library: a muxer, and Conn.Write for each reader. 100 readers, in a process of their own, get 1 Mbit/s each. One
// operation is one access unit, in real time: use -benchtime 300x.
func BenchmarkRead(b *testing.B) {
	b.Run("ours", benchmarkOurs)
	b.Run("gosrt", benchmarkPlain)
}

// benchUnits writes a picture of 4 KB, and audio beside it.
func benchUnits(n int, write func(track int, u *media.Unit)) {
	u := routertest.SampleUnit(0, n)
	last := len(u.Payload) - 1
	u.Payload[last] = append(bytes.Clone(u.Payload[last]), make([]byte, 3900)...)
	write(0, u)
	for i := n * 50 / 30; i < (n+1)*50/30; i++ {
		a := routertest.SampleUnit(1, i)
		a.Payload[0] = append(bytes.Clone(a.Payload[0]), make([]byte, 160)...)
		write(1, a)
	}
}

func benchmarkOurs(b *testing.B) {
	g := newRig(b, anyPath())
	pub, err := g.r.Publish(b.Context(), "s", routertest.SampleTracks())
	if err != nil {
		b.Fatal(err)
	}
	defer pub.Close()
	before := memory()
	stop := startReaders(b, g.addr)
	defer stop()
	routertest.WaitReaders(b, g.r, "s", benchReaders)
	routertest.Eventually(b, "all read", func() bool { return len(g.sessions("read")) == benchReaders })
	measure(b, before, func(n int) { benchUnits(n, pub.Write) }, func() uint64 {
		var packets uint64
		for _, d := range g.sessions("read") {
			packets += d.PacketsSent
		}
		return packets
	})
}

func benchmarkPlain(b *testing.B) {
	cfg := gosrt.DefaultConfig()
	cfg.PayloadSize = 1316
	before := memory()
	l, err := gosrt.Listen("srt", "127.0.0.1:0", cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan gosrt.Conn)
	go func() {
		for range benchReaders {
			r, err := l.Accept2()
			if err != nil {
				return
			}
			c, err := r.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	stop := startReaders(b, l.Addr().String())
	defer stop()
	var conns []gosrt.Conn
	for range benchReaders {
		conns = append(conns, <-accepted)
	}
	m, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{Tracks: routertest.SampleTracks()})
	if err != nil {
		b.Fatal(err)
	}
	sent := uint64(0)
	var buf []byte
	measure(b, before, func(n int) {
		benchUnits(n, func(track int, u *media.Unit) {
			u.RandomAccess = len(u.Payload) > 1
			if buf, _, err = m.Append(buf[:0], track, u); err != nil {
				b.Error(err)
			}
			for out := buf; len(out) > 0; {
				k := min(len(out), 1316)
				for _, c := range conns {
					_, _ = c.Write(out[:k])
					sent++
				}
				out = out[k:]
			}
		})
	}, func() uint64 { return sent })
}

// measure sends access units in real time.
func measure(b *testing.B, before uint64, send func(n int), packets func() uint64) {
	b.Helper()
	n := 0
	next := time.Now()
	one := func() {
		send(n)
		n++
		next = next.Add(time.Second / 30)
		time.Sleep(time.Until(next))
	}
	for n < 30 {
		one()
	}
	from, begin := packets(), cpuTime()
	for b.Loop() {
		one()
	}
	used, sent := cpuTime()-begin, packets()-from
	b.ReportMetric(float64(used.Nanoseconds())/float64(sent), "cpu-ns/packet")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/unit")
	b.ReportMetric(float64(memory()-before)/benchReaders, "B/reader")
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// startReaders starts the process of the readers.
func startReaders(b *testing.B, addr string) (stop func()) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), readersEnv+"="+addr)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	}
}

// runReaders is the process of the readers, which ends with its standard input.
func runReaders(addr string) int {
	var conns []gosrt.Conn
	var wg sync.WaitGroup
	defer wg.Wait()
	for range benchReaders {
		cfg := gosrt.DefaultConfig()
		cfg.StreamId, cfg.ConnectionTimeout = "read:s", patience
		c, err := gosrt.Dial("srt", strings.TrimSpace(addr), cfg)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		conns = append(conns, c)
		wg.Go(func() { _, _ = io.Copy(io.Discard, c) })
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		_ = c.Close()
	}
	return 0
}

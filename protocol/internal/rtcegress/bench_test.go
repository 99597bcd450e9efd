package rtcegress

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/internal/egress"
)

// benchSizes are the payloads of an access unit of a stream of 4 Mbit/s with 30 per second.
var benchSizes = []int{1188, 1188, 1188, 1188, 1188, 1188, 1188, 1188, 1188, 1188, 1188, 1188, 1188, 1054}

// BenchmarkFan compares the processor time, latency and memory of serving a stream of 4 Mbit/s with that of the plain use of the library: one
// webrtc.TrackLocalStaticRTP for all viewers, and the usual interceptors. The viewers are in a process of their own. One operation is
// one access unit, in real time: use -benchtime 300x.
func BenchmarkFan(b *testing.B) {
	for _, viewers := range []int{50, 200} {
		b.Run(fmt.Sprintf("%d/ours", viewers), func(b *testing.B) { benchmarkOurs(b, viewers) })
		b.Run(fmt.Sprintf("%d/pion", viewers), func(b *testing.B) { benchmarkPion(b, viewers) })
	}
}

func loopback(b testing.TB) *net.UDPConn {
	b.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func benchmarkOurs(b *testing.B, n int) {
	conn, err := Wrap(loopback(b))
	if err != nil {
		b.Fatal(err)
	}
	api, err := newAPI(overUDP(conn), 96, nil)
	if err != nil {
		b.Fatal(err)
	}
	pool := egress.NewPool(0)
	defer pool.Close()
	group := pool.NewGroup()
	var viewers []*Viewer
	f := &load{b: b, n: n}
	f.answer = func(pc *webrtc.PeerConnection) error {
		t := NewTrack(videoCodec, "video", "s")
		s, err := pc.AddTrack(t)
		if err != nil {
			return err
		}
		v := NewViewer(conn, map[int]*Track{0: t}, pc.WriteRTCP)
		viewers = append(viewers, v)
		go v.ReadRTCP(0, s, func() {})
		return nil
	}
	f.started = func() {
		for _, v := range viewers {
			group.Add(v)
		}
	}
	i := 0
	f.send = func() {
		group.Send(unit(pool, 0, true, i, microseconds(), benchSizes...))
		i++
	}
	f.ended = func() {
		for _, v := range viewers {
			group.Remove(v)
			v.Close()
		}
		var s Stats
		for _, v := range viewers {
			w := v.Stats()
			s.Discarded += w.Discarded
			s.Retransmitted += w.Retransmitted
		}
		b.ReportMetric(float64(s.Discarded), "discarded")
	}
	f.run(api)
}

func benchmarkPion(b *testing.B, n int) {
	c := loopback(b)
	_ = c.SetWriteBuffer(4 << 20)
	api, err := newAPI(overUDP(c), 96, func(me *webrtc.MediaEngine) (*interceptor.Registry, error) {
		r := &interceptor.Registry{}
		if err := webrtc.ConfigureNack(me, r); err != nil {
			return nil, err
		}
		if err := webrtc.ConfigureRTCPReports(r); err != nil {
			return nil, err
		}
		return r, webrtc.ConfigureTWCCSender(me, r)
	})
	if err != nil {
		b.Fatal(err)
	}
	t, err := webrtc.NewTrackLocalStaticRTP(videoCodec, "video", "s")
	if err != nil {
		b.Fatal(err)
	}
	f := &load{b: b, n: n, started: func() {}, ended: func() {}}
	f.answer = func(pc *webrtc.PeerConnection) error {
		s, err := pc.AddTrack(t)
		if err != nil {
			return err
		}
		go func() {
			buf := make([]byte, 1500)
			for {
				if _, _, err := s.Read(buf); err != nil {
					return
				}
			}
		}()
		return nil
	}
	seq := uint16(0)
	payload := make([]byte, 1500)
	f.send = func() {
		now := microseconds()
		for k, size := range benchSizes {
			p := &rtp.Packet{
				Header:  rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: now, Marker: k == len(benchSizes)-1},
				Payload: payload[:size],
			}
			seq++
			if err := t.WriteRTP(p); err != nil {
				b.Error(err)
			}
		}
	}
	f.run(api)
}

// load is a server under test, and its viewers.
type load struct {
	b       *testing.B
	n       int
	answer  func(*webrtc.PeerConnection) error // adds what is sent
	started func()
	send    func() // one access unit
	ended   func()
}

func (l *load) run(api *webrtc.API) {
	b := l.b
	before := memory()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), viewersEnv+"="+strconv.Itoa(l.n))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
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
	out := bufio.NewReader(stdout)
	toChild := json.NewEncoder(in)
	var pcs []*webrtc.PeerConnection
	for range l.n {
		pcs = append(pcs, l.accept(api, out, toChild))
	}
	eventually(b, "all connected", func() bool {
		for _, pc := range pcs {
			if pc.ConnectionState() != webrtc.PeerConnectionStateConnected {
				return false
			}
		}
		return true
	})
	l.started()

	next := time.Now()
	one := func() {
		l.send()
		next = next.Add(time.Second / 30)
		time.Sleep(time.Until(next))
	}
	for range 45 {
		one()
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		b.Fatal(err)
	}
	begin, allocs, units := cpuTime(), mallocs(), 0
	for b.Loop() {
		one()
		units++
	}
	used := cpuTime() - begin
	allocs = mallocs() - allocs
	after := memory()
	time.Sleep(200 * time.Millisecond) // for what is under way
	_ = in.Close()
	var f viewerFigures
	if err := json.NewDecoder(out).Decode(&f); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Error(err)
	}
	l.ended()
	for _, pc := range pcs {
		_ = pc.Close()
	}
	b.ReportMetric(float64(used.Nanoseconds())/float64(units*len(benchSizes)*l.n), "cpu-ns/packet")
	b.ReportMetric(float64(f.Packets)/float64(units*len(benchSizes)*l.n), "received")
	b.ReportMetric(float64(f.P50.Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(f.P99.Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(allocs)/float64(units*len(benchSizes)*l.n), "allocs/packet")
	b.ReportMetric((float64(after)-float64(before))/float64(l.n)/1024, "KiB/viewer")
}

func (l *load) accept(api *webrtc.API, out *bufio.Reader, toChild *json.Encoder) *webrtc.PeerConnection {
	line, err := out.ReadBytes('\n')
	if err != nil {
		l.b.Fatal(err)
	}
	var o, a string
	if err := json.Unmarshal(line, &o); err != nil {
		l.b.Fatal(err)
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		l.b.Fatal(err)
	}
	if err := l.answer(pc); err != nil {
		l.b.Fatal(err)
	}
	if a, err = answer(pc, o); err != nil {
		l.b.Fatal(err)
	}
	if err := toChild.Encode(a); err != nil {
		l.b.Fatal(err)
	}
	return pc
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

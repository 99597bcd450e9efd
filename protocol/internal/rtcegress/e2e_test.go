package rtcegress

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/internal/egress"
)

// client is a viewer made with pion.
type client struct {
	pc *webrtc.PeerConnection

	mu      sync.Mutex
	got     map[webrtc.RTPCodecType][]rtp.Packet
	reports []rtcp.SenderReport
}

func (c *client) packets(kind webrtc.RTPCodecType) []rtp.Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got[kind])
}

// connect connects a client to a server, and returns the server's side.
func connect(t *testing.T, server *webrtc.API, conn *Conn, clients *webrtc.API) (*client, *Viewer) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cpc, err := clients.NewPeerConnection(webrtc.Configuration{})
	check(err)
	t.Cleanup(func() { _ = cpc.GracefulClose() })
	c := &client{pc: cpc, got: map[webrtc.RTPCodecType][]rtp.Packet{}}
	cpc.OnTrack(c.read)
	ready := connected(cpc)
	o, err := offer(cpc, true)
	check(err)

	spc, err := server.NewPeerConnection(webrtc.Configuration{})
	check(err)
	tracks := map[int]*Track{0: NewTrack(videoCodec, "video", "s"), 1: NewTrack(audioCodec, "audio", "s")}
	v := NewViewer(conn, tracks, spc.WriteRTCP)
	var wg sync.WaitGroup
	for i, tr := range tracks {
		s, err := spc.AddTrack(tr)
		check(err)
		wg.Go(func() { v.ReadRTCP(i, s, func() {}) })
	}
	t.Cleanup(func() {
		_ = spc.GracefulClose()
		v.Close()
		wg.Wait()
	})
	sready := connected(spc)
	a, err := answer(spc, o)
	check(err)
	check(cpc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a}))
	<-ready
	<-sready
	return c, v
}

func (c *client) read(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	go func() {
		for {
			pkts, _, err := r.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range pkts {
				if sr, ok := p.(*rtcp.SenderReport); ok {
					c.mu.Lock()
					c.reports = append(c.reports, *sr)
					c.mu.Unlock()
				}
			}
		}
	}()
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.got[t.Kind()] = append(c.got[t.Kind()], *p)
		c.mu.Unlock()
	}
}

// follow checks that packets are those of units from one on, complete and in order.
func follow(t *testing.T, got []rtp.Packet, first, perUnit int, pt uint8) {
	t.Helper()
	for i, p := range got {
		if p.SequenceNumber != got[0].SequenceNumber+uint16(i) || p.SSRC != got[0].SSRC || p.PayloadType != pt {
			t.Fatalf("packet %d: %+v after %+v", i, p.Header, got[0].Header)
		}
		k := first + i/perUnit
		if p.Payload[0] != byte(k) || p.Payload[1] != byte(i%perUnit) || p.Timestamp != uint32(k*3000) || p.Marker != (i%perUnit == perUnit-1) {
			t.Fatalf("packet %d: unit %d, packet %d, %+v", i, p.Payload[0], p.Payload[1], p.Header)
		}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	server, err := newAPI(overUDP(conn), 96, nil)
	if err != nil {
		t.Fatal(err)
	}
	pool := newPool(t)
	g := pool.NewGroup()
	var clients []*client
	var viewers []*Viewer
	for i := range 4 { // enough for the workers
		api, err := newAPI(overUDP(loopback(t)), webrtc.PayloadType(100+2*i), nil)
		if err != nil {
			t.Fatal(err)
		}
		c, v := connect(t, server, conn, api)
		clients, viewers = append(clients, c), append(viewers, v)
		g.Add(v)
	}
	sizes := []int{1188, 1188, 1188, 1188, 1188, 700}
	const units, key = 60, 3
	for i := range units {
		g.Send(unit(pool, 0, i == key, i, uint32(i*3000), sizes...))
		g.Send(unit(pool, 1, false, i, uint32(i*3000), 100))
		eventually(t, "video came", func() bool {
			return !slices.ContainsFunc(clients, func(c *client) bool {
				return len(c.packets(webrtc.RTPCodecTypeVideo)) != max(0, (i-key+1)*len(sizes)) ||
					len(c.packets(webrtc.RTPCodecTypeAudio)) != i+1
			})
		})
	}
	for i, c := range clients {
		follow(t, c.packets(webrtc.RTPCodecTypeVideo), key, len(sizes), uint8(100+2*i))
		follow(t, c.packets(webrtc.RTPCodecTypeAudio), 0, 1, uint8(101+2*i))
		eventually(t, "reports", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.reports) >= 2
		})
	}
	for _, v := range viewers {
		g.Remove(v)
		direct(t, v)
		s := v.Stats()
		if v.slow || s.Packets != (units-key)*uint64(len(sizes))+units || s.Discarded != 0 || v.outlet.taken < s.Packets/2 {
			t.Errorf("%+v, %d packets through batches", s, v.outlet.taken)
		}
	}
}

// lossy is the socket of a client that loses every n-th packet of media.
type lossy struct {
	*net.UDPConn
	n, i int
}

func (l *lossy) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	for {
		n, a, err := l.UDPConn.ReadFromUDPAddrPort(p)
		if err == nil && n > 12 && p[0]>>6 == 2 && (p[1] < 192 || p[1] > 223) {
			if l.i++; l.i%l.n == 0 {
				continue
			}
		}
		return n, a, err
	}
}

func (l *lossy) WriteToAddrPort(p []byte, a netip.AddrPort) (int, error) {
	return l.UDPConn.WriteToUDPAddrPort(p, a)
}

// What a viewer loses is sent again; others do not notice.
func TestLoss(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	server, err := newAPI(overUDP(conn), 96, nil)
	if err != nil {
		t.Fatal(err)
	}
	nacks := func(*webrtc.MediaEngine) (*interceptor.Registry, error) {
		r := &interceptor.Registry{}
		f, err := nack.NewGeneratorInterceptor()
		r.Add(f)
		return r, err
	}
	pool := newPool(t)
	g := pool.NewGroup()
	var clients []*client
	var viewers []*Viewer
	for i := range 3 {
		var socket net.PacketConn = loopback(t)
		if i == 0 {
			socket = &lossy{UDPConn: socket.(*net.UDPConn), n: 10}
		}
		udp := overUDP(socket)
		api, err := newAPI(func(se *webrtc.SettingEngine) {
			udp(se)
			se.SetSRTPReplayProtectionWindow(1024) // as browsers have it
		}, 100, nacks)
		if err != nil {
			t.Fatal(err)
		}
		c, v := connect(t, server, conn, api)
		clients, viewers = append(clients, c), append(viewers, v)
		g.Add(v)
	}
	const units, perUnit = 50, 4
	count := func(c *client) int {
		seen := map[uint16]bool{}
		for _, p := range c.packets(webrtc.RTPCodecTypeVideo) {
			seen[p.SequenceNumber] = true
		}
		return len(seen)
	}
	for i := range units {
		g.Send(unit(pool, 0, i == 0, i, uint32(i*3000), 1000, 1000, 1000, 1000))
		eventually(t, "the others have all", func() bool { return count(clients[1]) == (i+1)*perUnit && count(clients[2]) == (i+1)*perUnit })
	}
	// The last packets may be lost without the client knowing: it learns from others.
	more := 0
	eventually(t, "all came", func() bool {
		g.Send(unit(pool, 0, false, units+more, 0, 1000))
		more++
		seen := map[byte]int{}
		for _, p := range clients[0].packets(webrtc.RTPCodecTypeVideo) {
			seen[p.Payload[0]]++
		}
		for i := range units {
			if seen[byte(i)] < perUnit {
				return false
			}
		}
		return true
	})
	for i, v := range viewers {
		g.Remove(v)
		s := v.Stats()
		if lost := i == 0; lost != (s.Retransmitted > 0) || s.Refused != 0 {
			t.Errorf("viewer %d: %+v", i, s)
		}
	}
	follow(t, clients[1].packets(webrtc.RTPCodecTypeVideo)[:units*perUnit], 0, perUnit, 100)
}

func TestTCP(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: l, Logger: quiet().NewLogger("ice"), ReadBufferSize: 20, WriteBufferSize: 4 << 20,
	})
	t.Cleanup(func() { _ = mux.Close() })
	udp := overUDP(conn)
	tcp := func(se *webrtc.SettingEngine) { se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4}) }
	server, err := newAPI(func(se *webrtc.SettingEngine) {
		udp(se)
		tcp(se)
		se.SetICETCPMux(mux)
	}, 96, nil)
	if err != nil {
		t.Fatal(err)
	}
	api, err := newAPI(tcp, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, v := connect(t, server, conn, api)
	pool := newPool(t)
	g := pool.NewGroup()
	g.Add(v)
	const units, perUnit = 50, 3
	for i := range units {
		g.Send(unit(pool, 0, i == 0, i, uint32(i*3000), 1000, 1000, 100))
	}
	eventually(t, "all came", func() bool { return len(c.packets(webrtc.RTPCodecTypeVideo)) == units*perUnit })
	follow(t, c.packets(webrtc.RTPCodecTypeVideo), 0, perUnit, 100)
	g.Remove(v)
	direct(t, v)
	if s := v.Stats(); !v.slow || s.Packets != units*perUnit || s.Discarded != 0 || v.outlet.passed != 0 {
		t.Errorf("%+v", s)
	}
}

var _ egress.Reader = (*Viewer)(nil)
var _ webrtc.TrackLocal = (*Track)(nil)

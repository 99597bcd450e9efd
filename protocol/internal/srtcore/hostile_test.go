package srtcore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func acceptAll(*Request) (*Answer, error) { return &Answer{OnData: func([]byte) {}}, nil }

// sid encodes a stream id extension.
func sid(s string) []byte {
	p := []byte(s)
	for len(p)%4 != 0 {
		p = append(p, 0)
	}
	swapWords(p)
	return append([]byte{0, extStreamID, byte(len(p) / 4 >> 8), byte(len(p) / 4)}, p...)
}

func TestRequests(t *testing.T) {
	t.Parallel()
	streams := make(chan string, 64)
	l := listen(t, Config{}, func(r *Request) (*Answer, error) {
		streams <- r.StreamID
		return &Answer{}, nil
	})
	const accepted = hsConclusion
	km := append([]byte{0, extKMReq, 0, 0}, bytes.Repeat([]byte{0x12}, 4)...)
	km[3] = 1
	for _, tc := range []struct {
		name   string
		change func(h *handshake)
		ext    []byte
		want   uint32
		stream string
	}{
		{"ordinary", nil, hsReq(nil), accepted, ""},
		{"1 stray byte", nil, append(hsReq(nil), 1), accepted, ""},
		{"2 stray bytes", nil, append(hsReq(nil), 1, 2), accepted, ""},
		{"3 stray bytes", nil, append(hsReq(nil), 1, 2, 3), accepted, ""},
		{"empty extensions", nil, append(hsReq(nil), make([]byte, 400)...), accepted, ""},
		{"stream id", nil, append(hsReq(nil), sid("#!::r=path,m=publish,u=ä")...), accepted, "#!::r=path,m=publish,u=ä"},
		{"longest stream id", nil, append(hsReq(nil), sid(strings.Repeat("s", 512))...), accepted, strings.Repeat("s", 512)},
		{"too long stream id", nil, append(hsReq(nil), sid(strings.Repeat("s", 513))...), hsRejection + uint32(RejectRogue), ""},
		{"no extension", nil, nil, hsRejection + uint32(RejectRogue), ""},
		{"truncated extension", nil, hsReq(nil)[:12], hsRejection + uint32(RejectRogue), ""},
		{"short extension", nil, append([]byte{0, extHSReq, 0, 2}, make([]byte, 8)...), hsRejection + uint32(RejectRogue), ""},
		{"MTU 0", func(h *handshake) { h.mtu = 0 }, hsReq(nil), hsRejection + uint32(RejectRogue), ""},
		{"MTU 3", func(h *handshake) { h.mtu = 3 }, hsReq(nil), hsRejection + uint32(RejectRogue), ""},
		{"MTU 44", func(h *handshake) { h.mtu = 44 }, hsReq(nil), hsRejection + uint32(RejectRogue), ""},
		{"MTU 4 GiB", func(h *handshake) { h.mtu = 1<<32 - 1 }, hsReq(nil), accepted, ""},
		{"flow window 0", func(h *handshake) { h.flow = 0 }, hsReq(nil), hsRejection + uint32(RejectRogue), ""},
		{"flow window 4 Gi", func(h *handshake) { h.flow = 1<<32 - 1 }, hsReq(nil), accepted, ""},
		{"version 6", func(h *handshake) { h.version = 6 }, hsReq(nil), hsRejection + uint32(RejectVersion), ""},
		{"old version", nil, hsReq(func(e *hsExt) { e.version = 0x010100 }), hsRejection + uint32(RejectVersion), ""},
		{"stream mode", nil, hsReq(func(e *hsExt) { e.flags |= flagStream }), hsRejection + uint32(RejectMessageAPI), ""},
		{"file mode", nil, append(hsReq(nil), 0, extCongestion, 0, 1, 'e', 'l', 'i', 'f'), hsRejection + uint32(RejectCongestion), ""},
		{"live mode", nil, append(hsReq(nil), 0, extCongestion, 0, 1, 'e', 'v', 'i', 'l'), accepted, ""},
		{"FEC", nil, append(hsReq(nil), 0, extFilter, 0, 1, 'f', 'e', 'c', 0), hsRejection + uint32(RejectFilter), ""},
		{"bonding", nil, append(hsReq(nil), 0, extGroup, 0, 1, 0, 0, 0, 0), hsRejection + uint32(RejectGroup), ""},
		{"malformed key", nil, append(hsReq(nil), km...), hsRejection + uint32(RejectRogue), ""},
		{"no retransmission flag", nil, hsReq(func(e *hsExt) { e.flags &^= flagRexmitBit }), hsRejection + uint32(RejectRogue), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRawCaller(t, l)
			r.induce()
			r.send(r.handshake(tc.change, tc.ext))
			answer := r.control(ctrlHandshake)
			h, _, _ := parseHandshake(answer)
			if h.typ != tc.want {
				t.Fatalf("answer %d, want %d", h.typ, tc.want)
			}
			if tc.want != accepted {
				return
			}
			if s := <-streams; s != tc.stream {
				t.Errorf("stream id %q, want %q", s, tc.stream)
			}
			if h.mtu > mtu || h.cookie != 0 {
				t.Errorf("answer %+v", h)
			}
			// A repeated request gets the same answer, and no second connection.
			first := bytes.Clone(answer)
			r.send(r.handshake(tc.change, tc.ext))
			if second := r.control(ctrlHandshake); !bytes.Equal(first, second) { // but for the timestamp in the header
				t.Errorf("repeated answer differs")
			}
		})
	}
	if n := len(streams); n != 0 {
		t.Errorf("%d superfluous requests", n)
	}
}

func TestCookieIsBoundToAddress(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, acceptAll)
	a, b := newRawCaller(t, l), newRawCaller(t, l)
	a.induce()
	b.cookie = a.cookie
	b.send(b.handshake(nil, hsReq(nil)))
	if b.receive(200*time.Millisecond, func(header, []byte) bool { return true }) != nil {
		t.Error("another address's cookie was taken")
	}
	c := newCookies()
	addr := netip.MustParseAddrPort("192.0.2.1:1000")
	cookie := c.make(addr, 7)
	for _, tc := range []struct {
		minute int64
		want   bool
	}{{6, false}, {7, true}, {8, true}, {9, false}} {
		if got := c.valid(cookie, addr, tc.minute*cookiePeriod.Microseconds()); got != tc.want {
			t.Errorf("cookie of minute 7 in minute %d: %v", tc.minute, got)
		}
	}
}

// TestFloodOfRequests checks that neither inductions nor requests without a cookie leave anything behind, and
// that nothing is larger than what asked for it.
func TestFloodOfRequests(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, acceptAll)
	r := newRawCaller(t, l)
	for i := range 5000 {
		r.socket = uint32(i + 1)
		r.send(r.handshake(func(h *handshake) { h.version, h.typ = 4, hsInduction }, nil))
		r.cookie = uint32(i)
		r.send(r.handshake(nil, hsReq(nil)))
		if i%50 == 0 {
			r.control(ctrlHandshake)
		}
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.peers)+len(l.conns)+l.pending+len(l.rejected) != 0 {
		t.Errorf("left behind: %d peers, %d connections", len(l.peers), len(l.conns))
	}
}

func TestSlowAcceptIsBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var running, most atomic.Int32
	l := listen(t, Config{MaxAccepting: 16}, func(*Request) (*Answer, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		<-release
		return nil, RejectUnauthorized
	})
	r := newRawCaller(t, l)
	r.induce()
	for i := range 100 {
		r.socket = uint32(i + 1)
		r.send(r.handshake(nil, hsReq(nil)))
	}
	eventually(t, "requests under way", func() bool { return running.Load() == 4 })
	// The loop goes on meanwhile.
	newRawCaller(t, l).induce()
	close(release)
	eventually(t, "requests decided", func() bool { return running.Load() == 0 })
	if n := most.Load(); n != 4 {
		t.Errorf("%d requests of one address at once, want a quarter of 16", n)
	}
}

func TestRejectionsAreForgotten(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	l := listen(t, Config{}, func(*Request) (*Answer, error) {
		calls.Add(1)
		return nil, RejectForbidden
	})
	r := newRawCaller(t, l)
	r.induce()
	for range 10 {
		r.send(r.handshake(nil, hsReq(nil)))
		h, _, _ := parseHandshake(r.control(ctrlHandshake))
		if h.typ != hsRejection+uint32(RejectForbidden) {
			t.Fatalf("answer %d", h.typ)
		}
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	for i := range 3 * maxRejections {
		l.remember(peerKey{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i)), 1}, []byte{1})
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.peers) > maxRejections+1 || len(l.rejected) > maxRejections+1 {
		t.Errorf("%d rejections are remembered", len(l.peers))
	}
}

func TestHostilePeer(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, acceptAll)
	p := newPublisher(t)
	for _, tc := range []struct {
		name   string
		attack func(r *rawCaller)
	}{
		{"acknowledgement of the future", func(r *rawCaller) {
			r.command(ctrlACK, 0, 7, words(uint32(r.isn.add(1<<20)), 1, 1, 1, 1, 1, 1))
			r.command(ctrlACK, 0, 0, words(uint32(r.isn.add(1<<30-1))))
		}},
		{"loss of everything", func(r *rawCaller) {
			r.command(ctrlNAK, 0, 0, words(1<<31, maxSeq))
			r.command(ctrlNAK, 0, 0, words(uint32(r.isn)|1<<31, uint32(r.isn.add(1<<30))))
			r.command(ctrlNAK, 0, 0, words(uint32(r.isn.add(5))|1<<31, uint32(r.isn)))
		}},
		{"malformed loss lists", func(r *rawCaller) {
			r.command(ctrlNAK, 0, 0, words(1<<31))
			r.command(ctrlNAK, 0, 0, words(1<<31, 1<<31))
			r.command(ctrlNAK, 0, 0, []byte{1, 2, 3})
		}},
		{"sequence jumps", func(r *rawCaller) {
			for _, d := range []int{1, 4000, 8191, 8192, 100000, 1<<30 - 1, 1 << 30, -1, -8192} {
				r.data(r.isn.add(d), 5000, []byte("x"))
			}
		}},
		{"clock jumps", func(r *rawCaller) {
			for i, ts := range []uint32{0, 1 << 31, 1<<32 - 1, 1, 1 << 30} {
				r.data(r.isn.add(i), ts, []byte("x"))
			}
		}},
		{"drop requests", func(r *rawCaller) {
			r.data(r.isn.add(100), 5000, []byte("x"))
			r.command(ctrlDropReq, 0, 1, words(0, maxSeq))
			r.command(ctrlDropReq, 0, 1, words(uint32(r.isn.add(90)), uint32(r.isn.add(1<<29))))
			r.command(ctrlDropReq, 0, 1, words(uint32(r.isn)))
		}},
		{"keys nobody asked for", func(r *rawCaller) {
			r.command(ctrlUser, extKMReq, 0, bytes.Repeat([]byte{0x12}, 100))
			r.command(ctrlUser, extKMReq, 0, nil)
			r.command(ctrlUser, extKMRsp, 0, []byte{1})
			r.command(ctrlUser, extHSReq, 0, []byte{1})
			r.data(r.isn, 5000, []byte("x"))
		}},
		{"truncated packets", func(r *rawCaller) {
			for typ := range uint16(10) {
				if typ == ctrlShutdown {
					continue
				}
				for n := range 30 {
					r.command(typ, 0, 0, make([]byte, n))
				}
			}
			for n := range headerSize {
				r.send(make([]byte, n))
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRawCaller(t, l)
			r.connect()
			conn := l.conn(t)
			p.group.Add(conn)
			p.send(0, 9)
			tc.attack(r)
			r.alive(77)
			p.group.Remove(conn)
			s := conn.Stats()
			if s.PacketsSent > 500 || s.PacketsReceiveBuf > 16 {
				t.Errorf("stats %+v", s)
			}
			r.command(ctrlShutdown, 0, 0, nil)
			if err := l.end(t); !errors.Is(err, ErrPeerClosed) {
				t.Error(err)
			}
		})
	}
}

// TestRetransmissionsAreBounded checks that a peer cannot have the stream sent more than three times, plus a little.
func TestRetransmissionsAreBounded(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, acceptAll)
	p := newPublisher(t)
	r := newRawCaller(t, l)
	r.connect()
	conn := l.conn(t)
	p.group.Add(conn)
	for i := range 50 {
		p.send(i*10, i*10+9)
		for range 20 {
			r.command(ctrlACK, 0, 1, words(uint32(r.isn), 0, 0, 8192, 0, 0, 0)) // RTT 0
			r.command(ctrlNAK, 0, 0, words(uint32(r.isn)|1<<31, uint32(r.isn.add(i*10+9))))
			time.Sleep(time.Millisecond)
		}
	}
	r.alive(2)
	s := conn.Stats()
	if s.PacketsRetrans < 500 || s.PacketsRetrans > 2*s.PacketsSentUnique+rexmitInitial {
		t.Errorf("%d packets were sent and %d retransmitted", s.PacketsSentUnique, s.PacketsRetrans)
	}
	p.group.Remove(conn)
}

// TestGarbage sends random datagrams, with and without the marks of a live connection.
func TestGarbage(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, acceptAll)
	r := newRawCaller(t, l)
	r.connect()
	conn := l.conn(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		p := make([]byte, random.IntN(1500))
		for j := range p {
			p[j] = byte(random.Uint32())
		}
		if len(p) >= headerSize && i%2 == 0 {
			copy(p[12:], words(r.peer))
			if p[0] == 0x80 && p[1] == ctrlShutdown {
				p[1] = ctrlKeepAlive
			}
		}
		r.send(p)
		if i%1000 == 0 {
			r.alive(uint32(1 + i))
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 40<<20 {
		t.Errorf("%d bytes more memory", grown)
	}
	if conn.Err() != nil {
		t.Error(conn.Err())
	}
	newRawCaller(t, l).induce()
}

func TestPeerIdle(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{PeerIdleTimeout: 300 * time.Millisecond}, acceptAll)
	r := newRawCaller(t, l)
	r.connect()
	if err := l.end(t); !errors.Is(err, ErrPeerIdle) {
		t.Error(err)
	}
	r.control(ctrlShutdown)
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, acceptAll)
	r := newRawCaller(t, l)
	r.connect()
	r.control(ctrlKeepAlive)
}

func TestCloseTellsPeers(t *testing.T) {
	t.Parallel()
	started := make(chan struct{}, 1)
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan struct{})
	l, err := Listen(sock, Config{Accept: func(ctx context.Context, r *Request) (*Answer, error) {
		if r.StreamID == "slow" {
			started <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &Answer{OnOpen: func(*Conn) { close(opened) }}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	tl := &testListener{Listener: l}
	r, slow := newRawCaller(t, tl), newRawCaller(t, tl)
	r.connect()
	<-opened
	slow.induce()
	slow.send(slow.handshake(nil, append(hsReq(nil), sid("slow")...)))
	<-started
	l.Close()
	l.Close()
	r.control(ctrlShutdown)
	if h, _, _ := parseHandshake(slow.control(ctrlHandshake)); h.typ < hsRejection || h.typ == hsConclusion {
		t.Errorf("answer %d", h.typ)
	}
}

// TestSpoofedPackets checks that packets from other addresses do not reach a connection.
func TestSpoofedPackets(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, acceptAll)
	r, other := newRawCaller(t, l), newRawCaller(t, l)
	r.connect()
	conn := l.conn(t)
	other.peer = r.peer
	other.command(ctrlShutdown, 0, 0, nil)
	other.data(r.isn, 2000, []byte("x"))
	other.induce() // the packets before it have been handled
	r.alive(3)
	if s := conn.Stats(); s.PacketsReceived != 0 || conn.Err() != nil {
		t.Errorf("stats %+v, %v", s, conn.Err())
	}
}

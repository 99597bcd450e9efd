package srtcore

import (
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"
)

func TestSequenceNumbers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b seq
		want int
	}{
		{5, 3, 2}, {3, 5, -2}, {0, maxSeq, 1}, {maxSeq, 0, -1}, {1<<30 - 1, 0, 1<<30 - 1}, {1 << 30, 0, -1 << 30}, {7, 7, 0},
	} {
		if got := tc.a.from(tc.b); got != tc.want {
			t.Errorf("%d from %d: %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := tc.b.add(tc.want); got != tc.a {
			t.Errorf("%d plus %d: %d, want %d", tc.b, tc.want, got, tc.a)
		}
	}
}

// TestLossList compares the list of losses with a set, around the wrap.
func TestLossList(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		base := seq(maxSeq - 50)
		r := &receiver{base: base, end: base.add(100), losses: []loss{{lo: base, hi: base.add(99)}}}
		missing := map[seq]bool{}
		for i := range 100 {
			missing[base.add(i)] = true
		}
		for range 60 {
			lo := random.IntN(100)
			hi := lo
			if random.IntN(5) == 0 {
				hi += random.IntN(30)
			}
			r.found(base.add(lo), base.add(hi))
			for i := lo; i <= hi; i++ {
				delete(missing, base.add(i))
			}
			n := 0
			for _, l := range r.losses {
				for q := l.lo; q != l.hi.add(1); q = q.add(1) {
					if !missing[q] {
						t.Fatalf("%d is in the list %+v", q, r.losses)
					}
					n++
				}
			}
			if n != len(missing) || !slices.IsSortedFunc(r.losses, func(a, b loss) int { return a.lo.from(b.lo) }) {
				t.Fatalf("%d losses in %+v, want %d", n, r.losses, len(missing))
			}
		}
	}
}

func TestPlayTime(t *testing.T) {
	t.Parallel()
	const latency = 120_000
	// The clock of the peer began 5 s before its request arrived at 100 s.
	c := newTSBPD(100_000_000, 5_000_000)
	if got := c.playTime(6_000_000, 101_000_000, latency, true); got != 101_000_000+latency {
		t.Errorf("play time %d", got)
	}
	// Timestamps wrap; packets from before that may come later.
	c = newTSBPD(100_000_000, 1<<32-1_000_000)
	for _, tc := range []struct {
		ts   uint32
		want int64
	}{{1<<32 - 500_000, 100_500_000}, {500_000, 101_500_000}, {1<<32 - 1, 100_999_999}, {600_000, 101_600_000}} {
		if got := c.playTime(tc.ts, tc.want, latency, true); got != tc.want+latency {
			t.Errorf("play time of %d: %d, want %d", tc.ts, got, tc.want+latency)
		}
	}
	// A clock that makes no sense is set anew, and packets behind it are right again.
	if got := c.playTime(1<<31, 102_000_000, latency, true); got != 102_000_000+latency {
		t.Errorf("play time after a jump: %d", got)
	}
	if got := c.playTime(1<<31+10_000, 102_010_000, latency, true); got != 102_010_000+latency {
		t.Errorf("play time behind a jump: %d", got)
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	// A clock that is slow by 1/10000 is behind by 1 ms every 10 s.
	c := newTSBPD(0, 0)
	now := int64(0)
	for range 60_000 {
		now += 10_000
		c.sample(uint32(now-now/10_000), now, 20_000)
	}
	if off := c.playTime(uint32(now-now/10_000), now, 0, true) - now; off < -2000 || off > 2000 {
		t.Errorf("off by %d us after 10 minutes", off)
	}
}

// TestSilentReader checks what happens to packets that are never acknowledged.
func TestSilentReader(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{Window: 256}, acceptAll)
	p := newPublisher(t)
	r := newRawCaller(t, l)
	r.connect()
	conn := l.conn(t)
	p.group.Add(conn)
	for i := range 40 {
		p.send(i*10, i*10+9)
	}
	eventually(t, "all handled", func() bool {
		s := conn.Stats()
		return s.PacketsSentUnique+s.PacketsSendDrop >= 400
	})
	s := conn.Stats()
	if s.PacketsSentUnique != 250 || s.PacketsSendBuf != 250 || s.PacketsSendDrop != 150 || s.OutboundFramesDiscarded != 15 {
		t.Errorf("stats %+v", s)
	}
	if s.BytesAvailSendBuf != 6*1500 || s.PacketsFlowWindow != 256 {
		t.Errorf("stats %+v", s)
	}
	eventually(t, "old packets given up", func() bool { return conn.Stats().PacketsSendBuf == 0 })
	if s := conn.Stats(); s.PacketsSendDrop != 400 || s.USSendDuration < 1_000_000 {
		t.Errorf("stats %+v", s)
	}
	r.receive(100*time.Millisecond, func(header, []byte) bool { return false }) // makes room
	// Asking for them is answered with a drop request, and later packets go out again.
	r.command(ctrlNAK, 0, 0, words(uint32(r.isn.add(3))|1<<31, uint32(r.isn.add(200))))
	lo, hi, _, _ := nextLoss(append(words(uint32(r.isn.add(3))|1<<31), r.control(ctrlDropReq)[4:]...))
	if lo != r.isn.add(3) || hi != r.isn.add(200) {
		t.Errorf("drop request for %d to %d", lo, hi)
	}
	p.send(400, 409)
	eventually(t, "packets sent again", func() bool { return conn.Stats().PacketsSentUnique == 260 })
}

// TestTailLoss checks that the last packet is sent again until it is acknowledged, though nothing comes behind it.
func TestTailLoss(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, acceptAll)
	p := newPublisher(t)
	r := newRawCaller(t, l)
	r.connect()
	conn := l.conn(t)
	p.group.Add(conn)
	p.send(0, 9)
	last := r.isn.add(9)
	if r.receive(patience, func(h header, _ []byte) bool { return !h.control && h.seq == last && h.info&flagRexmit != 0 }) == nil {
		t.Fatal("not sent again")
	}
	r.command(ctrlACK, 0, 0, words(uint32(last.add(1))))
	eventually(t, "acknowledged", func() bool { return conn.Stats().PacketsFlightSize == 0 })
}

// TestSmallMTU checks that packets are split for a peer that takes less.
func TestSmallMTU(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, acceptAll)
	p := newPublisher(t)
	r := newRawCaller(t, l)
	r.induce()
	r.send(r.handshake(func(h *handshake) { h.mtu = 600 }, hsReq(nil)))
	h, _, _ := parseHandshake(r.control(ctrlHandshake))
	if h.mtu != 600 {
		t.Fatalf("answer %+v", h)
	}
	p.group.Add(l.conn(t))
	p.send(0, 1)
	for i, want := range []int{556, 556, 204, 376} {
		d := r.receive(patience, func(h header, _ []byte) bool { return !h.control })
		if h, payload := parseHeader(d); len(payload) != want || h.seq != r.isn.add(i) || h.info&maxMsgNo != uint32(i+1) {
			t.Errorf("packet %d has %d bytes, number %d, message %d", i, len(payload), h.seq, h.info&maxMsgNo)
		}
	}
}

// TestLatency checks when payloads are handed over.
func TestLatency(t *testing.T) {
	t.Parallel()
	const latency = 300 * time.Millisecond
	arrived := make(chan time.Time, 1)
	l := listen(t, Config{Latency: latency}, func(*Request) (*Answer, error) {
		return &Answer{OnData: func([]byte) { arrived <- time.Now() }}, nil
	})
	c := dial(t, l.addr(), func(c *srt.Config) { c.PeerLatency = 100 * time.Millisecond })
	l.conn(t)
	time.Sleep(50 * time.Millisecond)
	sent := time.Now()
	if _, err := c.Write(numbered(0, 100)); err != nil {
		t.Fatal(err)
	}
	select {
	case at := <-arrived:
		if d := at.Sub(sent); d < latency-20*time.Millisecond || d > latency+time.Second {
			t.Errorf("delivered after %v", d)
		}
	case <-time.After(patience):
		t.Error("not delivered")
	}
}

// TestGapIsGivenUp checks that packets that never come hold the stream up for the latency only.
func TestGapIsGivenUp(t *testing.T) {
	t.Parallel()
	seen := newSequence()
	l := listen(t, Config{}, func(*Request) (*Answer, error) { return &Answer{OnData: seen.take}, nil })
	r := newRawCaller(t, l)
	r.connect()
	conn := l.conn(t)
	for i := range 20 {
		if i < 5 || i >= 8 {
			r.data(r.isn.add(i), uint32(2000+i), numbered(i, 100))
		}
	}
	lo, hi, _, _ := nextLoss(r.control(ctrlNAK))
	if lo != r.isn.add(5) || hi != r.isn.add(7) {
		t.Errorf("loss report of %d to %d", lo, hi)
	}
	seen.wait(t, 19)
	s := conn.Stats()
	if seen.got != 17 || seen.missed != 3 || s.PacketsReceivedLoss != 3 || s.PacketsReceivedDrop != 3 || s.PacketsReceivedUnique != 17 {
		t.Errorf("%d came, stats %+v", seen.got, s)
	}
	// What comes afterwards is belated.
	r.data(r.isn.add(6), 2006, numbered(6, 100))
	eventually(t, "belated", func() bool { return conn.Stats().PacketsReceivedBelated == 1 })
	seen.check2(t, 17)
}

func (s *sequence) check2(t testing.TB, got int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.got != got || s.bad != 0 {
		t.Errorf("%d payloads came, %d bad", s.got, s.bad)
	}
}

func TestDualStack(t *testing.T) {
	t.Parallel()
	sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv6unspecified})
	if err != nil {
		t.Skip("there is no IPv6: ", err)
	}
	l := &testListener{conns: make(chan *Conn, 2)}
	l.Listener, err = Listen(sock, Config{Accept: acceptInto(l.conns)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	p := newPublisher(t)
	_, port, _ := net.SplitHostPort(l.addr())
	for _, host := range []string{"127.0.0.1", "::1"} {
		c := dial(t, net.JoinHostPort(host, port), nil)
		conn := l.conn(t)
		p.group.Add(conn)
		seen := newSequence()
		go readAll(c, seen)
		p.send(0, 9)
		seen.wait(t, 9)
		p.group.Remove(conn)
		if want := map[string]uint64{"127.0.0.1": 44, "::1": 64}[host]; conn.Stats().BytesSentUnique != 9*1316+376+10*want {
			t.Errorf("%s: stats %+v", host, conn.Stats())
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	accept := acceptInto(nil)
	for _, c := range []Config{
		{},
		{Accept: accept, Latency: -1},
		{Accept: accept, Latency: 66 * time.Second},
		{Accept: accept, MaxPayload: 100},
		{Accept: accept, MaxPayload: 1457},
		{Accept: accept, Window: 10},
		{Accept: accept, Window: 1 << 20},
		{Accept: accept, KeyRefresh: 100, KeyPreAnnounce: 51},
		{Accept: accept, PeerIdleTimeout: -1},
	} {
		if _, err := c.withDefaults(); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

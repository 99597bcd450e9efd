package srtcore

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"
)

// relay passes datagrams between one client and a server, late, in disorder and not all of them.
type relay struct {
	front, back *net.UDPConn
	delay       time.Duration // one way
	jitter      time.Duration
	loss        float64

	mu     sync.Mutex
	client netip.AddrPort
	random *rand.Rand
	lost   int
	closed bool
	wg     sync.WaitGroup
}

func newRelay(t testing.TB, server netip.AddrPort, seed uint64) *relay {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{
		front: front, back: back, delay: 50 * time.Millisecond, jitter: 8 * time.Millisecond, loss: 0.05,
		random: rand.New(rand.NewPCG(seed, 1)),
	}
	front.SetReadBuffer(4 << 20)
	back.SetReadBuffer(4 << 20)
	r.wg.Go(func() {
		r.pass(front, func(from netip.AddrPort) {
			r.client = from
		}, func(p []byte) { back.Write(p) })
	})
	r.wg.Go(func() {
		r.pass(back, func(netip.AddrPort) {}, func(p []byte) {
			r.mu.Lock()
			to := r.client
			r.mu.Unlock()
			front.WriteToUDPAddrPort(p, to)
		})
	})
	t.Cleanup(func() {
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		front.Close()
		back.Close()
		r.wg.Wait()
	})
	return r
}

func (r *relay) addr() string { return r.front.LocalAddr().String() }

func (r *relay) pass(in *net.UDPConn, seen func(netip.AddrPort), out func(p []byte)) {
	buf := make([]byte, 2048)
	for {
		n, from, err := in.ReadFromUDPAddrPort(buf)
		if err != nil {
			r.mu.Lock()
			closed := r.closed
			r.mu.Unlock()
			if closed {
				return
			}
			continue
		}
		p := append([]byte(nil), buf[:n]...)
		r.mu.Lock()
		seen(from)
		// The handshake of gosrt's dialer is not repeated.
		handshake := n >= 2 && p[0] == 0x80 && p[1] == 0
		drop := !handshake && r.random.Float64() < r.loss
		wait := r.delay + time.Duration(r.random.Int64N(int64(r.jitter)))
		if drop {
			r.lost++
		}
		r.mu.Unlock()
		if !drop {
			time.AfterFunc(wait, func() { out(p) })
		}
	}
}

// lossy are the variants of the tests over the relay.
var lossy = []struct {
	name       string
	passphrase string
}{
	{"clear", ""},
	{"AES", "a passphrase"},
}

func lossyConfig(c *srt.Config) {
	c.ReceiverLatency, c.PeerLatency = 800*time.Millisecond, 800*time.Millisecond
	c.ConnectionTimeout = patience
}

func TestLossyReceive(t *testing.T) {
	t.Parallel()
	for i, tc := range lossy {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const packets = 1500
			seen := newSequence()
			l := listen(t, Config{}, func(r *Request) (*Answer, error) {
				return &Answer{OnData: seen.take}, r.SetPassphrase(tc.passphrase)
			})
			relay := newRelay(t, l.Addr(), uint64(i))
			c := dial(t, relay.addr(), func(c *srt.Config) {
				lossyConfig(c)
				c.Passphrase = tc.passphrase
			})
			conn := l.conn(t)
			for i := range packets {
				if _, err := c.Write(numbered(i, 1316)); err != nil {
					t.Fatal(err)
				}
				if i%8 == 7 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			// Packets behind which there is no other cannot be missed by a receiver.
			seen.wait(t, packets-20)
			seen.checkLossless(t)
			s := conn.Stats()
			if s.PacketsReceivedRetrans == 0 || s.PacketsSentNAK == 0 || s.MsRTT < 80 {
				t.Errorf("stats %+v", s)
			}
			t.Log(summary(relay, s))
		})
	}
}

func TestLossySend(t *testing.T) {
	t.Parallel()
	for i, tc := range lossy {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const packets = 1500
			l := listen(t, Config{KeyRefresh: 500, KeyPreAnnounce: 150}, func(r *Request) (*Answer, error) {
				return &Answer{}, r.SetPassphrase(tc.passphrase)
			})
			relay := newRelay(t, l.Addr(), uint64(10+i))
			c := dial(t, relay.addr(), func(c *srt.Config) {
				lossyConfig(c)
				c.Passphrase = tc.passphrase
			})
			conn := l.conn(t)
			p := newPublisher(t)
			p.group.Add(conn)
			seen := newSequence()
			go readAll(c, seen)
			for i := 0; i < packets; i += 10 {
				p.send(i, i+9)
				time.Sleep(12 * time.Millisecond)
			}
			seen.wait(t, packets-1)
			seen.check(t, packets)
			s := conn.Stats()
			if s.PacketsRetrans == 0 || s.PacketsReceivedNAK == 0 || s.PacketsSendDrop != 0 || s.MsRTT < 80 {
				t.Errorf("stats %+v", s)
			}
			if tc.passphrase != "" && s.PacketsSentKM < 2 {
				t.Errorf("the key was not refreshed: %+v", s)
			}
			t.Log(summary(relay, s))
		})
	}
}

func (s *sequence) checkLossless(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad != 0 || s.missed != 0 {
		t.Errorf("%d payloads came, %d missed, %d bad", s.got, s.missed, s.bad)
	}
}

func summary(r *relay, s Stats) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%d datagrams lost; RTT %.0f ms, sent %d (%d again, %d reported lost), received %d (%d again, %d belated, %d missing, %d dropped)",
		r.lost, s.MsRTT, s.PacketsSent, s.PacketsRetrans, s.PacketsSendLoss, s.PacketsReceived, s.PacketsReceivedRetrans,
		s.PacketsReceivedBelated, s.PacketsReceivedLoss, s.PacketsReceivedDrop)
}

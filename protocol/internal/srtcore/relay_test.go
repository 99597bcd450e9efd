package srtcore

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"

	"github.com/org/mtx/protocol/internal/lossy"
)

// relay is a network that loses 5 %.
func relay(t testing.TB, server netip.AddrPort, seed uint64) *lossy.Relay {
	t.Helper()
	r, err := lossy.New(server, lossy.Options{
		Delay: 50 * time.Millisecond, Jitter: 8 * time.Millisecond, Loss: 0.05, Seed: seed,
		Spare: func(p []byte) bool { // the handshake of gosrt's dialer is not repeated
			return len(p) >= 2 && p[0] == 0x80 && p[1] == 0
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// variants are those of the tests over the relay.
var variants = []struct {
	name       string
	passphrase string
}{
	{"clear", ""},
	{"AES", "a passphrase"},
}

func lossyConfig(c *srt.Config) {
	const latency = 2 * time.Second // of a machine that is busy with other tests
	c.ReceiverLatency, c.PeerLatency = latency, latency
	c.ConnectionTimeout = patience
}

func TestLossyReceive(t *testing.T) {
	t.Parallel()
	for i, tc := range variants {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const packets = 1500
			seen := newSequence()
			l := listen(t, Config{}, func(r *Request) (*Answer, error) {
				return &Answer{OnData: seen.take}, r.SetPassphrase(tc.passphrase)
			})
			net := relay(t, l.Addr(), uint64(i))
			c := dial(t, net.Addr().String(), func(c *srt.Config) {
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
			t.Log(summary(net, s))
		})
	}
}

func TestLossySend(t *testing.T) {
	t.Parallel()
	for i, tc := range variants {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const packets = 1500
			l := listen(t, Config{KeyRefresh: 500, KeyPreAnnounce: 150}, func(r *Request) (*Answer, error) {
				return &Answer{}, r.SetPassphrase(tc.passphrase)
			})
			net := relay(t, l.Addr(), uint64(10+i))
			c := dial(t, net.Addr().String(), func(c *srt.Config) {
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
			t.Log(summary(net, s))
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

func summary(r *lossy.Relay, s Stats) string {
	return fmt.Sprintf("%d datagrams lost; RTT %.0f ms, sent %d (%d again, %d reported lost), received %d (%d again, %d belated, %d missing, %d dropped)",
		r.Counts().Lost, s.MsRTT, s.PacketsSent, s.PacketsRetrans, s.PacketsSendLoss, s.PacketsReceived, s.PacketsReceivedRetrans,
		s.PacketsReceivedBelated, s.PacketsReceivedLoss, s.PacketsReceivedDrop)
}

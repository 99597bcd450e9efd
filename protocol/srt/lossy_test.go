package srt

import (
	"net/netip"
	"testing"
	"time"

	"github.com/org/mtx/protocol/internal/lossy"
	"github.com/org/mtx/router/routertest"
)

// network returns what g is behind a network that loses 5 % of all datagrams, puts them out of order and takes 100 ms
// there and back.
func (g *rig) network(seed uint64) (*rig, *lossy.Relay) {
	g.t.Helper()
	l, err := lossy.New(netip.MustParseAddrPort(g.addr), lossy.Options{
		Delay: 50 * time.Millisecond, Jitter: 8 * time.Millisecond, Loss: 0.05, Seed: seed,
		Spare: func(p []byte) bool { // the handshake of gosrt's dialer is not repeated
			return len(p) >= 2 && p[0] == 0x80 && p[1] == 0
		},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(l.Close)
	far := *g
	far.addr = l.Addr().String()
	return &far, l
}

// lossyLatency is about ten times the round trip.
const lossyLatency = 1200 * time.Millisecond

// A stream that is published and read over bad networks arrives as it was. The
// other tests wait: who gets no processor for a second loses packets.
func TestLossyNetwork(t *testing.T) {
	for _, passphrase := range []string{"", "a-long-passphrase"} {
		t.Run("passphrase "+passphrase, func(t *testing.T) {
			t.Parallel()
			cfg := anyPath()
			cfg.Paths[0].Extras = []any{PathOptions{PublishPassphrase: passphrase, ReadPassphrase: passphrase}}
			g := newRigWith(t, cfg, &Server{Addr: "127.0.0.1:0", Latency: lossyLatency})
			in, inNet := g.network(1)
			in.push("publish:s", passphrase)
			routertest.WaitReady(t, g.r, "s")
			out, outNet := g.network(2)
			c := out.read("read:s", passphrase)

			pictures, sound := c.has(0, 150), c.has(1, 230)
			for i, u := range pictures[1:] {
				if d := u.PTS - pictures[i].PTS; d != 3000 {
					t.Errorf("after picture %d PTS go on by %d", i, d)
				}
			}
			for i, u := range sound[1:] {
				if d := u.PTS - sound[i].PTS; d < 959 || d > 961 {
					t.Errorf("after frame %d of audio PTS go on by %d", i, d)
				}
			}
			c.mu.Lock()
			if len(c.damaged) > 0 {
				t.Errorf("damaged: %v", c.damaged)
			}
			c.mu.Unlock()
			for _, n := range []lossy.Counts{inNet.Counts(), outNet.Counts()} {
				if n.Lost < 5 || n.Overtaken < 3 {
					t.Errorf("the network was too good: %+v", n)
				}
			}
			pub, rd := g.sessions("publish")[0], g.sessions("read")[0]
			if pub.PacketsReceivedDrop != 0 || pub.PacketsSentNAK == 0 || pub.MsRTT < 80 {
				t.Errorf("publisher: %+v", pub)
			}
			if rd.PacketsSendDrop != 0 || rd.PacketsRetrans == 0 || rd.MsRTT < 80 {
				t.Errorf("reader: %+v", rd)
			}
			if p, _ := g.r.Path("s"); p.Info().InErrors != 0 {
				t.Errorf("%d errors in what was published", p.Info().InErrors)
			}
		})
	}
}

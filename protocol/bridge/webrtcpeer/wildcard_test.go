package webrtcpeer

import (
	"net"
	"strings"
	"testing"

	"github.com/org/mtx/protocol/internal/rtcegress"
)

// onlyCandidates keeps the candidates of a description that contain a text.
func onlyCandidates(desc, text string) string {
	var b strings.Builder
	for line := range strings.Lines(desc) {
		if !strings.HasPrefix(line, "a=candidate:") || strings.Contains(line, text) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestAllAddresses listens on all addresses, and is reached at each kind.
func TestAllAddresses(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "::1", ""} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			if c, err := net.ListenPacket("udp", net.JoinHostPort(host, "0")); err != nil {
				t.Skip("this host has no address ", host)
			} else {
				c.Close()
			}
			ctx := testContext(t)
			pc, err := net.ListenPacket("udp", ":0")
			if err != nil {
				t.Fatal(err)
			}
			conn, err := rtcegress.Wrap(pc)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			server := newEngine(t, func(c *EngineConfig) {
				c.UDP = conn
				if host != "" {
					c.AdditionalHosts = []string{host}
				}
			})
			c := h264Case()
			client := newEngine(t, nil)
			r, offer, err := client.OfferReceive(ctx, ReceiveOptions{})
			if err != nil {
				t.Fatal(err)
			}
			s, answer, err := server.AnswerSend(ctx, onlyCandidates(offer, " "+host), SendOptions{Tracks: tracksOf(c)})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.SetAnswer(onlyCandidates(answer, " "+host)); err != nil {
				t.Fatal(err)
			}
			f := newFeeder(t, c)
			f.run(t, s.Outputs())
			f.serve(ctx, t, s)
			_, col := collect(ctx, t, r)
			col.wait(ctx, t, "media", func() bool { return col.units[0] > 0 })
			// which address is seen of several of one family is up to the system
			got := r.RemoteCandidate()
			if v6 := strings.Count(got, ":") > 1; host != "" && v6 != strings.Contains(host, ":") || !strings.Contains(got, "/udp/") {
				t.Errorf("remote candidate %s", got)
			}
		})
	}
}

package webrtcpeer

import (
	"bytes"
	"slices"
	"testing"
)

// flat joins the elements of a payload: samples have no borders.
func flat(p [][]byte) []byte { return bytes.Join(p, nil) }

func TestCodecs(t *testing.T) {
	t.Parallel()
	for _, direction := range []string{"publish", "read"} {
		for _, c := range codecCases() {
			t.Run(direction+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				ctx := testContext(t)
				server, client := newServer(t, nil), newEngine(t, nil)
				var s *Sender
				var r *Receiver
				if direction == "publish" {
					s, r = publish(ctx, t, client, server, tracksOf(c), ReceiveOptions{})
				} else {
					s, r = read(ctx, t, client, server, tracksOf(c))
				}
				want := c.payload
				f := newFeeder(t, c)
				f.run(t, s.Outputs())
				f.serve(ctx, t, s)
				tracks, col := collect(ctx, t, r)
				if len(tracks) != 1 {
					t.Fatalf("%d tracks", len(tracks))
				}
				if got := tracks[0].Codec.Name(); got != c.codec.Name() {
					t.Fatalf("codec %s, want %s", got, c.codec.Name())
				}
				col.wait(ctx, t, "payload", func() bool {
					return slices.ContainsFunc(col.payloads[0], func(p [][]byte) bool { return bytes.Equal(flat(p), flat(want)) })
				})
				eventually(t, "counting what is sent", func() bool {
					st := s.Stats()
					return st.OutboundRTPPackets > 0 && st.OutboundBytes > 0
				})
				if st := r.Stats(); st.InboundRTPPackets == 0 || st.InboundBytes == 0 {
					t.Errorf("receiver counts nothing: %+v", st)
				}
			})
		}
	}
}

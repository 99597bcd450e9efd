package webrtcpeer

import (
	"math/rand/v2"
	"net"
	"testing"
)

// TestGarbage floods the port with what is no session of ours: media goes on.
func TestGarbage(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	server, client := newServer(t, func(c *EngineConfig) { c.TCP = l }), newEngine(t, nil)
	c := h264Case()
	s, r := publish(ctx, t, client, server, tracksOf(c), ReceiveOptions{})
	f := newFeeder(t, c)
	f.run(t, s.Outputs())
	f.serve(ctx, t, s)
	_, col := collect(ctx, t, r)

	udp, err := net.Dial("udp4", server.cfg.UDP.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	src := rand.New(rand.NewPCG(1, 1))
	stun := func(user string) []byte { // a binding request, RFC 8489 section 5
		b := []byte{0, 1, 0, byte(4 + (len(user)+3)&^3), 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
		b = append(append(b, 0, 6, 0, byte(len(user))), user...)
		return append(b, make([]byte, (4-len(user)%4)%4)...)
	}
	for i := range 2000 {
		b := make([]byte, src.IntN(1400))
		for j := range b {
			b[j] = byte(src.Uint32())
		}
		switch i % 5 {
		case 1:
			b = append([]byte{22, 254, 253}, b...) // DTLS
		case 2:
			b = append([]byte{0x80, 96}, b...) // RTP
		case 3:
			b = stun("nobody:x")
		case 4:
			b = stun(r.received.ufrag + ":x")
		}
		_, _ = udp.Write(b)
	}
	for i := range 20 {
		conn, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b := []byte{0, 5, 1, 2, 3, 4, 5, 0xff, 0xff}
		if i%2 == 0 {
			b = stun("nobody:x")
			b = append([]byte{0, byte(len(b))}, b...)
		}
		_, _ = conn.Write(b)
		t.Cleanup(func() { conn.Close() })
	}
	col.mu.Lock()
	n := col.units[0]
	col.mu.Unlock()
	col.wait(ctx, t, "media after the garbage", func() bool { return col.units[0] > n+50 })
	if server.Peers() != 1 {
		t.Errorf("%d peers", server.Peers())
	}
}

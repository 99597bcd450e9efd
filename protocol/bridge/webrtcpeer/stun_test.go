package webrtcpeer

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"
)

// stunServer answers binding requests (RFC 8489 section 14.2), or never.
func stunServer(t *testing.T, silent bool) string {
	t.Helper()
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFromUDP(buf)
			if err != nil {
				return
			}
			if silent || n < 20 {
				continue
			}
			res := append([]byte{0x01, 0x01, 0, 12}, buf[4:20]...)  // success, cookie, transaction
			res = append(res, 0x00, 0x20, 0, 8, 0, 1)               // XOR-MAPPED-ADDRESS, IPv4
			res = binary.BigEndian.AppendUint16(res, 0x2112^4242)   // port 4242
			ip := binary.BigEndian.Uint32([]byte{192, 0, 2, 99})    // seen as this
			res = binary.BigEndian.AppendUint32(res, 0x2112a442^ip) //
			_, _ = pc.WriteToUDP(res, from)
		}
	}()
	return "stun:" + pc.LocalAddr().String()
}

func TestSTUN(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	servers := []ICEServer{{URL: stunServer(t, false)}}
	_, offer, err := newEngine(t, nil).OfferReceive(ctx, ReceiveOptions{ICEServers: servers})
	if err != nil {
		t.Fatal(err)
	}
	_, answer, err := newServer(t, nil).AnswerSend(ctx, offer, SendOptions{Tracks: tracksOf(h264Case()), ICEServers: servers})
	if err != nil {
		t.Fatal(err)
	}
	for _, desc := range []string{offer, answer} {
		if !strings.Contains(desc, " 192.0.2.99 4242 typ srflx") {
			t.Errorf("candidates:\n%s", desc)
		}
	}
}

func TestSTUNTimeout(t *testing.T) {
	t.Parallel()
	e := newEngine(t, func(c *EngineConfig) { c.STUNGatherTimeout = 100 * time.Millisecond })
	begin := time.Now()
	_, offer, err := e.OfferReceive(testContext(t), ReceiveOptions{ICEServers: []ICEServer{{URL: stunServer(t, true)}}})
	if err != nil || !strings.Contains(offer, "typ host") {
		t.Fatal(err, offer)
	}
	if d := time.Since(begin); d > DefaultSTUNGatherTimeout {
		t.Errorf("it took %v", d)
	}
}

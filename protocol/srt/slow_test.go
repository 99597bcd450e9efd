package srt

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// A reader that stops acknowledging loses pictures, which are counted, and is
// disconnected in the end. Others do not notice.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	g := newRigWith(t, anyPath(), &Server{Addr: "127.0.0.1:0", WriteTimeout: 3 * time.Second, ReadTimeout: time.Minute})
	pub, err := g.r.Publish(t.Context(), "s", routertest.SampleTracks())
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	f := startFeed(func(track int, u *media.Unit) error {
		if track == 0 { // 60 Mbit/s, so that buffers fill up
			last := len(u.Payload) - 1
			u.Payload[last] = append(u.Payload[last], make([]byte, 250_000)...)
		}
		pub.Write(track, u)
		return pub.Err()
	})
	defer f.stop()
	raw := g.raw()
	_ = raw.SetDeadline(time.Now().Add(patience))
	cookie := exchange(t, raw, handshake(4, 1, 7, 0), 1)[1]
	b := handshake(5, 0xffffffff, 7, cookie,
		0, 1, 0, 3, 0, 1, 5, 1, 0, 0, 0, 0x3f, 0, 120, 0, 120,
		0, 5, 0, 2, 'd', 'a', 'e', 'r', 0, 0, 's', ':') // "read:s", in words of four bytes, backwards
	binary.BigEndian.PutUint32(b[16+4:], 5)
	binary.BigEndian.PutUint32(b[16+16:], 256) // window, packets
	if got := exchange(t, raw, b, 0)[0]; got != 0xffffffff {
		t.Fatalf("answer %d\n%s", got, g.log)
	}
	routertest.Eventually(t, "pictures are discarded", func() bool {
		d := g.sessions("read")
		return len(d) == 1 && d[0].OutboundFramesDiscarded > 10 && d[0].PacketsSendDrop > 0
	})
	healthy := g.read("read:s", "")
	healthy.has(0, 5)
	routertest.Eventually(t, "it is logged", func() bool { return g.log.Count("reader is too slow") > 0 })
	routertest.Eventually(t, "the deaf reader is gone", func() bool {
		return g.log.Count("does not acknowledge what it is sent") == 1 && len(g.sessions("read")) == 1
	})
	healthy.has(0, 40)
	g.noPanic()
}

package webrtc

import (
	"bytes"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// A key frame that comes in parts, in packets that are too large and are made anew,
// is one for viewers who wait for it.
func TestSlowKeyFrameIsRepacked(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil, router.PathConfig{Name: "cam"})
	unpack, err := rtpbridge.NewDepacketizer(&format.H264{PayloadTyp: 96, PacketizationMode: 1})
	if err != nil {
		t.Fatal(err)
	}
	first := routertest.SampleUnit(0, 0).Payload
	tracks := []media.Track{{Codec: &media.H264{SPS: first[0], PPS: first[1]}}}
	pub, err := g.Publish(t.Context(), "cam", tracks, router.PublishOptions{Depacketizers: []media.Depacketizer{unpack}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	c := g.whep("/cam")
	const parts = 3
	seq := uint16(0)
	picture := func(ts uint32) {
		for n := range parts { // fragments of an IDR picture (FU-A, RFC 6184 section 5.8)
			head := map[int]byte{0: 0x85, parts - 1: 0x45}[n] | 5
			pub.Write(0, &media.Unit{
				PTS: int64(ts), RandomAccess: n == 0, More: n < parts-1,
				RTP: []*rtp.Packet{{
					Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: seq, Timestamp: ts, Marker: n == parts-1},
					Payload: append([]byte{0x7c, head}, bytes.Repeat([]byte{1}, 1300)...),
				}},
			})
			seq++
		}
	}
	ts := uint32(0)
	routertest.Eventually(t, "a picture comes", func() bool {
		ts += 3000
		picture(ts)
		return c.markers.Load() > 0
	})
}

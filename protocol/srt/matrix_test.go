package srt

import (
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
	srcsrt "github.com/org/mtx/source/srt"
)

// A stream that comes as RTP, published by RTSP, is read by SRT.
func TestFromRTSP(t *testing.T) {
	t.Parallel()
	cfg := anyPath()
	cfg.Protocols = []router.Protocol{&rtsp.Server{Addr: "127.0.0.1:0", Transports: []rtsp.Transport{rtsp.TCP}}}
	g := newRig(t, cfg)
	video := &format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: sampleSets()[0], PPS: sampleSets()[1]}
	audio := &format.Opus{PayloadTyp: 97, ChannelCount: 2}
	desc := &description.Session{Medias: []*description.Media{
		{Type: description.MediaTypeVideo, Formats: []format.Format{video}},
		{Type: description.MediaTypeAudio, Formats: []format.Format{audio}},
	}}
	tcp := gortsplib.ProtocolTCP
	client := &gortsplib.Client{Protocol: &tcp}
	if err := client.StartRecording("rtsp://"+g.r.ProtocolAddrs("rtsp")[0].String()+"/s", desc); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ve, err := video.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	ae, err := audio.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	feed := startFeed(func(track int, u *media.Unit) error {
		if track == 1 {
			pkt, err := ae.Encode(u.Payload[0])
			if err != nil {
				return err
			}
			pkt.Timestamp = uint32(u.PTS)
			return client.WritePacketRTP(desc.Medias[1], pkt)
		}
		pkts, err := ve.Encode(u.Payload[len(u.Payload)-1:]) // parameter sets are in the SDP only
		if err != nil {
			return err
		}
		for _, p := range pkts {
			p.Timestamp = uint32(u.PTS)
			if err := client.WritePacketRTP(desc.Medias[0], p); err != nil {
				return err
			}
		}
		return nil
	})
	defer feed.stop()
	c := g.read("read:s", "")
	pictures, sound := c.has(0, 40), c.has(1, 60)
	if len(pictures[0].Payload) != 3 {
		t.Errorf("the first picture has no parameter sets: %x", pictures[0].Payload)
	}
	for i := 1; i < len(pictures); i++ {
		if d := pictures[i].PTS - pictures[i-1].PTS; d != 3000 {
			t.Errorf("PTS go on by %d", d)
		}
	}
	// the n-th packet of audio, and the n-th picture, tell their time
	v := media.Duration(pictures[0].PTS, 90000) - time.Duration(pictures[0].Payload[2][4])*time.Second/30
	a := media.Duration(sound[0].PTS, 48000) - time.Duration(sound[0].Payload[0][3])*20*time.Millisecond
	if d := (v - a).Abs(); d > 100*time.Millisecond {
		t.Errorf("video and audio are %v apart", d)
	}
}

func sampleSets() [][]byte { return routertest.SampleUnit(0, 0).Payload }

// A server pulls from another one, loses it, and finds it again.
func TestSource(t *testing.T) {
	t.Parallel()
	remote := anyPath()
	remote.Paths[0].Extras = []any{PathOptions{ReadPassphrase: "0123456789"}}
	from := newRig(t, remote)
	addr := from.addr
	pub := from.publish("cam")
	g := newRig(t, router.Config{
		SourceRetryPause: 10 * time.Millisecond,
		Paths: []router.PathConfig{{
			Name:   "pulled",
			Source: srcsrt.Source{URL: "srt://" + addr + "?streamid=read:cam&passphrase=0123456789&latency=50"},
		}},
	})
	routertest.WaitReady(t, g.r, "pulled")
	c := g.read("read:pulled", "")
	units := c.has(0, 30)
	for i := 1; i < len(units); i++ {
		if d := units[i].PTS - units[i-1].PTS; d != 3000 {
			t.Errorf("PTS go on by %d", d)
		}
	}
	pub.Close()
	_ = c.over()
	routertest.Eventually(t, "the source tells that there is no stream", func() bool {
		return g.log.Count("the peer does not have this stream") > 0
	})
	from.publish("cam")
	routertest.WaitReady(t, g.r, "pulled")
	g.read("read:pulled", "").has(0, 2)
	if g.log.Count("0123456789") > 0 {
		t.Error("the log holds the passphrase")
	}
	g.noPanic()
	from.noPanic()
}

package rtsp

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// filled returns size bytes that hold no start code.
func filled(size int, head ...byte) []byte {
	return append(bytes.Clone(head), bytes.Repeat([]byte{0xab}, size)...)
}

var aacConfig = &mpeg4audio.AudioSpecificConfig{
	Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2,
}

// The program publishes payloads: readers get them packetized.
func TestPayloads(t *testing.T) {
	t.Parallel()
	vps := []byte{0x40, 0x01, 0x0c, 0x01}
	sps := []byte{
		0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
		0x00, 0x78, 0xa0, 0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00,
		0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
	}
	pps := []byte{0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40}
	cases := []struct {
		codec   media.Codec
		step    int64 // ticks between units
		payload [][]byte
	}{
		{&media.H264{SPS: testSPS, PPS: testPPS}, 3000, [][]byte{testSPS, testPPS, filled(5000, 0x65), filled(30, 0x65)}},
		{&media.H265{VPS: vps, SPS: sps, PPS: pps}, 3000, [][]byte{vps, sps, pps, filled(5000, 0x26, 0x01)}},
		{&media.VP8{}, 3000, [][]byte{filled(4000, 0x10)}},
		{&media.Opus{ChannelCount: 2}, 960, [][]byte{filled(100, 0xfc)}},
		{&media.MPEG4Audio{Config: aacConfig}, 2048, [][]byte{filled(200), filled(220)}},
		{&media.G711{SampleRate: 8000, ChannelCount: 1}, 160, [][]byte{filled(160)}},
	}
	var tracks []media.Track
	for _, c := range cases {
		tracks = append(tracks, media.Track{Codec: c.codec})
	}
	for name, m := range map[string]mode{
		"tcp": overTCP, "udp": overUDP, "websocket": {protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelWebSocket},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			pub, err := g.r.Publish(t.Context(), "s", tracks)
			if err != nil {
				t.Fatal(err)
			}
			defer pub.Close()
			rd := g.read("s", m)
			const rounds = 3
			for n := range int64(rounds) {
				for i, c := range cases {
					pub.Write(i, &media.Unit{PTS: n * c.step, Payload: c.payload})
					rd.await("packets of the unit", func() bool {
						pkts := rd.packets[[2]int{i, int(rd.desc.Medias[i].Formats[0].PayloadType())}]
						_, done := unpack(t, rd.desc.Medias[i].Formats[0], pkts)
						return done >= int(n+1)*len(c.payload)
					})
				}
			}
			for i, c := range cases {
				f := rd.desc.Medias[i].Formats[0]
				pkts := rd.got(i, int(f.PayloadType()), 1)
				continuous(t, c.codec.Name(), pkts)
				units, _ := unpack(t, f, pkts)
				var want, got []byte
				for range rounds {
					want = append(want, bytes.Join(c.payload, []byte("|"))...)
					want = append(want, '|')
				}
				for _, u := range units {
					got = append(got, bytes.Join(u, []byte("|"))...)
					got = append(got, '|')
				}
				if !bytes.Equal(want, got) {
					t.Errorf("%s: the payload differs: %d bytes, want %d", c.codec.Name(), len(got), len(want))
				}
				first, last := pkts[0].Timestamp, pkts[len(pkts)-1].Timestamp
				if d := int64(last - first); d < (rounds-1)*c.step {
					t.Errorf("%s: %d ticks, want %d", c.codec.Name(), d, (rounds-1)*c.step)
				}
			}
		})
	}
}

// unpack decodes packets; n is the number of elements.
func unpack(t *testing.T, f format.Format, pkts []*rtp.Packet) (units [][][]byte, n int) {
	d, err := rtpbridge.NewDepacketizer(f)
	if err != nil {
		t.Error(err)
		return nil, 0
	}
	for _, pkt := range pkts {
		u, err := d.Depacketize(pkt.Clone())
		if err != nil {
			t.Error(err)
		}
		if u != nil {
			units = append(units, u)
			n += len(u)
		}
	}
	return units, n
}

func TestOnDemand(t *testing.T) {
	t.Parallel()
	running := make(chan struct{}, 10)
	stopped := make(chan struct{}, 10)
	src := &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		running <- struct{}{}
		defer func() { stopped <- struct{}{} }()
		pub, err := run.Publish(ctx, routertest.SampleTracks(), router.PublishOptions{})
		if err != nil {
			return err
		}
		defer pub.Close()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			pub.Write(0, routertest.SampleUnit(0, n))
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}
	g := newRig(t, router.Config{Paths: []router.PathConfig{{
		Name: "s", Source: src, MaxReaders: 2, OnDemand: router.OnDemand{Enabled: true, CloseAfter: 10 * time.Second},
	}}}, plainServer())
	a := g.read("s", overTCP)
	b := g.read("s", overUDP)
	if _, err := g.tryRead("s", overTCP); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("a third reader: %v", err)
	}
	a.got(0, 96, 5)
	b.got(0, 96, 5)
	a.Close()
	b.Close()
	routertest.WaitReaders(t, g.r, "s", 0)
	g.read("s", overTCP).got(0, 96, 2) // the same run goes on
	if len(running) != 1 || len(stopped) != 0 {
		t.Errorf("%d starts, %d stops of the source", len(running), len(stopped))
	}
}

// Parameter sets that come with the stream are in later descriptions.
func TestLateParameters(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.recordRaw("s", h264SDP, 1)
	u := g.url("s")
	early := g.read("s", overUDP)
	if f := early.desc.Medias[0].Formats[0].(*format.H264); f.SPS != nil || f.PPS != nil {
		t.Error("parameters before there are any")
	}
	for i, nalu := range [][]byte{testSPS, testPPS, filled(100, 0x65)} {
		p.packet(0, &rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(i), Marker: i == 2, SSRC: 1},
			Payload: nalu,
		})
	}
	early.got(0, 96, 3)
	res := g.dial().want(200, base.Describe, u, nil)
	if !bytes.Contains(res.Body, []byte("sprop-parameter-sets=Z0LAKNkAeAIn5YQAAAMABAAAAwDwPGDJIA==,aAg=")) {
		t.Errorf("description:\n%s", res.Body)
	}
	rd := g.read("s", overTCP)
	if f := rd.desc.Medias[0].Formats[0].(*format.H264); !bytes.Equal(f.SPS, testSPS) || !bytes.Equal(f.PPS, testPPS) {
		t.Errorf("parameters %x, %x", f.SPS, f.PPS)
	}
}

// H264 of packetization-mode 0, which is also what no mode means.
func TestPacketizationMode0(t *testing.T) {
	t.Parallel()
	for name, fmtp := range map[string][]string{
		"explicit": {"a=fmtp:96 packetization-mode=0;profile-level-id=42c028"},
		"omitted":  {"a=fmtp:96 profile-level-id=42c028"},
		"no fmtp":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			lines := append([]string{"m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=control:trackID=0"}, fmtp...)
			p := g.recordRaw("s", sdp(lines...), 1)
			readers := []*reader{g.read("s", overUDP), g.read("s", overTCP)}
			want := h264Frame(96, 5, 0, 1, 1000)
			p.packet(0, want[0])
			for _, rd := range readers {
				samePackets(t, "mode 0", want, rd.got(0, 96, 1))
			}
		})
	}
}

// Packets that are too large for UDP are split.
func TestLargePackets(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.recordRaw("s", h264SDP, 1)
	readers := []*reader{g.read("s", overUDP), g.read("s", overTCP)}
	nalu := filled(4000, 0x65)
	for n := range 3 {
		p.packet(0, &rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(n), Timestamp: uint32(n) * 3000, Marker: true},
			Payload: nalu,
		})
	}
	for _, rd := range readers {
		f := rd.desc.Medias[0].Formats[0]
		rd.await("three access units", func() bool {
			units, _ := unpack(t, f, rd.packets[[2]int{0, 96}])
			return len(units) == 3
		})
		pkts := rd.got(0, 96, 9)
		continuous(t, "split packets", pkts)
		for _, pkt := range pkts {
			if n := pkt.MarshalSize(); n > 1452 {
				t.Errorf("packet of %d bytes", n)
			}
		}
		units, _ := unpack(t, f, pkts)
		for i, u := range units {
			if len(u) != 1 || !bytes.Equal(u[0], nalu) {
				t.Errorf("access unit %d is another one", i)
			}
		}
	}
}

// transportStream is an MPEG transport stream of H264 and AAC, in packets.
func transportStream(t *testing.T, units int) [][]byte {
	t.Helper()
	var buf bytes.Buffer
	v := &mpegts.Track{PID: 256, Codec: &codecs.H264{}}
	a := &mpegts.Track{PID: 257, Codec: &codecs.MPEG4Audio{Config: *aacConfig}}
	w := &mpegts.Writer{W: &buf, Tracks: []*mpegts.Track{v, a}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	for n := range units {
		pts := int64(n) * 3000
		if err := w.WriteH264(v, pts, pts, [][]byte{testSPS, testPPS, filled(600, 0x65)}); err != nil {
			t.Fatal(err)
		}
		if err := w.WriteMPEG4Audio(a, pts, [][]byte{filled(200)}); err != nil {
			t.Fatal(err)
		}
	}
	var out [][]byte
	for b := buf.Bytes(); len(b) > 0; {
		n := min(len(b), 7*188)
		out = append(out, b[:n])
		b = b[n:]
	}
	return out
}

func TestDemuxMPEGTS(t *testing.T) {
	t.Parallel()
	for _, demux := range []bool{true, false} {
		t.Run(fmt.Sprint(demux), func(t *testing.T) {
			t.Parallel()
			ts := transportStream(t, 400)
			cfg := anyPath()
			cfg.Paths[0].Extras = []any{PathOptions{DemuxMPEGTS: demux}}
			g := newRig(t, cfg, plainServer())
			p := g.publish("s", overTCP, newSession(video(&format.MPEGTS{})))
			seq := uint16(0)
			send := func(n int) {
				for _, b := range ts[:n] {
					p.write(0, &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 33, SequenceNumber: seq}, Payload: b})
					seq++
				}
				ts = ts[n:]
			}
			if !demux {
				rd := g.read("s", overUDP)
				if _, ok := rd.desc.Medias[0].Formats[0].(*format.MPEGTS); !ok {
					t.Errorf("the reader gets %T", rd.desc.Medias[0].Formats[0])
				}
				p.write(0, &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 33}, Payload: ts[0]})
				rd.got(0, 33, 1)
				return
			}
			if p, ok := g.r.Path("s"); ok && p.Stream() != nil {
				t.Error("the stream is ready before its tracks are known")
			}
			send(20)
			s := routertest.WaitReady(t, g.r, "s")
			var names []string
			for _, tr := range s.Tracks() {
				names = append(names, tr.Codec.Name())
			}
			if got := strings.Join(names, ", "); got != "H264, MPEG-4 Audio" {
				t.Fatalf("tracks %s", got)
			}
			rd := g.read("s", overTCP)
			send(30)
			f := rd.desc.Medias[0].Formats[0]
			rd.await("video", func() bool {
				units, _ := unpack(t, f, rd.packets[[2]int{0, 96}])
				return len(units) > 3 && bytes.Equal(units[0][2], filled(600, 0x65))
			})
			rd.got(1, int(rd.desc.Medias[1].Formats[0].PayloadType()), 3)
			p.Close()
			_ = over(t, "reader", rd.done)
			g.noPanic()
		})
	}
}

// A transport stream without tracks that are known ends the session.
func TestDemuxNothing(t *testing.T) {
	t.Parallel()
	cfg := anyPath()
	cfg.Paths[0].Extras = []any{PathOptions{DemuxMPEGTS: true}}
	g := newRig(t, cfg, plainServer())
	g.publish("taken", overTCP, oneVideo())
	p := g.publish("taken2", overTCP, newSession(video(&format.MPEGTS{})))
	for seq := range uint16(50) {
		p.write(0, &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 33, SequenceNumber: seq}, Payload: filled(1316)})
	}
	p.Close()
	q := g.publish("taken", overTCP, newSession(video(&format.MPEGTS{})))
	for seq, b := range transportStream(t, 40) {
		if q.WritePacketRTP(q.desc.Medias[0], &rtp.Packet{
			Header: rtp.Header{Version: 2, PayloadType: 33, SequenceNumber: uint16(seq)}, Payload: b,
		}) != nil {
			break
		}
	}
	_ = over(t, "publisher on a path that is taken", q.done)
	routertest.Eventually(t, "the reason is logged", func() bool { return g.log.Count("already publishing to path 'taken'") > 0 })
	g.noPanic()
}

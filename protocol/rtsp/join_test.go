package rtsp

import (
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/pion/rtp"
)

// delta is a picture that needs others.
func delta(seq uint16) *rtp.Packet {
	pkt := h264Frame(96, seq, 3000*uint32(seq), 1, 500)[0]
	pkt.Payload[0] = 0x41 // slice of no IDR picture
	return pkt
}

func key(seq uint16) *rtp.Packet { return h264Frame(96, seq, 3000*uint32(seq), 1, 500)[0] }

// everyUnicast are all ways to read but multicast.
var everyUnicast = map[string]struct {
	mode   mode
	secure bool
}{
	"tcp":               {overTCP, false},
	"udp":               {overUDP, false},
	"HTTP":              {mode{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelHTTP}, false},
	"WebSocket":         {mode{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelWebSocket}, false},
	"TLS":               {mode{protocol: gortsplib.ProtocolTCP, insecure: true}, true},
	"TLS and HTTP":      {mode{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelHTTP, insecure: true}, true},
	"SRTP over TCP":     {overTCP, true},
	"SRTP over UDP":     {overUDP, true},
	"SRTP in WebSocket": {mode{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelWebSocket}, true},
}

func serverFor(t testing.TB, secure bool) *Server {
	if secure {
		return secureServer(t)
	}
	return plainServer()
}

func TestReadersBeginWithKeyFrame(t *testing.T) {
	t.Parallel()
	for name, ca := range everyUnicast {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := ca.mode
			g := newRig(t, anyPath(), serverFor(t, ca.secure))
			p := g.publish("s", overTCP, newSession(video(h264Format(96)), audio(&format.Opus{PayloadTyp: 97, ChannelCount: 2})))
			other := g.read("s", overTCP)
			p.write(0, key(1))
			p.write(1, audioPacket(97, 1, 0, 50))
			p.write(0, delta(2))
			other.got(0, 96, 2)
			rd := g.read("s", m) // asks when the key frame has passed
			p.write(0, delta(3))
			p.write(1, audioPacket(97, 2, 960, 50))
			p.write(0, key(4))
			p.write(1, audioPacket(97, 3, 1920, 50))
			if got := rd.got(0, 96, 1)[0].SequenceNumber; got != 4 {
				t.Errorf("the first packet of video has number %d, the key frame 4", got)
			}
			if got := rd.got(1, 97, 1)[0].SequenceNumber; got != 3 {
				t.Errorf("the first packet of audio has number %d, the first one after the key frame 3", got)
			}
		})
	}
}

// Streams without key frames are read too, after a while.
func TestNoKeyFrame(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overTCP, oneVideo())
	rd := g.read("s", overTCP)
	before := time.Now()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for seq := uint16(1); ; seq++ {
			select {
			case <-tick.C:
				p.write(0, delta(seq))
			case <-stop:
				return
			}
		}
	}()
	rd.got(0, 96, 1)
	close(stop)
	<-done
	if took := time.Since(before); took < maxKeyWait {
		t.Errorf("media came after %v", took)
	}
}

// A key frame that comes in parts is read from its first packet on.
func TestSlowKeyFrame(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overTCP, oneVideo())
	rd := g.read("s", overTCP)
	p.write(0, delta(1))
	sei := key(2)
	sei.Payload[0], sei.Marker = 6, false
	p.write(0, sei)
	time.Sleep(50 * time.Millisecond) // longer than packets wait for the end of their picture
	idr := key(3)
	idr.Timestamp = sei.Timestamp
	p.write(0, idr)
	if got := rd.got(0, 96, 1)[0].SequenceNumber; got != 2 {
		t.Errorf("the first packet has number %d, the key frame begins with 2", got)
	}
}

// The same, if packets are too large and wait for the rest of their picture to be
// made anew.
func TestSlowKeyFrameIsRepacked(t *testing.T) {
	t.Parallel()
	srv := plainServer()
	srv.UDPMaxPayloadSize = 700
	g := newRig(t, anyPath(), srv)
	p := g.publish("s", overTCP, oneVideo())
	rd := g.read("s", overTCP)
	p.write(0, delta(1))
	began := time.Now()
	for _, pkt := range h264Frame(96, 2, 6000, 3, 1200) {
		p.write(0, pkt)
		time.Sleep(50 * time.Millisecond) // longer than packets wait for the end of their picture
	}
	rd.got(0, 96, 1)
	if d := time.Since(began); d > maxKeyWait/2 {
		t.Errorf("the key frame came after %v", d)
	}
}

// Who asks for the stream before a key frame, and plays after it, begins with it.
// FFmpeg begins with the picture before.
func TestKeyFrameDuringSetup(t *testing.T) {
	t.Parallel()
	for name, ca := range map[string]struct {
		agent string
		first uint16
	}{
		"player": {"LibVLC/3.0", 11},
		"FFmpeg": {"Lavf59.27.100", 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			// without parameters it is not known that pictures stay in order
			p := g.publish("s", overTCP, newSession(video(&format.H264{PayloadTyp: 96, PacketizationMode: 1})))
			other := g.read("s", overTCP)
			p.write(0, key(9))
			p.write(0, delta(10)) // the picture before is known only if somebody asked already
			other.got(0, 96, 2)
			c, u := g.dial(), g.url("s")
			c.want(200, base.Describe, u, nil)
			p.write(0, key(11))
			p.write(0, delta(12))
			other.got(0, 96, 4)
			c.want(200, base.Setup, u+"/trackID=0", nil, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
			c.want(200, base.Play, u, nil, "User-Agent: "+ca.agent)
			for i := range 13 - ca.first {
				if got := nextPacket(t, c).SequenceNumber; got != ca.first+i {
					t.Errorf("packet %d has number %d, want %d", i, got, ca.first+i)
				}
			}
		})
	}
}

// nextPacket returns the next packet of channel 0.
func nextPacket(t *testing.T, c *raw) *rtp.Packet {
	t.Helper()
	for {
		what, err := c.c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := what.(*base.InterleavedFrame); ok && f.Channel == 0 {
			pkt := &rtp.Packet{}
			if err := pkt.Unmarshal(f.Payload); err != nil {
				t.Fatal(err)
			}
			return pkt
		}
	}
}

func TestSkippable(t *testing.T) {
	t.Parallel()
	const trail, idr = byte(h265.NALUType_TRAIL_R) << 1, byte(h265.NALUType_IDR_W_RADL) << 1
	fu, ap := byte(h265.NALUType_FragmentationUnit)<<1, byte(h265.NALUType_AggregationUnit)<<1
	for name, ca := range map[string]struct {
		payloads []string
		want     string
	}{
		"one slice":       {[]string{string([]byte{trail, 1, 0x80, 5, 6})}, "\x10\x01\x80\x05\x06"},
		"fragments":       {[]string{string([]byte{fu, 1, 0x80 | trail>>1, 0x80, 5}), string([]byte{fu, 1, 0x40 | trail>>1, 9, 9})}, "\x10\x01\x80\x05"},
		"aggregate":       {[]string{string([]byte{ap, 1, 0, 3, 0x4e, 1, 9, 0, 4, trail, 1, 0x80, 5})}, "\x10\x01\x80\x05"},
		"key frame":       {[]string{string([]byte{idr, 1, 0x80, 5})}, ""},
		"not the first":   {[]string{string([]byte{trail, 1, 0x00, 5})}, ""},
		"broken":          {[]string{string([]byte{ap, 1, 0xff, 0xff, trail, 1})}, ""},
		"nested":          {[]string{string([]byte{ap, 1, 0, 4, ap, 1, 0x80, 5})}, ""},
		"too short":       {[]string{string([]byte{trail})}, ""},
		"nothing at all":  {nil, ""},
		"fragment of one": {[]string{string([]byte{fu, 1, 0x80 | fu>>1, 0x80, 5})}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := openingUnit{track: 1}
			for i, p := range ca.payloads {
				b, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i)}, Payload: []byte(p)}).Marshal()
				if err != nil {
					t.Fatal(err)
				}
				u.data, u.sizes = append(u.data, b...), append(u.sizes, len(b))
			}
			got := ""
			for _, s := range skippable([]openingUnit{{track: 0}, u}, 1) {
				var pkt rtp.Packet
				if err := pkt.Unmarshal(s.data); err != nil {
					t.Fatal(err)
				}
				if int(pkt.SequenceNumber) != len(ca.payloads)-1 || !pkt.Marker {
					t.Errorf("number %d, marker %v", pkt.SequenceNumber, pkt.Marker)
				}
				got += string(pkt.Payload)
			}
			if got != ca.want {
				t.Errorf("%x, want %x", got, ca.want)
			}
		})
	}
}

func FuzzFirstSlice(f *testing.F) {
	f.Add([]byte{2, 1, 0x80, 5})
	f.Add([]byte{0x60, 1, 0, 4, 2, 1, 0x80, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := firstSlice(b); s != nil && len(s) < 4 {
			t.Error(s)
		}
	})
}

package rtcegress

import (
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/internal/egress"
)

// patience is how long something that must happen may take.
const patience = 20 * time.Second

var videoCodec = webrtc.RTPCodecCapability{
	MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
	SDPFmtpLine:  "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
	RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}},
}

var audioCodec = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}

// newAPI returns an API whose peers use a mux. reg may be nil.
func newAPI(
	mux func(*webrtc.SettingEngine), pt webrtc.PayloadType, reg func(*webrtc.MediaEngine) (*interceptor.Registry, error),
) (*webrtc.API, error) {
	me := &webrtc.MediaEngine{}
	err := errors.Join(
		me.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: videoCodec, PayloadType: pt}, webrtc.RTPCodecTypeVideo),
		me.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: audioCodec, PayloadType: pt + 1}, webrtc.RTPCodecTypeAudio),
	)
	if err != nil {
		return nil, err
	}
	r := Registry()
	if reg != nil {
		if r, err = reg(me); err != nil {
			return nil, err
		}
	}
	se := webrtc.SettingEngine{LoggerFactory: quiet()}
	se.SetIncludeLoopbackCandidate(true)
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	mux(&se)
	return webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithSettingEngine(se), webrtc.WithInterceptorRegistry(r)), nil
}

func quiet() logging.LoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.DefaultLogLevel = logging.LogLevelDisabled
	f.ScopeLevels = map[string]logging.LogLevel{}
	return f
}

// overUDP makes peers share a socket.
func overUDP(c net.PacketConn) func(*webrtc.SettingEngine) {
	m := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: c, Logger: quiet().NewLogger("ice")})
	return func(se *webrtc.SettingEngine) { se.SetICEUDPMux(m) }
}

// offer makes an offer to receive with all candidates.
func offer(pc *webrtc.PeerConnection, audio bool) (string, error) {
	recvonly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, recvonly); err != nil {
		return "", err
	}
	if audio {
		if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, recvonly); err != nil {
			return "", err
		}
	}
	o, err := pc.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	return local(pc, o)
}

// answer answers an offer with tracks.
func answer(pc *webrtc.PeerConnection, offer string) (string, error) {
	err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer})
	if err != nil {
		return "", err
	}
	a, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	return local(pc, a)
}

func local(pc *webrtc.PeerConnection, d webrtc.SessionDescription) (string, error) {
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// connected is closed when a peer connection is.
func connected(pc *webrtc.PeerConnection) <-chan struct{} {
	c := make(chan struct{})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(c)
		}
	})
	return c
}

// unit makes an access unit: packets with payloads of the given sizes, whose first byte is i, the second the number of the packet.
func unit(p *egress.Pool, track int, key bool, i int, rtpTime uint32, sizes ...int) *egress.Message {
	m := p.NewMessage()
	m.Track, m.Video, m.Key = track, track == 0, key
	total := 0
	for _, n := range sizes {
		total += n + rtpHeaderSize
	}
	b := p.Get(total)
	pkt := make([]byte, 2000)
	for k, n := range sizes {
		pkt[0], pkt[1] = 0x80, 96
		if k == len(sizes)-1 {
			pkt[1] |= 0x80
		}
		binary.BigEndian.PutUint16(pkt[2:], uint16(i*100+k)) // replaced by the viewer
		binary.BigEndian.PutUint32(pkt[4:], rtpTime)
		pkt[12], pkt[13] = byte(i), byte(k)
		b.AppendPacket(pkt[:rtpHeaderSize+n])
	}
	m.SetPackets(b)
	return m
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after %v: %s", patience, what)
		}
	}
}

func deadline() time.Time { return time.Now().Add(patience) }

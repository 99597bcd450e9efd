package webrtcpeer

import (
	"net"
	"slices"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// Times of ICE, and bounds of what a peer can make us keep.
const (
	iceDisconnected = 5 * time.Second
	iceFailed       = 10 * time.Second // after iceDisconnected
	iceKeepAlive    = 2 * time.Second

	receiveMTU    = 1600      // bytes; a packet does not leave an Ethernet frame
	sctpBuffer    = 256 << 10 // bytes
	sctpMessage   = 64 << 10  // bytes
	replayPackets = 512
)

// peerSettings are what differs between peers.
type peerSettings struct {
	codecs     []registeredCodec
	extensions []string // URIs of RTP header extensions
	// interceptors are nil for senders, which need none
	interceptors func(*interceptor.Registry) error
}

// registeredCodec is a codec with the kind of its media sections.
type registeredCodec struct {
	kind webrtc.RTPCodecType
	webrtc.RTPCodecParameters
}

// api makes the library for a peer.
func (s *peerSettings) api(e *Engine, p *Peer) (*webrtc.API, error) {
	m := &webrtc.MediaEngine{}
	for _, c := range s.codecs {
		// a payload type that is taken: the first section has it
		_ = m.RegisterCodec(c.RTPCodecParameters, c.kind)
	}
	for _, uri := range s.extensions {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
				return nil, err
			}
		}
	}
	reg := &interceptor.Registry{}
	reg.Add(&rtcpCounter{counters: &p.counters}) // innermost: it sees what the others write
	if s.interceptors != nil {
		if err := s.interceptors(reg); err != nil {
			return nil, err
		}
	}
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(reg),
		webrtc.WithSettingEngine(e.settingEngine(p)),
	), nil
}

func (e *Engine) settingEngine(p *Peer) webrtc.SettingEngine {
	s := webrtc.SettingEngine{LoggerFactory: &logFactory{log: p.log}}
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetSRTPReplayProtectionWindow(replayPackets)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetICETimeouts(iceDisconnected, iceFailed, iceKeepAlive)
	s.SetSTUNGatherTimeout(e.cfg.STUNGatherTimeout)
	s.SetDTLSConnectContextMaker(p.dtlsContext)
	s.SetReceiveMTU(receiveMTU)
	s.SetSCTPMaxReceiveBufferSize(sctpBuffer)
	s.SetSCTPMaxMessageSize(sctpMessage)
	s.SetNet(e.net)
	// host candidates may be used at once: no other kind is worth the wait
	s.SetHostAcceptanceMinWait(0)
	s.SetPrflxAcceptanceMinWait(0)
	s.SetSrflxAcceptanceMinWait(200 * time.Millisecond)
	s.SetRelayAcceptanceMinWait(time.Second)
	s.SetIncludeLoopbackCandidate(true) // what is offered is decided elsewhere
	if !e.server() {
		s.SetNetworkTypes([]webrtc.NetworkType{
			webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
		})
		e.filterInterfaces(&s)
		return s
	}
	s.DisableActiveTCP(true) // a server does not connect to where a client says
	var types []webrtc.NetworkType
	if e.udpMux != nil {
		s.SetICEUDPMux(e.udpMux)
		types = append(types, webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6)
	}
	if e.tcpMux != nil {
		s.SetICETCPMux(e.tcpMux)
		types = append(types, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	s.SetNetworkTypes(types)
	return s
}

// filterInterfaces bounds the sockets that peers without shared ports open.
// Loopback stays: a server on this host may offer nothing else.
func (e *Engine) filterInterfaces(s *webrtc.SettingEngine) {
	names := e.cfg.Interfaces
	if len(names) > 0 {
		s.SetInterfaceFilter(func(name string) bool { return slices.Contains(names, name) })
	}
	if e.cfg.NoInterfaces && len(e.cfg.AdditionalHosts) == 0 {
		s.SetIPFilter(func(net.IP) bool { return false })
	}
}

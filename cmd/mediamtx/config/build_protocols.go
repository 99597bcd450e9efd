package config

import (
	"slices"
	"strings"
	"time"

	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/controlapi/metrics"
	"github.com/org/mtx/controlapi/pprof"
	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/protocol/srt"
	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router"
)

// buildProtocols returns the servers that are switched on.
func (d *Document) buildProtocols(s Shared) []router.Protocol {
	var out []router.Protocol
	if d.RTSP {
		out = append(out, d.buildRTSP()...)
	}
	if d.RTMP {
		out = append(out, d.buildRTMP()...)
	}
	if d.HLS {
		out = append(out, d.buildHLS())
	}
	if d.WebRTC {
		out = append(out, d.buildWebRTC())
	}
	if d.SRT {
		out = append(out, d.buildSRT())
	}
	return append(out, d.buildOperation(s)...)
}

// buildOperation returns the servers for operators.
func (d *Document) buildOperation(s Shared) []router.Protocol {
	var out []router.Protocol
	if d.API {
		out = append(out, &controlapi.Server{
			HTTP: d.listen(httpKeys{
				d.APIAddress, d.APIEncryption, d.APIServerCert, d.APIServerKey, d.APIAllowOrigins, d.APITrustedProxies,
			}),
			Options: controlapi.Options{TrustedOrigins: named(d.APIAllowOrigins), QueryToken: d.AuthJWTInHTTPQuery},
		})
	}
	if d.Playback {
		out = append(out, d.buildPlayback())
	}
	if d.Metrics {
		out = append(out, &metrics.Server{
			HTTP: d.listen(httpKeys{
				d.MetricsAddress, d.MetricsEncryption, d.MetricsServerCert, d.MetricsServerKey, d.MetricsAllowOrigins, d.MetricsTrustedProxies,
			}),
			QueryToken: d.AuthJWTInHTTPQuery,
			Recording:  s.Recording,
		})
	}
	if d.Pprof {
		out = append(out, &pprof.Server{
			HTTP: d.listen(httpKeys{
				d.PprofAddress, d.PprofEncryption, d.PprofServerCert, d.PprofServerKey, d.PprofAllowOrigins, d.PprofTrustedProxies,
			}),
			QueryToken: d.AuthJWTInHTTPQuery,
		})
	}
	return out
}

// httpKeys are the keys that every HTTP server has.
type httpKeys struct {
	address    string
	encryption bool
	cert, key  string
	origins    []string
	proxies    []IPNetwork
}

func (d *Document) listen(k httpKeys) httpserver.Listen {
	l := httpserver.Listen{
		Addr: k.address, AllowOrigins: origins(k.origins), TrustedProxies: prefixes(k.proxies),
		ReadTimeout: time.Duration(d.ReadTimeout), WriteTimeout: time.Duration(d.WriteTimeout),
	}
	if k.encryption {
		l.CertFile, l.KeyFile = k.cert, k.key
	}
	return l
}

// named returns the origins that are no patterns.
func named(l []string) []string {
	return slices.DeleteFunc(origins(l), func(o string) bool { return strings.Contains(o, "*") })
}

// buildRTSP returns one or both of the RTSP servers.
func (d *Document) buildRTSP() []router.Protocol {
	base := rtsp.Server{
		MulticastRange:    d.MulticastIPRange,
		ReadTimeout:       time.Duration(d.ReadTimeout),
		WriteTimeout:      time.Duration(d.WriteTimeout),
		WriteQueueSize:    d.WriteQueueSize,
		UDPMaxPayloadSize: d.UDPMaxPayloadSize,
		UDPReadBufferSize: d.UDPReadBufferSize,
		TrustedProxies:    prefixes(d.RTSPTrustedProxies),
	}
	for _, t := range d.RTSPTransports {
		base.Transports = append(base.Transports, rtsp.Transport(t))
	}
	for _, m := range d.RTSPAuthMethods {
		base.AuthMethods = append(base.AuthMethods, rtsp.AuthMethod(m))
	}
	var out []router.Protocol
	if d.RTSPEncryption != "strict" {
		s := base
		s.Addr, s.RTPAddr, s.RTCPAddr = d.RTSPAddress, d.RTPAddress, d.RTCPAddress
		s.MulticastRTPPort, s.MulticastRTCPPort = d.MulticastRTPPort, d.MulticastRTCPPort
		out = append(out, &s)
	}
	if d.RTSPEncryption != "no" {
		s := base
		s.Addr, s.RTPAddr, s.RTCPAddr = d.RTSPSAddress, d.SRTPAddress, d.SRTCPAddress
		s.MulticastRTPPort, s.MulticastRTCPPort = d.MulticastSRTPPort, d.MulticastSRTCPPort
		s.CertFile, s.KeyFile = d.RTSPServerCert, d.RTSPServerKey
		out = append(out, &s)
	}
	return out
}

// buildRTMP returns one or both of the RTMP servers.
func (d *Document) buildRTMP() []router.Protocol {
	base := rtmp.Server{
		ReadTimeout:    time.Duration(d.ReadTimeout),
		WriteTimeout:   time.Duration(d.WriteTimeout),
		WriteQueueSize: d.WriteQueueSize,
		TrustedProxies: prefixes(d.RTMPTrustedProxies),
	}
	var out []router.Protocol
	if d.RTMPEncryption != "strict" {
		s := base
		s.Addr = d.RTMPAddress
		out = append(out, &s)
	}
	if d.RTMPEncryption != "no" {
		s := base
		s.Addr = d.RTMPSAddress
		s.CertFile, s.KeyFile = d.RTMPServerCert, d.RTMPServerKey
		out = append(out, &s)
	}
	return out
}

func (d *Document) buildHLS() *hls.Server {
	return &hls.Server{
		HTTP: d.listen(httpKeys{
			d.HLSAddress, d.HLSEncryption, d.HLSServerCert, d.HLSServerKey, d.HLSAllowOrigins, d.HLSTrustedProxies,
		}),
		AlwaysRemux:     d.HLSAlwaysRemux,
		Variant:         hls.Variant(d.HLSVariant),
		SegmentCount:    d.HLSSegmentCount,
		SegmentDuration: time.Duration(d.HLSSegmentDuration),
		PartDuration:    time.Duration(d.HLSPartDuration),
		SegmentMaxSize:  uint64(d.HLSSegmentMaxSize),
		Directory:       d.HLSDirectory,
		MuxerCloseAfter: time.Duration(d.HLSMuxerCloseAfter),
		QueryToken:      d.AuthJWTInHTTPQuery,
		CDNSecret:       d.HLSCDNSecret,
	}
}

func (d *Document) buildWebRTC() *webrtc.Server {
	s := &webrtc.Server{
		HTTP: d.listen(httpKeys{
			d.WebRTCAddress, d.WebRTCEncryption, d.WebRTCServerCert, d.WebRTCServerKey, d.WebRTCAllowOrigins, d.WebRTCTrustedProxies,
		}),
		UDPAddr:            d.WebRTCLocalUDPAddress,
		NoUDP:              d.WebRTCLocalUDPAddress == "",
		TCPAddr:            d.WebRTCLocalTCPAddress,
		NoInterfaces:       !d.WebRTCIPsFromInterfaces,
		Interfaces:         d.WebRTCIPsFromInterfacesList,
		AdditionalHosts:    d.WebRTCAdditionalHosts,
		STUNGatherTimeout:  time.Duration(d.WebRTCSTUNGatherTimeout),
		HandshakeTimeout:   time.Duration(d.WebRTCHandshakeTimeout),
		TrackGatherTimeout: time.Duration(d.WebRTCTrackGatherTimeout),
		UDPReadBufferSize:  d.UDPReadBufferSize,
		QueryToken:         d.AuthJWTInHTTPQuery,
	}
	for _, i := range d.WebRTCICEServers2 {
		s.ICEServers = append(s.ICEServers, webrtc.ICEServer{
			URL: i.URL, Username: i.Username, Password: i.Password, ClientOnly: i.ClientOnly,
		})
	}
	return s
}

func (d *Document) buildSRT() *srt.Server {
	return &srt.Server{
		Addr:              d.SRTAddress,
		ReadTimeout:       time.Duration(d.ReadTimeout),
		WriteTimeout:      time.Duration(d.WriteTimeout),
		UDPMaxPayloadSize: d.UDPMaxPayloadSize,
		UDPReadBufferSize: d.UDPReadBufferSize,
	}
}

// origins drops empty ones: that is how files of old releases say "none".
func origins(l []string) []string {
	return slices.DeleteFunc(slices.Clone(l), func(o string) bool { return o == "" })
}

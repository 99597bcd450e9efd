package rtsp

import (
	"crypto/tls"
	"time"
)

// Transport is a way to carry RTP.
type Transport string

// Transports.
const (
	UDP       Transport = "udp"
	Multicast Transport = "multicast"
	TCP       Transport = "tcp"
)

// AuthMethod is a way to send credentials.
type AuthMethod string

// Authentication methods.
const (
	Basic  AuthMethod = "basic"
	Digest AuthMethod = "digest"
)

// Server is an RTSP server. With a certificate it is an RTSPS server; run two
// of them to have both. The zero value listens on ":8554" with all transports.
type Server struct {
	// Addr is where RTSP connections are accepted. Default ":8554", with TLS
	// ":8322".
	Addr string

	// Transports are those that clients may ask for. Default: all.
	Transports []Transport

	// RTPAddr and RTCPAddr are the UDP addresses of the unicast transport. The
	// RTP port must be even, the RTCP port follows it. Default ":8000" and
	// ":8001", with TLS (SRTP) ":8004" and ":8005".
	RTPAddr, RTCPAddr string

	// MulticastRange is the network from which multicast groups are taken.
	// Default "224.1.0.0/16".
	MulticastRange string

	// MulticastRTPPort and MulticastRTCPPort are the ports of the multicast
	// transport. Default 8002 and 8003, with TLS 8006 and 8007.
	MulticastRTPPort, MulticastRTCPPort int

	// CertFile and KeyFile are PEM files; setting them makes an RTSPS server.
	// They are read again when they change on disk.
	CertFile, KeyFile string

	// TLS is used in place of CertFile and KeyFile.
	TLS *tls.Config

	// AuthMethods that are offered to clients. Default: Basic.
	AuthMethods []AuthMethod

	// ReadTimeout bounds how long a publisher may be silent. Default 10s.
	ReadTimeout time.Duration

	// WriteTimeout bounds how long a reader may refuse data. Default 10s.
	WriteTimeout time.Duration

	// WriteQueueSize is the number of packets that wait for a slow reader
	// before packets are discarded. Default 512.
	WriteQueueSize int

	// UDPMaxPayloadSize bounds UDP payloads, in bytes; RTP packets that do not
	// fit are split again. Default 1452.
	UDPMaxPayloadSize int

	// UDPReadBufferSize is the size of the UDP receive buffers, in bytes.
	// Default: that of the system.
	UDPReadBufferSize int
}

// PathOptions are settings of a path for RTSP publishers; add them to
// router.PathConfig.Extras.
type PathOptions struct {
	// DemuxMPEGTS turns an MPEG transport stream that is published inside RTSP
	// into its elementary streams.
	DemuxMPEGTS bool
}

// Forward is a sink that publishes the path on another RTSP server.
type Forward struct {
	// URL of the stream on the other server (rtsp or rtsps), with credentials
	// if needed. $MTX_PATH and $G1, $G2... are replaced.
	URL string

	// Transport is UDP or TCP. Default TCP.
	Transport Transport

	// Fingerprint is the SHA-256 of the certificate of the server, in hex. If
	// empty, the certificate must be valid.
	Fingerprint string

	// ReadTimeout and WriteTimeout bound network operations. Default 10s.
	ReadTimeout, WriteTimeout time.Duration
}

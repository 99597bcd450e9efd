package rtsp

import "time"

// Transport is a way to carry RTP.
type Transport string

// Transports.
const (
	Automatic Transport = "automatic" // UDP, then TCP if nothing arrives
	UDP       Transport = "udp"
	Multicast Transport = "multicast"
	TCP       Transport = "tcp"
)

// Source pulls a stream from an RTSP server or camera.
type Source struct {
	// URL of the stream: rtsp, rtsps, rtsp+http, rtsps+http, rtsp+ws, rtsps+ws,
	// with credentials if needed. $G1... and $MTX_QUERY are replaced.
	URL string

	// Transport carries the media. Default Automatic.
	Transport Transport

	// AnyPort accepts UDP packets from any port of the server.
	AnyPort bool

	// Fingerprint is the SHA-256 of the certificate of the server, in hex. If
	// empty, the certificate must be valid.
	Fingerprint string

	// RangeType ("clock", "npt", "smpte") and RangeStart ask the server to start
	// at a position: a date as 2006-01-02T15:04:05Z, a duration, a duration.
	RangeType, RangeStart string

	// Scale is the value of the Scale header (playback speed). Optional.
	Scale string

	// UDPSourcePortRange is the range of local ports. Default 10000-65535.
	UDPSourcePortRange [2]int

	// UDPReadBufferSize is the size of UDP receive buffers, in bytes. Default:
	// that of the system.
	UDPReadBufferSize int

	// ReadTimeout and WriteTimeout bound network operations. Default 10s.
	ReadTimeout, WriteTimeout time.Duration

	// DemuxMPEGTS turns an MPEG transport stream inside RTSP into its
	// elementary streams.
	DemuxMPEGTS bool
}

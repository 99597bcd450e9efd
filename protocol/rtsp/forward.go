package rtsp

import "time"

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

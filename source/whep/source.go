package whep

import (
	"fmt"
	"time"

	"github.com/org/mtx/protocol/bridge/whipclient"
	"github.com/org/mtx/router"
)

// Source pulls a stream from a WHEP server. Values may be compared with ==.
type Source struct {
	// URL of the stream: whep://host:port/path, or wheps for HTTPS. It may hold
	// credentials, which are sent with Basic authentication. $G1, $G2... and
	// $MTX_QUERY are replaced. Mandatory.
	URL string

	// BearerToken is sent in place of the credentials of the URL. Optional.
	BearerToken string

	// Fingerprint is the SHA-256 of the HTTPS certificate of the server, in hex;
	// case and colons do not matter. If empty, the certificate must be valid.
	Fingerprint string

	// ReadTimeout bounds each HTTP request, and how long no media may come.
	// Default 10s.
	ReadTimeout time.Duration

	// STUNGatherTimeout bounds how long STUN and TURN servers are waited for.
	// Default 5s.
	STUNGatherTimeout time.Duration

	// HandshakeTimeout bounds the time from the answer to the connection. Default
	// 10s.
	HandshakeTimeout time.Duration

	// TrackGatherTimeout bounds how long the server, once connected, may take
	// until media of all its tracks has come. Default 2s.
	TrackGatherTimeout time.Duration

	// VideoTracks and AudioTracks are how many tracks are asked for at most.
	// Default 1 each, which all servers understand.
	VideoTracks, AudioTracks int
}

var _ router.Source = Source{}

const (
	// maxTracks is how many tracks of a kind may be asked for.
	maxTracks = 8

	// maxTimeout bounds timeouts.
	maxTimeout = 10 * time.Minute

	defaultReadTimeout = 10 * time.Second
)

// Type implements router.Source.
func (s Source) Type() string { return "webRTCSource" }

// Validate tells what is wrong with the source. URLs with variables are checked
// only when these are known.
func (s Source) Validate() error {
	for _, t := range []struct {
		what  string
		value time.Duration
	}{
		{"read", s.ReadTimeout}, {"STUN gather", s.STUNGatherTimeout},
		{"handshake", s.HandshakeTimeout}, {"track gather", s.TrackGatherTimeout},
	} {
		if t.value < 0 || t.value > maxTimeout {
			return fmt.Errorf("WHEP %s timeout %v: it must be between 0 and %v", t.what, t.value, maxTimeout)
		}
	}
	for _, n := range []int{s.VideoTracks, s.AudioTracks} {
		if n < 0 || n > maxTracks {
			return fmt.Errorf("WHEP number of tracks %d: it must be between 0 and %d", n, maxTracks)
		}
	}
	return s.options(s.URL).Validate()
}

func (s Source) options(url string) whipclient.Options {
	return whipclient.Options{
		Protocol: whipclient.WHEP, URL: url, BearerToken: s.BearerToken,
		Fingerprint: s.Fingerprint, Timeout: s.ReadTimeout,
	}
}

package rtsp

import (
	"fmt"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/headers"

	"github.com/org/mtx/protocol/bridge/datagram"
	"github.com/org/mtx/protocol/bridge/rtspclient"
	"github.com/org/mtx/router"
)

// Transport is a way to carry RTP.
type Transport string

// Transports.
const (
	Automatic Transport = "automatic" // UDP, then TCP if nothing arrives for 3 s
	UDP       Transport = "udp"
	Multicast Transport = "multicast"
	TCP       Transport = "tcp"
)

// Source pulls a stream from an RTSP server or camera. Values may be compared
// with ==.
type Source struct {
	// URL of the stream: rtsp, rtsps, rtsp+http, rtsps+http, rtsp+ws, rtsps+ws.
	// It may hold credentials, with any character; where it is not clear where
	// they end, write / as %2F, ? as %3F, # as %23 and @ as %40. $G1, $G2... and
	// $MTX_QUERY are replaced. Mandatory.
	URL string

	// Transport carries the media. Default Automatic. Tunnels (+http, +ws) always
	// use TCP. Over rtsps, UDP and multicast need a server that offers SRTP.
	Transport Transport

	// AnyPort accepts UDP packets from any port of the server. It helps with
	// servers that do not tell their ports, and makes it easier to inject
	// packets.
	AnyPort bool

	// Fingerprint is the SHA-256 of the certificate of the server, in hex; case
	// and colons do not matter. If empty, the certificate must be valid.
	Fingerprint string

	// RangeType and RangeStart ask the server to start at a position:
	//
	//	"clock"  absolute time, as 20060102T150405Z or 2006-01-02T15:04:05Z
	//	"npt"    time since the beginning, as a Go duration: "1m30s"
	//	"smpte"  the same, written as SMPTE time
	//
	// Default: wherever the server starts.
	RangeType, RangeStart string

	// Scale is the value of the Scale header, the speed of playback: "2.0".
	// Optional.
	Scale string

	// UDPSourcePortRange is the range of local UDP ports, both included. Default
	// 10000-65535.
	UDPSourcePortRange [2]int

	// UDPReadBufferSize is the size of UDP receive buffers, in bytes. Default:
	// that of the system.
	UDPReadBufferSize int

	// ReadTimeout and WriteTimeout bound network operations, and how long the
	// server may be silent. Default 10s.
	ReadTimeout, WriteTimeout time.Duration

	// DemuxMPEGTS turns an MPEG transport stream inside RTSP into its elementary
	// streams. Other tracks beside it are left out. Without one it does nothing.
	DemuxMPEGTS bool
}

// Type implements router.Source.
func (s Source) Type() string { return "rtspSource" }

// Validate tells what is wrong with the source. URLs with variables are checked
// only when these are known.
func (s Source) Validate() error {
	if _, err := s.playRange(); err != nil {
		return err
	}
	_, err := s.client(s.URL, nil, nil)
	return err
}

// client makes a client for an expanded URL.
func (s Source) client(url string, run *router.SourceRun, f *datagram.Faults) (*rtspclient.Client, error) {
	o := rtspclient.Options{
		URL:                url,
		Transport:          string(s.Transport),
		AnyPort:            s.AnyPort,
		Fingerprint:        s.Fingerprint,
		UDPSourcePortRange: s.UDPSourcePortRange,
		UDPReadBufferSize:  s.UDPReadBufferSize,
		ReadTimeout:        s.ReadTimeout,
		WriteTimeout:       s.WriteTimeout,
		Scale:              s.Scale,
	}
	if run != nil {
		o.Log, o.Lost, o.Invalid = run.Log, f.Lost, f.Invalid
	}
	return rtspclient.New(o)
}

// playRange returns the Range header; nil if there is none.
func (s Source) playRange() (*headers.Range, error) {
	bad := func(accepted string) error {
		return fmt.Errorf("start of the range %q: with the range type %q it must be %s", s.RangeStart, s.RangeType, accepted)
	}
	switch s.RangeType {
	case "":
		if s.RangeStart != "" {
			return nil, fmt.Errorf("start of the range %q: the range type is missing", s.RangeStart)
		}
		return nil, nil
	case "clock":
		for _, layout := range []string{"20060102T150405Z", time.RFC3339} {
			if t, err := time.Parse(layout, s.RangeStart); err == nil {
				return &headers.Range{Value: &headers.RangeUTC{Start: t.UTC()}}, nil
			}
		}
		return nil, bad("a date as 20060102T150405Z")
	case "npt", "smpte":
		d, err := time.ParseDuration(s.RangeStart)
		if err != nil || d < 0 {
			return nil, bad("a duration such as 1m30s")
		}
		if s.RangeType == "npt" {
			return &headers.Range{Value: &headers.RangeNPT{Start: d}}, nil
		}
		return &headers.Range{Value: &headers.RangeSMPTE{Start: headers.RangeSMPTETime{Time: d}}}, nil
	}
	return nil, fmt.Errorf("range type %q: it must be clock, npt or smpte", s.RangeType)
}

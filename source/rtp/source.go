package rtp

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
	"github.com/bluenviron/gortsplib/v5/pkg/sdpunmarshaler"

	"github.com/org/mtx/protocol/bridge/datagram"
	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

const (
	defaultReadTimeout = 10 * time.Second
	// maxSDP is the largest session description, in bytes.
	maxSDP = 128 << 10
)

// Source receives RTP. Values may be compared with ==.
type Source struct {
	// URL tells where to wait for the sender. Mandatory.
	//
	//	udp+rtp://HOST:PORT     HOST is an address of this machine, 0.0.0.0 or [::] for
	//	                        all of them, or a multicast group (IPv4, IPv6)
	//	unix+rtp:///PATH        a Unix socket, made by the source; an old one is
	//	                        replaced
	//
	// Parameters of UDP are interface, the network interface (name or address) on
	// which a multicast group is joined (default: all that can do multicast), and
	// source, the only IP address that may send (default: anybody).
	//
	// Unix sockets have type: stream (the default) carries packets with the framing
	// of RFC 4571, or each in a write of its own; datagram carries one packet per
	// datagram.
	//
	// $G1, $G2... and $MTX_QUERY are replaced.
	URL string

	// SDP is the session description (RFC 8866). Addresses and ports in it do not
	// matter. Payload types must be unique in it. Mandatory, at most 128 KB.
	SDP string

	// UDPReadBufferSize is the size of UDP receive buffers, in bytes. Default: that
	// of the system.
	UDPReadBufferSize int

	// ReadTimeout is how long no valid packet may arrive. Default 10s. A Unix
	// socket of the stream type waits for its sender without limit.
	ReadTimeout time.Duration
}

var _ router.Source = Source{}

// Type implements router.Source.
func (s Source) Type() string { return "rtpSource" }

// Validate tells what is wrong with the source. URLs with variables are checked
// only when these are known.
func (s Source) Validate() error {
	if s.UDPReadBufferSize < 0 {
		return fmt.Errorf("UDP read buffer size %d: it must not be negative", s.UDPReadBufferSize)
	}
	if s.ReadTimeout < 0 {
		return fmt.Errorf("read timeout %v: it must not be negative", s.ReadTimeout)
	}
	if _, err := describe(s.SDP); err != nil {
		return err
	}
	if strings.Contains(s.URL, "$G") || strings.Contains(s.URL, "$MTX_QUERY") {
		return nil
	}
	_, err := datagram.Parse(s.URL, "rtp")
	return err
}

func (s Source) timeout() time.Duration {
	if s.ReadTimeout == 0 {
		return defaultReadTimeout
	}
	return s.ReadTimeout
}

// session is what a session description tells.
type session struct {
	tracks  []media.Track
	formats []format.Format
	depack  []media.Depacketizer
	byType  [128]int // track of a payload type, plus one; zero is unknown
}

// describe reads a session description. Errors are one sentence.
func describe(sdp string) (*session, error) {
	s, err := parseSDP(tidy(sdp))
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", ", "))
	}
	return s, nil
}

func parseSDP(sdp string) (*session, error) {
	switch {
	case sdp == "":
		return nil, errors.New("the SDP is missing: it must describe what the sender sends")
	case len(sdp) > maxSDP:
		return nil, fmt.Errorf("the SDP has %d bytes: it must not have more than %d", len(sdp), maxSDP)
	}
	if err := rtpbridge.CheckSDP([]byte(sdp)); err != nil {
		return nil, fmt.Errorf("SDP: %w", err)
	}
	parsed, err := sdpunmarshaler.Unmarshal([]byte(sdp))
	if err != nil {
		return nil, fmt.Errorf("SDP: %w", err)
	}
	var desc description.Session
	if err := desc.Unmarshal2(parsed); err != nil {
		return nil, fmt.Errorf("SDP: %w", err)
	}
	for _, m := range desc.Medias {
		if m.Profile == headers.TransportProfileSAVP {
			return nil, errors.New("SDP: the profile RTP/SAVP (encrypted media) is not supported, it must be RTP/AVP")
		}
		m.IsBackChannel = false // there are none: "sendonly" is said by the sender
	}
	return newSession(&desc)
}

func newSession(desc *description.Session) (*session, error) {
	tracks, refs, err := rtpbridge.Tracks(desc)
	if err != nil {
		return nil, fmt.Errorf("SDP: %w", err)
	}
	s := &session{tracks: tracks}
	for i, r := range refs {
		pt := r.Format.PayloadType()
		switch {
		case int(pt) >= len(s.byType):
			return nil, fmt.Errorf("SDP: payload type %d: it must be a number from 0 to 127", pt)
		case s.byType[pt] != 0:
			return nil, fmt.Errorf("SDP: payload type %d is used twice: all media arrive on one port, so payload types must differ", pt)
		}
		s.byType[pt] = i + 1
		d, err := rtpbridge.NewDepacketizer(r.Format)
		if err != nil {
			return nil, fmt.Errorf("SDP: payload type %d (%s): %w", pt, tracks[i].Codec.Name(), err)
		}
		s.formats = append(s.formats, r.Format)
		s.depack = append(s.depack, d)
	}
	return s, nil
}

// tidy forgives what happens to a description inside a configuration file:
// indentation, empty lines, other ends of lines.
func tidy(sdp string) string {
	var b strings.Builder
	for line := range strings.Lines(sdp) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}

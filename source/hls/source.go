// Package hls pulls streams from HLS servers and cameras: transport streams,
// fragmented MP4, low latency, with audio in playlists of its own.
//
//	r, err := router.New(router.Config{
//		Paths: []router.PathConfig{{
//			Name:   "cam",
//			Source: hls.Source{URL: "http://user:pass@192.168.1.10/stream/index.m3u8"},
//		}},
//	})
//
// The client is that of gohlslib. What it downloads passes a guard first, which
// bounds sizes and times, checks what is inside, and waits where playlists have
// nothing new yet. Units are published at the pace of their time stamps.
//
// Where a stream goes on with other time stamps, with another initialization
// segment, after a gap or from the beginning of a new playlist, the next client
// takes over. The publication goes on if the tracks are the same. What has an end
// is played to it, and then again from the beginning.
//
// Not supported are encrypted segments, audio without a container, and codecs
// other than H264, MPEG-4 Audio and KLV in transport streams.
//
// Credentials never appear in errors and logs.
package hls

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/org/mtx/router"
)

// Source pulls a stream. Values may be compared with ==.
type Source struct {
	// URL of the playlist, http or https. It may hold credentials. $G1, $G2...
	// and $MTX_QUERY are replaced. Mandatory.
	URL string

	// Fingerprint is the SHA-256 of the certificate of the server, in hex; case
	// and colons do not matter. If empty, the certificate must be valid.
	Fingerprint string

	// ReadTimeout bounds how long the server may be silent, in the middle of
	// answers too. Default 10s.
	ReadTimeout time.Duration

	// MaxSegmentSize bounds the memory of a segment, in bytes. Default 50 MiB,
	// at most 100 MiB.
	MaxSegmentSize int64
}

var _ router.Source = Source{}

// Limits of what is accepted.
const (
	defaultReadTimeout    = 10 * time.Second
	defaultMaxSegmentSize = 50 << 20
	largestMaxSegmentSize = 100 << 20 // that of gohlslib
	maxPlaylistSize       = 1 << 20
	maxRedirects          = 5
	maxRenditions         = 16
	maxVariants           = 200

	// maxDuration is that of a segment, and of what a playlist calls target.
	maxDuration = 2 * time.Minute
)

// Type implements router.Source.
func (s Source) Type() string { return "hlsSource" }

// Validate tells what is wrong with the source. URLs with variables are checked
// only when these are known.
func (s Source) Validate() error {
	if !strings.Contains(s.URL, "$") {
		if _, err := parseURL(s.URL); err != nil {
			return err
		}
	}
	if s.MaxSegmentSize < 0 || s.MaxSegmentSize > largestMaxSegmentSize {
		return fmt.Errorf("maximum size of segments %d: must be between 0 and %d", s.MaxSegmentSize, largestMaxSegmentSize)
	}
	_, err := tlsConfig(s.Fingerprint)
	return err
}

// parseURL keeps the URL, which may hold a password, out of errors.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		text, _, _ := strings.Cut(err.Error(), `"`) // what follows quotes the URL
		return nil, fmt.Errorf("HLS source: invalid URL: %s", strings.TrimSpace(text))
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("HLS source: scheme %q of the URL: must be http or https", u.Scheme)
	case u.Host == "":
		return nil, errors.New("HLS source: the URL has no host")
	}
	return u, nil
}

func (s Source) withDefaults() Source {
	if s.ReadTimeout <= 0 {
		s.ReadTimeout = defaultReadTimeout
	}
	if s.MaxSegmentSize == 0 {
		s.MaxSegmentSize = defaultMaxSegmentSize
	}
	return s
}

// tlsConfig checks certificates in the usual way, or against a fingerprint if
// there is one.
func tlsConfig(fingerprint string) (*tls.Config, error) {
	if fingerprint == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	want, err := hex.DecodeString(strings.ReplaceAll(fingerprint, ":", ""))
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("fingerprint %q: it must be a SHA-256 of %d hexadecimal digits", fingerprint, 2*sha256.Size)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // the fingerprint is checked in place of the chain
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return errors.New("the server has no certificate")
			}
			got := sha256.Sum256(cs.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(got[:], want) != 1 {
				return fmt.Errorf("the fingerprint of the certificate is %s, %s is expected",
					hex.EncodeToString(got[:]), hex.EncodeToString(want))
			}
			return nil
		},
	}, nil
}

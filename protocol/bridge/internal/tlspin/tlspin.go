// Package tlspin accepts one certificate of a server, whoever signed it: the one
// with a given fingerprint. Clients of RTSP, RTMP and WHIP share it.
package tlspin

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrWrong tells that the certificate of the server is not the expected one.
var ErrWrong = errors.New("the fingerprint of the certificate is wrong")

// Parse reads the SHA-256 of a certificate: 64 hexadecimal digits, with or without
// colons between them.
func Parse(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(b) != sha256.Size {
		return nil, fmt.Errorf("fingerprint %.100q: it must be a SHA-256 of %d hexadecimal digits", s, 2*sha256.Size)
	}
	return b, nil
}

// Config returns a configuration of a client, which checks certificates in the
// usual way, or against a fingerprint if there is one.
func Config(fingerprint string) (*tls.Config, error) {
	if fingerprint == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	want, err := Parse(fingerprint)
	if err != nil {
		return nil, err
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
				return fmt.Errorf("%w: it is %x, %x is expected", ErrWrong, got, want)
			}
			return nil
		},
	}, nil
}

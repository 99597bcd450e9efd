package whipclient

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrFingerprint tells that the certificate of the server is not the expected one.
var ErrFingerprint = errors.New("the fingerprint of the certificate is wrong")

// ParseFingerprint reads the SHA-256 of a certificate: 64 hexadecimal digits, with
// or without colons between them.
func ParseFingerprint(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(b) != sha256.Size {
		return nil, fmt.Errorf("fingerprint %.100q: it must be a SHA-256 of %d hexadecimal digits", s, 2*sha256.Size)
	}
	return b, nil
}

// tlsConfig returns a configuration that checks certificates in the usual way, or
// against a fingerprint if there is one.
func tlsConfig(fingerprint string) (*tls.Config, error) {
	if fingerprint == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	want, err := ParseFingerprint(fingerprint)
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
				return fmt.Errorf("%w: it is %s, %s is expected",
					ErrFingerprint, hex.EncodeToString(got[:]), hex.EncodeToString(want))
			}
			return nil
		},
	}, nil
}

package rtmpconn

import "github.com/org/mtx/protocol/bridge/internal/tlspin"

// ErrFingerprint tells that the certificate of the server is not the expected one.
var ErrFingerprint = tlspin.ErrWrong

// ParseFingerprint reads the SHA-256 of a certificate: 64 hexadecimal digits, with
// or without colons between them.
func ParseFingerprint(s string) ([]byte, error) { return tlspin.Parse(s) }

package rtsp

import (
	"crypto/tls"

	"github.com/org/mtx/protocol/internal/tlscert"
)

// tlsConfig returns what connections are accepted with.
func (s *Server) tlsConfig() (*tls.Config, error) {
	if s.TLS != nil {
		return s.TLS, nil
	}
	return tlscert.Config(s.CertFile, s.KeyFile)
}

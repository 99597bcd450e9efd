package rtsp

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certCheck is how often files are looked at, at most.
const certCheck = time.Second

// tlsConfig returns what connections are accepted with.
func (s *Server) tlsConfig() (*tls.Config, error) {
	if s.TLS != nil {
		return s.TLS, nil
	}
	c := &certificate{certFile: s.CertFile, keyFile: s.KeyFile}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}, nil
}

// certificate is read again when its files change.
type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	checked time.Time
	stamp   [2]time.Time
	cert    *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && time.Since(c.checked) < certCheck {
		return c.cert, nil
	}
	c.checked = time.Now()
	var stamp [2]time.Time
	for i, name := range []string{c.certFile, c.keyFile} {
		if st, err := os.Stat(name); err == nil {
			stamp[i] = st.ModTime()
		}
	}
	if c.cert != nil && stamp == c.stamp {
		return c.cert, nil
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if c.cert != nil {
			return c.cert, nil // half-written files; try again later
		}
		return nil, fmt.Errorf("cannot load the certificate: %w", err)
	}
	c.cert, c.stamp = &cert, stamp
	return c.cert, nil
}

package httpserver

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certCheck is how often files are looked at, at most.
const certCheck = time.Second

// tlsConfig returns what connections are accepted with; nil without TLS.
func (l Listen) tlsConfig(log *slog.Logger) (*tls.Config, error) {
	switch {
	case l.TLS != nil:
		return l.TLS.Clone(), nil
	case l.CertFile == "":
		return nil, nil
	}
	c := &certificate{certFile: l.CertFile, keyFile: l.KeyFile, log: log}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}, nil
}

// certificate is read again when its files change.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   [2]fileStamp
	cert    *tls.Certificate
}

// fileStamp tells versions of a file apart.
type fileStamp struct {
	modified time.Time
	size     int64
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && time.Since(c.checked) < certCheck {
		return c.cert, nil
	}
	c.checked = time.Now()
	var stamp [2]fileStamp
	for i, name := range []string{c.certFile, c.keyFile} {
		if st, err := os.Stat(name); err == nil {
			stamp[i] = fileStamp{st.ModTime(), st.Size()}
		}
	}
	if c.cert != nil && stamp == c.stamp {
		return c.cert, nil
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if c.cert != nil { // maybe half-written files: the next handshake tries again
			c.log.Warn("cannot load the new certificate, the old one stays in use", "error", err)
			return c.cert, nil
		}
		return nil, fmt.Errorf("cannot load the certificate: %w", err)
	}
	if c.cert != nil {
		c.log.Info("certificate was loaded again", "file", c.certFile)
	}
	c.cert, c.stamp = &cert, stamp
	return c.cert, nil
}

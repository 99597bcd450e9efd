// Package tlscert serves a TLS certificate from files and reads them again when
// they change, so that renewing a certificate needs no restart:
//
//	conf, err := tlscert.Config("server.crt", "server.key")
//	if err != nil {
//		return err
//	}
//	conn = tls.Server(conn, conf)
package tlscert

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// checkPeriod is how often files are looked at, at most.
const checkPeriod = time.Second

// Config returns a configuration for servers. The files must be there and be
// valid now; if they are not later on, the last certificate that was is used.
func Config(certFile, keyFile string) (*tls.Config, error) {
	return LoggedConfig(certFile, keyFile, slog.New(slog.DiscardHandler))
}

// LoggedConfig is Config that tells when a certificate was loaded again, or could
// not be.
func LoggedConfig(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	c := &certificate{files: [2]string{certFile, keyFile}, log: log}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}, nil
}

type certificate struct {
	files [2]string
	log   *slog.Logger

	mu      sync.Mutex
	checked time.Time
	loaded  [2]os.FileInfo // the files that cert was read from; nil: unknown
	cert    *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && time.Since(c.checked) < checkPeriod {
		return c.cert, nil
	}
	c.checked = time.Now()
	var found [2]os.FileInfo
	changed := false
	for i, name := range c.files {
		found[i], _ = os.Stat(name)
		changed = changed || !same(found[i], c.loaded[i])
	}
	if c.cert != nil && !changed {
		return c.cert, nil
	}
	cert, err := tls.LoadX509KeyPair(c.files[0], c.files[1])
	if err != nil {
		if c.cert != nil { // half-written files: they are looked at again
			c.log.Warn("cannot load the new certificate, the old one stays in use", "error", err)
			return c.cert, nil
		}
		return nil, fmt.Errorf("cannot load the certificate: %w", err)
	}
	if c.cert != nil {
		c.log.Info("certificate was loaded again", "file", c.files[0])
	}
	c.cert, c.loaded = &cert, found
	return c.cert, nil
}

// same compares files, too: a link to another one of equal size and time is a
// change.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

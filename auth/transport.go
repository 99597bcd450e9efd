package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// idleTimeout is how long a connection to a service stays open unused, and so
// the longest time that one outlives its owner.
const idleTimeout = 30 * time.Second

// checkURL tells why a URL cannot be that of a service. The URL itself may hold
// credentials and is not repeated.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("the URL must be an absolute http or https URL")
	}
	return nil
}

// parseFingerprint decodes the SHA-256 of a certificate, with or without colons.
func parseFingerprint(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(b) != sha256.Size {
		return nil, fmt.Errorf("fingerprint %q must be a SHA-256 of %d hexadecimal digits", s, 2*sha256.Size)
	}
	return b, nil
}

// newClient returns a client that does not follow redirects: credentials go
// where the configuration says. With a fingerprint, exactly that certificate is
// accepted, whoever signed it.
func newClient(fingerprint string) (*http.Client, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     idleTimeout,
		ForceAttemptHTTP2:   true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if fingerprint != "" {
		want, err := parseFingerprint(fingerprint)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.InsecureSkipVerify = true
		t.TLSClientConfig.VerifyConnection = func(cs tls.ConnectionState) error {
			got := sha256.Sum256(cs.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(got[:], want) != 1 {
				return fmt.Errorf("the fingerprint of the certificate is %x, %x is expected", got, want)
			}
			return nil
		}
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// withoutURL removes the URL, which may hold credentials, from an error of a
// request.
func withoutURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// compilePermissions makes a rule of the requests that an external authority is
// not asked about.
func compilePermissions(list []Permission) (rule, error) {
	var r rule
	var errs []error
	for i, p := range list {
		c, err := compilePermission(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("exclusion %d: %w", i, err))
		}
		r.allows = append(r.allows, c)
	}
	return r, errors.Join(errs...)
}

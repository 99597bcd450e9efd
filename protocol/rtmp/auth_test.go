package rtmp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// guard lets in bob with his password, and a token.
func guard(seen *sync.Map) router.Authenticator {
	return router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		seen.Store(q.Path+"?"+q.Query, *q)
		switch {
		case q.Verify != nil && q.Verify("bob", "s3cret"), q.User == "bob" && q.Pass == "s3cret", q.Token == "t0ken":
			return router.Identity{User: "bob"}, nil
		case !q.HasCredentials():
			return router.Identity{}, &router.AuthError{Err: errors.New("no credentials"), AskCredentials: true}
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("wrong password")}
	})
}

// Credentials are found wherever clients put them.
func TestCredentials(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	r, addr := start(t, &rtmp.Server{}, func(c *router.Config) { c.Auth = guard(&seen) })
	for _, ca := range []struct {
		url string
		key string // what the server sees: path and query
		ok  bool
	}{
		{"rtmp://%s/q?user=bob&pass=s3cret", "q?user=bob&pass=s3cret", true},
		{"rtmp://%s/live?user=bob&pass=s3cret#key", "live/key?user=bob&pass=s3cret", true},
		{"rtmp://%s/live#key2?user=bob&pass=s3cret", "live/key2?user=bob&pass=s3cret", true},
		{"rtmp://%s/live#?user=bob&pass=s3cret", "live?user=bob&pass=s3cret", true},
		{"rtmp://%s/both?a=b#key?user=bob&pass=s3cret", "both/key?a=b&user=bob&pass=s3cret", true},
		{"rtmp://%s/token?jwt=t0ken", "token?jwt=t0ken", true},
		{"rtmp://%s/token2#key?token=t0ken", "token2/key?token=t0ken", true},
		{"rtmp://%s/wrong?user=bob&pass=guess", "wrong?user=bob&pass=guess", false},
		{"rtmp://%s/anonymous", "anonymous?", false},
	} {
		_, err := dial(t, true, ca.url, addr)
		if (err == nil) != ca.ok {
			t.Errorf("%s: %v", ca.url, err)
		}
		q, ok := seen.Load(ca.key)
		if !ok {
			t.Errorf("%s: the server did not see %s", ca.url, ca.key)
			continue
		}
		if req := q.(router.AccessRequest); req.Protocol != "rtmp" || req.Action != router.ActionPublish || !req.Addr.IsLoopback() || req.SessionID == "" {
			t.Errorf("%s: request %+v", ca.url, req)
		}
	}
	users := map[string]int{}
	for i := range r.Sessions("rtmpConn") {
		users[i.User]++
	}
	if users["bob"] != 7 {
		t.Errorf("sessions by user: %v", users)
	}
}

// gortmplib's client answers the challenge for the user "myuser" only.
func TestChallenge(t *testing.T) {
	t.Parallel()
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		if q.Verify != nil && q.User == "myuser" && q.Verify("myuser", "s3cret") && !strings.Contains(q.Query, "response") {
			return router.Identity{User: q.User}, nil
		}
		if q.Token == "t0ken" {
			return router.Identity{}, nil
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("wrong password")}
	})
	r, addr := start(t, &rtmp.Server{AskCredentials: true}, func(c *router.Config) { c.Auth = auth })
	if _, err := dial(t, true, "rtmp://myuser:s3cret@%s/a/b", addr); err != nil {
		t.Errorf("the right password: %v", err)
	}
	routertest.Eventually(t, "a publisher on a/b", func() bool {
		for i := range r.Sessions("rtmpConn") {
			if i.Path == "a/b" && i.User == "myuser" {
				return true
			}
		}
		return false
	})
	for _, u := range []string{"rtmp://myuser:guess@%s/a/c", "rtmp://%s/a/d"} {
		if _, err := dial(t, true, u, addr); err == nil {
			t.Errorf("%s was let in", u)
		}
	}
	if _, err := dial(t, true, "rtmp://%s/e?jwt=t0ken", addr); err != nil {
		t.Errorf("a token in the application: %v", err)
	}
}

// certificate makes files with a certificate for 127.0.0.1.
func certificate(t testing.TB) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, priv.Public(), priv)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	pool = x509.NewCertPool()
	for name, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	return cert, key, pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key, pool := certificate(t)
	r, addr := start(t, &rtmp.Server{CertFile: cert, KeyFile: key})
	connect := func(publish bool) *gortmplib.Client {
		u, _ := url.Parse("rtmps://" + addr + "/cam")
		c := &gortmplib.Client{URL: u, Publish: publish, TLSConfig: &tls.Config{RootCAs: pool}}
		if err := c.Initialize(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		_ = c.NetConn().SetDeadline(time.Now().Add(patience))
		return c
	}
	s := publishOn(t, connect(true))
	s.run(t, time.Millisecond)
	routertest.WaitReady(t, r, "cam")
	if got := read(t, connect(false)); !got.key {
		t.Errorf("%+v", got)
	}
	kinds := map[string]int{}
	for i := range r.Sessions("") {
		kinds[i.Kind]++
	}
	if kinds["rtmpsConn"] == 0 || kinds["rtmpConn"] != 0 {
		t.Errorf("sessions: %v", kinds)
	}
}

func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]*rtmp.Server{
		"power of two": {Addr: "127.0.0.1:0", WriteQueueSize: 3}, "needs a key": {Addr: "127.0.0.1:0", CertFile: "x"},
		"cannot load": {Addr: "127.0.0.1:0", CertFile: "/nonexistent", KeyFile: "/nonexistent"},
	} {
		r, err := router.New(router.Config{Protocols: []router.Protocol{s}}, router.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		_ = r.Close()
	}
}

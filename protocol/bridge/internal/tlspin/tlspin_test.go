package tlspin

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	t.Parallel()
	for s, good := range map[string]bool{
		strings.Repeat("aB", 32):                           true,
		strings.TrimSuffix(strings.Repeat("AB:", 32), ":"): true,
		"":                                false,
		"abc":                             false,
		strings.Repeat("ab", 31):          false,
		strings.Repeat("x", 64):           false,
		strings.Repeat("ab", 1_000_000):   false,
		strings.Repeat("ab", 32) + "\x00": false,
	} {
		b, err := Parse(s)
		if (err == nil) != good || good != (len(b) == sha256.Size) {
			t.Errorf("%.70q: %x, %v", s, b, err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(nil)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	sum := sha256.Sum256(srv.Certificate().Raw)
	dial := func(fingerprint string) error {
		conf, err := Config(fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		c, err := (&tls.Dialer{Config: conf}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	if err := dial(hex.EncodeToString(sum[:])); err != nil {
		t.Errorf("the right one: %v", err)
	}
	if err := dial(strings.Repeat("ab", 32)); !errors.Is(err, ErrWrong) || !strings.Contains(err.Error(), hex.EncodeToString(sum[:])) {
		t.Errorf("a wrong one: %v", err)
	}
	if err := dial(""); err == nil || errors.Is(err, ErrWrong) {
		t.Errorf("no fingerprint, and a certificate that nobody knows: %v", err)
	}
}

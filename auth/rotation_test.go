package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/org/mtx/router"
)

// A key that changed without another id, or has none, is fetched when a
// signature does not fit, but not more often than unknown ids are.
func TestJWTKeyWithoutID(t *testing.T) {
	t.Parallel()
	var set atomic.Pointer[jwk.Set]
	var fetches atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		_ = json.NewEncoder(w).Encode(*set.Load())
	}))
	defer srv.Close()
	rotate := func() (token string) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, err := jwk.FromRaw(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		s := jwk.NewSet()
		_ = s.AddKey(public)
		set.Store(&s)
		tok := jwt.New()
		_ = tok.Set(DefaultClaimKey, []map[string]string{{"action": "read"}})
		b, err := jwt.Sign(tok, jwt.WithKey(jwa.ES256, key))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	a := &JWT{JWKS: srv.URL}
	defer a.Close()
	ask := func(token string) error {
		_, err := a.Authenticate(t.Context(), &router.AccessRequest{Action: router.ActionRead, Path: "cam", Token: token})
		return err
	}
	first := rotate()
	if err := ask(first); err != nil {
		t.Fatal(err)
	}
	second := rotate()
	for range 5 {
		if ask(second) == nil {
			t.Error("the keys were fetched again too early")
		}
	}
	a.keys.mu.Lock()
	a.keys.tried = time.Now().Add(-jwksPause)
	a.keys.mu.Unlock()
	if err := ask(second); err != nil {
		t.Error(err)
	}
	if ask(first) == nil || fetches.Load() != 2 {
		t.Errorf("%d fetches", fetches.Load())
	}
}

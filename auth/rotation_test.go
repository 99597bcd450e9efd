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

// newToken returns a token that allows to read, and the set that holds its key,
// which has no id.
func newToken(t *testing.T) (jwk.Set, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jwk.FromRaw(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	set := jwk.NewSet()
	_ = set.AddKey(public)
	tok := jwt.New()
	_ = tok.Set(DefaultClaimKey, []map[string]string{{"action": "read"}})
	b, err := jwt.Sign(tok, jwt.WithKey(jwa.ES256, key))
	if err != nil {
		t.Fatal(err)
	}
	return set, string(b)
}

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
		s, token := newToken(t)
		set.Store(&s)
		return token
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

// Keys that are old are used while they are fetched again, in the background.
func TestJWTKeysAreRefreshedInTheBackground(t *testing.T) {
	t.Parallel()
	set, token := newToken(t)
	fetched := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched <- struct{}{}
		_ = json.NewEncoder(w).Encode(set)
	}))
	defer srv.Close()
	a := &JWT{JWKS: srv.URL}
	defer a.Close()
	ask := func() error {
		_, err := a.Authenticate(t.Context(), &router.AccessRequest{Action: router.ActionRead, Token: token})
		return err
	}
	go func() { <-fetched }()
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-jwksPeriod - time.Minute)
	a.keys.mu.Lock()
	a.keys.fetched, a.keys.tried = old, old
	a.keys.mu.Unlock()
	for range 3 { // the server of the keys does not answer yet
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
	<-fetched
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		a.keys.mu.Lock()
		fresh := a.keys.fetched.After(old)
		a.keys.mu.Unlock()
		if fresh {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the keys are still the old ones")
		}
	}
}

// Who names a key is believed: a large set is not tried key by key.
func TestJWTKeysOfAnID(t *testing.T) {
	t.Parallel()
	all := jwk.NewSet()
	for _, id := range []string{"a", "b", "a", ""} {
		one, _ := newToken(t)
		key, _ := one.Key(0)
		if err := key.Set(jwk.KeyIDKey, id); err != nil {
			t.Fatal(err)
		}
		if err := all.AddKey(key); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]int{"a": 2, "b": 1, "c": 0, "": 4} {
		if n := keysOf(all, id).Len(); n != want {
			t.Errorf("%q: %d keys, want %d", id, n, want)
		}
	}
}

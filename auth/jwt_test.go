package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// issuer is an identity provider.
type issuer struct {
	t       testing.TB
	srv     *httptest.Server
	fetches atomic.Int32

	mu   sync.Mutex
	down bool
	keys map[string]crypto.Signer // by id
	set  jwk.Set
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t}
	i.srv = httptest.NewServer(i)
	t.Cleanup(i.srv.Close)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.publish(map[string]crypto.Signer{"rsa": rsaKey, "ec": ec, "ed": ed})
	return i
}

// publish replaces the keys.
func (i *issuer) publish(keys map[string]crypto.Signer) {
	i.t.Helper()
	set := jwk.NewSet()
	for id, k := range keys {
		key, err := jwk.FromRaw(k.Public())
		if err != nil {
			i.t.Fatal(err)
		}
		_ = key.Set(jwk.KeyIDKey, id)
		_ = set.AddKey(key)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys, i.set = keys, set
}

func (i *issuer) setDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	i.fetches.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = json.NewEncoder(w).Encode(i.set)
}

type claims map[string]any

// allow is the claim of a permission.
func allow(action, path string) []map[string]string {
	return []map[string]string{{"action": action, "path": path}}
}

// token signs with a key of the issuer. Names of critical headers may be added.
func (i *issuer) token(id string, alg jwa.SignatureAlgorithm, c claims, crit ...string) string {
	i.t.Helper()
	tok := jwt.New()
	for k, v := range c {
		if err := tok.Set(k, v); err != nil {
			i.t.Fatal(err)
		}
	}
	h := jws.NewHeaders()
	_ = h.Set(jws.KeyIDKey, id)
	if len(crit) > 0 {
		_ = h.Set(jws.CriticalKey, crit)
	}
	i.mu.Lock()
	key := i.keys[id]
	i.mu.Unlock()
	b, err := jwt.Sign(tok, jwt.WithKey(alg, key, jws.WithProtectedHeaders(h)))
	if err != nil {
		i.t.Fatal(err)
	}
	return string(b)
}

func (i *issuer) auth() *auth.JWT {
	a := &auth.JWT{JWKS: i.srv.URL}
	i.t.Cleanup(func() { a.Close() })
	return a
}

func readCam(token string) router.AccessRequest {
	return router.AccessRequest{Action: router.ActionRead, Path: "cam", Token: token}
}

func TestJWTAuthenticator(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	good := i.token("ec", jwa.ES256, claims{"sub": "alice", auth.DefaultClaimKey: allow("read", "")})
	routertest.TestAuthenticator(t, func() router.Authenticator { return &auth.JWT{JWKS: i.srv.URL} },
		[]router.AccessRequest{readCam(good)},
		[]router.AccessRequest{{Action: router.ActionRead, Path: "cam"}, readCam("zz"), {Action: router.ActionPublish, Path: "cam", Token: good}})
}

func TestJWTAlgorithms(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.auth()
	c := claims{"sub": "alice", auth.DefaultClaimKey: allow("read", "cam")}
	for id, alg := range map[string]jwa.SignatureAlgorithm{"rsa": jwa.RS256, "ec": jwa.ES256, "ed": jwa.EdDSA} {
		if got, err := ask(t, a, readCam(i.token(id, alg, c))); err != nil || got.User != "alice" {
			t.Errorf("%s: %v, %v", alg, got, err)
		}
	}
	if _, err := ask(t, a, readCam(i.token("rsa", jwa.PS512, c))); err != nil {
		t.Error(err)
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	// as password too, for protocols that have nothing else
	if _, err := ask(t, a, router.AccessRequest{Action: router.ActionRead, Path: "cam", User: "x", Pass: i.token("ec", jwa.ES256, c)}); err != nil {
		t.Error(err)
	}
}

func TestJWTPermissions(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.auth()
	for name, c := range map[string]struct {
		claim any
		ok    bool
	}{
		"any path":       {allow("read", ""), true},
		"this path":      {allow("read", "cam"), true},
		"other path":     {allow("read", "cam2"), false},
		"expression":     {allow("read", "~^c"), true},
		"bad expression": {allow("read", "~("), false},
		"other action":   {allow("publish", ""), false},
		"unknown action": {allow("fly", ""), false},
		"text":           {`[{"action": "read"}]`, true},
		"not JSON":       {"read", false},
		"object":         {map[string]string{"action": "read"}, false},
		"empty":          {[]string{}, false},
		"null":           {nil, false},
		"too many":       {make([]map[string]string, 1001), false},
	} {
		_, err := ask(t, a, readCam(i.token("ec", jwa.ES256, claims{auth.DefaultClaimKey: c.claim})))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJWTRefusals(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.auth()
	a.Issuer, a.Audience = "me", "mtx"
	good := claims{"iss": "me", "aud": []string{"x", "mtx"}, auth.DefaultClaimKey: allow("read", "")}
	with := func(k string, v any) string {
		c := claims{}
		for k, v := range good {
			c[k] = v
		}
		c[k] = v
		return i.token("ec", jwa.ES256, c)
	}
	if _, err := ask(t, a, readCam(with("exp", time.Now().Add(time.Hour)))); err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	payload := encode([]byte(`{"iss":"me","aud":"mtx","mediamtx_permissions":[{"action":"read"}]}`))
	parts := strings.Split(with("sub", "x"), ".")
	// the public key as the secret of an HMAC
	pub, _ := json.Marshal(i.set)
	hmac, _ := jws.Sign([]byte(payload), jws.WithKey(jwa.HS256, pub))
	for name, c := range map[string]struct{ token, want string }{
		"expired":      {with("exp", time.Now().Add(-time.Hour)), "the token has expired"},
		"not yet":      {with("nbf", time.Now().Add(time.Hour)), "the token is not valid yet"},
		"issuer":       {with("iss", "you"), "the token has another issuer"},
		"audience":     {with("aud", "you"), "the token is for another audience"},
		"alg none":     {encode([]byte(`{"alg":"none"}`)) + "." + payload + ".", "cannot be verified"},
		"alg none kid": {encode([]byte(`{"alg":"none","kid":"ec"}`)) + "." + payload + ".", "cannot be verified"},
		"alg HS256":    {string(hmac), "cannot be verified"},
		"other text":   {parts[0] + "." + payload + "." + parts[2], "cannot be verified"},
		"no signature": {parts[0] + "." + parts[1] + ".", "cannot be verified"},
		"crit":         {i.token("ec", jwa.ES256, good, "exp"), "critical headers"},
		"garbage":      {"a.b.c", "not a token"},
		"no claim":     {i.token("ec", jwa.ES256, claims{"iss": "me", "aud": "mtx"}), `claim "mediamtx_permissions" of the token is missing`},
		"long":         {strings.Repeat("a", 33<<10), "longer than"},
	} {
		_, err := ask(t, a, readCam(c.token))
		if err == nil || !strings.Contains(err.Error(), c.want) || err.AskCredentials || strings.Contains(err.Error(), payload) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	if _, err := ask(t, a, readCam("")); err == nil || !err.AskCredentials {
		t.Errorf("without a token: %v", err)
	}
}

func TestJWTCritIsAList(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for _, head := range []string{`{"alg":"ES256","kid":"ec","crit":["b64"],"b64":false}`, `{"alg":"ES256","kid":"ec","crit":[]}`} {
		h := base64.RawURLEncoding.EncodeToString([]byte(head))
		if _, err := ask(t, i.auth(), readCam(h+".e30.AAAA")); err == nil || !strings.Contains(err.Error(), "critical headers") {
			t.Errorf("%s: %v", head, err)
		}
	}
}

func TestJWTExpiryBindsTheSession(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	token := i.token("ec", jwa.ES256, claims{"exp": end, auth.DefaultClaimKey: allow("read", "")})
	if id, err := ask(t, i.auth(), readCam(token)); err != nil || !id.Expires.IsZero() {
		t.Error("default: ", id, err)
	}
	a := i.auth()
	a.KickOnExpiry = true
	if id, err := ask(t, a, readCam(token)); err != nil || !id.Expires.Equal(end) {
		t.Error(id, err)
	}
}

func TestJWTSymmetricKeyInThePublicSet(t *testing.T) {
	t.Parallel()
	secret := []byte("everybody can read this secret!!")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		key, _ := jwk.FromRaw(secret)
		set := jwk.NewSet()
		_ = set.AddKey(key)
		_ = json.NewEncoder(w).Encode(set)
	}))
	defer srv.Close()
	a := &auth.JWT{JWKS: srv.URL}
	defer a.Close()
	tok := jwt.New()
	_ = tok.Set(auth.DefaultClaimKey, allow("read", ""))
	b, _ := jwt.Sign(tok, jwt.WithKey(jwa.HS256, secret))
	if _, err := ask(t, a, readCam(string(b))); err == nil || !strings.Contains(err.Error(), "no public key") {
		t.Error(err)
	}
}

func TestJWTKeysThatRotate(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.auth()
	c := claims{auth.DefaultClaimKey: allow("read", "")}
	old := i.token("ec", jwa.ES256, c)
	if _, err := ask(t, a, readCam(old)); err != nil {
		t.Fatal(err)
	}
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.publish(map[string]crypto.Signer{"next": next})
	if err := a.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, a, readCam(i.token("next", jwa.ES256, c))); err != nil {
		t.Error(err)
	}
	if _, err := ask(t, a, readCam(old)); err == nil {
		t.Error("a key that was withdrawn is still good")
	}
	// unknown key ids do not make the server of the keys busy
	n := i.fetches.Load()
	for range 20 {
		_, _ = ask(t, a, readCam(old))
	}
	if got := i.fetches.Load(); got > n+1 {
		t.Errorf("fetched %d times", got-n)
	}
}

func TestJWTServerOfTheKeysIsDown(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.auth()
	token := i.token("ec", jwa.ES256, claims{auth.DefaultClaimKey: allow("read", "")})
	i.setDown(true)
	if _, err := ask(t, a, readCam(token)); err == nil || !strings.Contains(err.Error(), "status 502") {
		t.Error(err)
	}
	i.setDown(false)
	if err := a.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.setDown(true)
	if err := a.Refresh(t.Context()); err == nil {
		t.Error("no error although the server is down")
	}
	if _, err := ask(t, a, readCam(token)); err != nil {
		t.Error("the keys at hand are not used: ", err)
	}
}

func TestJWTClaimKey(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.auth()
	a.ClaimKey = "rights"
	if _, err := ask(t, a, readCam(i.token("ec", jwa.ES256, claims{"rights": allow("read", "cam")}))); err != nil {
		t.Error(err)
	}
	_, err := ask(t, a, readCam(i.token("ec", jwa.ES256, claims{auth.DefaultClaimKey: allow("read", "cam")})))
	if err == nil || !strings.Contains(err.Error(), `claim "rights" of the token is missing`) {
		t.Error(err)
	}
}

// Whatever comes instead of keys opens nothing and takes bounded memory.
func TestJWTKeySetsThatCannotWork(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for body, want := range map[string]string{
		"":                       "the set of keys is invalid",
		"{}":                     "the set of keys is invalid",
		`{"keys":[]}`:            "no public key",
		`{"keys":[{"kty":"x"}]}`: "no public key",
		"<html>":                 "the set of keys is invalid",
		`{"keys":[` + strings.Repeat(" ", 1<<20) + "]}": "is larger than",
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		a := &auth.JWT{JWKS: srv.URL}
		_, err := ask(t, a, readCam(i.token("ec", jwa.ES256, claims{auth.DefaultClaimKey: allow("read", "")})))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: got %v, want %s", body, err, want)
		}
		a.Close()
		srv.Close()
	}
}

func TestJWTFingerprint(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	srv := httptest.NewUnstartedServer(i)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	srv.StartTLS()
	defer srv.Close()
	sum := sha256.Sum256(srv.Certificate().Raw)
	token := i.token("ec", jwa.ES256, claims{auth.DefaultClaimKey: allow("read", "")})
	for fp, ok := range map[string]bool{hex.EncodeToString(sum[:]): true, strings.Repeat("00", 32): false, "": false} {
		a := &auth.JWT{JWKS: srv.URL, Fingerprint: fp}
		if _, err := ask(t, a, readCam(token)); (err == nil) != ok {
			t.Errorf("%q: %v", fp, err)
		}
		a.Close()
	}
}

func TestJWTExclude(t *testing.T) {
	t.Parallel()
	a := &auth.JWT{JWKS: "http://127.0.0.1:1", Exclude: []auth.Permission{{Action: router.ActionRead, Path: "free"}}}
	defer a.Close()
	if _, err := ask(t, a, router.AccessRequest{Action: router.ActionRead, Path: "free"}); err != nil {
		t.Error(err)
	}
	if _, err := ask(t, a, readCam("")); err == nil {
		t.Error("let in")
	}
}

package auth_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/org/mtx/auth"
)

// raw signs a payload, whatever it is.
func (i *issuer) raw(payload string, o ...jws.SignOption) string {
	i.t.Helper()
	h := jws.NewHeaders()
	_ = h.Set(jws.KeyIDKey, "ec")
	i.mu.Lock()
	key := i.keys["ec"]
	i.mu.Unlock()
	b, err := jws.Sign([]byte(payload), append(o, jws.WithKey(jwa.ES256, key, jws.WithProtectedHeaders(h)))...)
	if err != nil {
		i.t.Fatal(err)
	}
	return string(b)
}

// Payloads that are signed, but are not what issuers usually send.
func TestJWTOddClaims(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a := i.auth()
	a.KickOnExpiry = true
	const may = `"mediamtx_permissions":[{"action":"read"}]`
	now := time.Now().Unix()
	for name, c := range map[string]struct{ payload, reason string }{
		"nothing else":         {`{` + may + `}`, ""},
		"issued by fast clock": {`{"iat":` + strconv.FormatInt(now+30, 10) + `,` + may + `}`, ""},
		"exp as text":          {`{"exp":"` + strconv.FormatInt(now+60, 10) + `",` + may + `}`, ""},
		"exp with fraction":    {`{"exp":` + strconv.FormatInt(now+60, 10) + `.5,` + may + `}`, ""},
		"exp zero":             {`{"exp":0,` + may + `}`, "expired"},
		"exp negative":         {`{"exp":-5,` + may + `}`, "claims"},
		"exp is no time":       {`{"exp":"soon",` + may + `}`, "claims"},
		"exp is a list":        {`{"exp":[1],` + may + `}`, "claims"},
		"sub is a number":      {`{"sub":5,` + may + `}`, "claims"},
		"no object":            {`[` + `"a"` + `]`, "claims"},
		"no JSON":              {`zz`, "claims"},
		"nothing":              {``, "claims"},
	} {
		_, err := ask(t, a, readCam(i.raw(c.payload)))
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)):
			t.Errorf("%s: %v, %q is expected", name, err, c.reason)
		}
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times: they are not what was wrong", n)
	}
	if _, err := ask(t, a, readCam(i.raw(`{"exp":1e300,`+may+`}`))); err != nil && !strings.Contains(err.Error(), "claims") {
		t.Error(err)
	}
}

// What a token lacks is told as what it is.
func TestJWTMissingClaims(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	token := i.raw(`{"nbf":0,"mediamtx_permissions":[{"action":"read"}]}`)
	for want, set := range map[string]func(a *auth.JWT){
		"another issuer":   func(a *auth.JWT) { a.Issuer = "me" },
		"another audience": func(a *auth.JWT) { a.Audience = "mtx" },
	} {
		a := i.auth()
		set(a)
		if _, err := ask(t, a, readCam(token)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %q is expected", err, want)
		}
	}
}

// A token has the compact form only (RFC 7519 section 3).
func TestJWTCompactOnly(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	if _, err := ask(t, i.auth(), readCam(i.raw(`{"mediamtx_permissions":[{"action":"read"}]}`, jws.WithJSON()))); err == nil {
		t.Error("a token in another form is accepted")
	}
}

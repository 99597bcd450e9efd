package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/org/mtx/router"
)

const (
	// DefaultClaimKey is the default of JWT.ClaimKey.
	DefaultClaimKey = "mediamtx_permissions"

	maxToken       = 32 << 10 // bytes
	maxPermissions = 1000     // of a token
)

// JWT lets in who has a JSON Web Token (RFC 7519) that is signed with a key of a
// JSON Web Key Set (RFC 7517). The token carries permissions, in a claim that is
// a list, or a string that holds one as JSON:
//
//	{"sub": "alice", "exp": 1767225600, "mediamtx_permissions": [
//	  {"action": "publish", "path": "cam"}, {"action": "read", "path": "~^pub/"}]}
//
// An empty path means any. The token is taken from where the protocol has it (a
// bearer token, the query) and else from the password.
//
// Keys are fetched with the first token, and again every hour and for unknown
// key ids, in the background where possible. While their server is down, those
// at hand are used.
//
// Signatures by RSA, ECDSA and EdDSA are accepted, with the algorithms that
// belong to the key; tokens without signature, and with critical headers, are
// refused.
//
// Use it as a literal; it must not be copied or changed after its first use.
type JWT struct {
	// JWKS is the URL of the key set, http or https. Mandatory.
	JWKS string

	// Fingerprint is the SHA-256 of the certificate of the server of the keys, in
	// hex. Empty means that it must be signed by somebody whom the system trusts.
	Fingerprint string

	// ClaimKey is the claim with the permissions. Default DefaultClaimKey.
	ClaimKey string

	// Issuer and Audience, if not empty, must be those of the token ("iss", and
	// one of "aud").
	Issuer, Audience string

	// Exclude lists what is allowed without a token.
	Exclude []Permission

	// KickOnExpiry ends what a client does when its token expires. By default the
	// expiry counts only when a session begins.
	KickOnExpiry bool

	once    sync.Once
	err     error
	keys    *jwks
	exclude rule
}

var _ router.Authenticator = (*JWT)(nil)

// Validate reports what is wrong with the configuration.
func (a *JWT) Validate() error {
	_, err1 := newClient(a.Fingerprint)
	_, err2 := compilePermissions(a.Exclude)
	return errors.Join(checkURL(a.JWKS), err1, err2)
}

// Equal tells whether other is a JWT with the same configuration.
func (a *JWT) Equal(other any) bool {
	b, ok := other.(*JWT)
	if !ok || a == nil || b == nil {
		return ok && a == b
	}
	return a.JWKS == b.JWKS && a.Fingerprint == b.Fingerprint && a.claimKey() == b.claimKey() &&
		a.Issuer == b.Issuer && a.Audience == b.Audience && a.KickOnExpiry == b.KickOnExpiry &&
		slices.Equal(a.Exclude, b.Exclude)
}

// Refresh fetches the keys now, and returns why that failed. Those at hand stay
// in force then.
func (a *JWT) Refresh(ctx context.Context) error {
	if err := a.prepare(); err != nil {
		return err
	}
	return a.keys.refresh(ctx)
}

// Close ends a fetch that is under way and closes connections; no keys are
// fetched afterwards. The router calls it when another authenticator is in force.
func (a *JWT) Close() error {
	if a.prepare() == nil {
		a.keys.close()
	}
	return nil
}

func (a *JWT) claimKey() string {
	if a.ClaimKey == "" {
		return DefaultClaimKey
	}
	return a.ClaimKey
}

func (a *JWT) prepare() error {
	a.once.Do(func() {
		if a.err = a.Validate(); a.err != nil {
			return
		}
		client, _ := newClient(a.Fingerprint)
		a.keys = &jwks{url: a.JWKS, client: client}
		a.exclude, _ = compilePermissions(a.Exclude)
	})
	return a.err
}

// Authenticate implements [router.Authenticator].
func (a *JWT) Authenticate(ctx context.Context, req *router.AccessRequest) (router.Identity, error) {
	refuse := func(err error, ask bool) (router.Identity, error) {
		return router.Identity{}, &router.AuthError{Err: err, AskCredentials: ask}
	}
	if err := a.prepare(); err != nil {
		return refuse(fmt.Errorf("tokens are not configured rightly: %w", err), false)
	}
	if a.exclude.may(req.Action, req.Path) {
		return router.Identity{}, nil
	}
	raw := req.Token
	if raw == "" {
		raw = req.Pass
	}
	if raw == "" {
		return refuse(errors.New("no token was sent"), !req.HasCredentials() && req.Verify == nil)
	}
	token, err := a.verify(ctx, raw)
	if err != nil {
		return refuse(err, false)
	}
	permissions, err := a.permissions(token)
	switch {
	case err != nil:
		return refuse(err, false)
	case !permissions.may(req.Action, req.Path):
		return refuse(fmt.Errorf("the token of %q does not allow to %s", token.Subject(), verb(req.Action)), false)
	}
	id := router.Identity{User: token.Subject()}
	if a.KickOnExpiry {
		id.Expires = token.Expiration()
	}
	return id, nil
}

// verify checks everything about a token but its permissions.
func (a *JWT) verify(ctx context.Context, raw string) (jwt.Token, error) {
	if len(raw) > maxToken {
		return nil, fmt.Errorf("the token is longer than %d bytes", maxToken)
	}
	msg, err := jws.ParseString(raw)
	if err != nil || len(msg.Signatures()) != 1 {
		return nil, errors.New("what was sent is not a token")
	}
	head := msg.Signatures()[0].ProtectedHeaders()
	if _, ok := head.Get(jws.CriticalKey); ok { // RFC 7515 4.1.11, which wants no empty list either
		return nil, errors.New("the token has critical headers, none of which is understood")
	}
	set, err := a.keysFor(ctx, head.KeyID())
	if err != nil {
		return nil, err
	}
	token, err := a.parse(raw, keysOf(set, head.KeyID()))
	if errors.Is(err, errSignature) { // the key may be a new one, without an id or with that of an old one
		fresh, err2 := a.keys.keys(ctx, true)
		if err2 != nil || fresh == set {
			return nil, err
		}
		return a.parse(raw, keysOf(fresh, head.KeyID()))
	}
	return token, err
}

// keysOf returns the keys of an id, all of them if there is none: trying each key
// of a large set takes long.
func keysOf(set jwk.Set, id string) jwk.Set {
	if id == "" {
		return set
	}
	out := jwk.NewSet()
	for i := range set.Len() {
		if key, ok := set.Key(i); ok && key.KeyID() == id {
			_ = out.AddKey(key) // fails for duplicates
		}
	}
	return out
}

// parse verifies the signature and the claims.
func (a *JWT) parse(raw string, set jwk.Set) (jwt.Token, error) {
	payload, err := jws.Verify([]byte(raw), jws.WithCompact(),
		jws.WithKeySet(set, jws.WithInferAlgorithmFromKey(true), jws.WithRequireKid(false)))
	if err != nil {
		return nil, errSignature // that of the library may quote the token
	}
	token := jwt.New()
	if json.Unmarshal(payload, token) != nil {
		return nil, errors.New("the claims of the token are not those of a JSON Web Token")
	}
	// Zero is a time too, not the lack of one as in the library.
	if _, ok := token.Get(jwt.ExpirationKey); ok && !time.Now().Before(token.Expiration()) {
		return nil, errors.New("the token has expired")
	}
	// When it was issued is not asked: clocks of issuers are ahead at times, and
	// RFC 7519 section 4.1.6 draws no conclusion from it.
	opts := []jwt.ValidateOption{jwt.WithResetValidators(true), jwt.WithValidator(jwt.IsNbfValid())}
	if a.Issuer != "" {
		opts = append(opts, jwt.WithIssuer(a.Issuer))
	}
	if a.Audience != "" {
		opts = append(opts, jwt.WithAudience(a.Audience))
	}
	if err := jwt.Validate(token, opts...); err != nil {
		return nil, reasonOf(err)
	}
	return token, nil
}

var errSignature = errors.New("the signature of the token cannot be verified")

// keysFor returns the public keys, after another fetch if the one that is wanted
// is not among those at hand.
func (a *JWT) keysFor(ctx context.Context, id string) (jwk.Set, error) {
	set, err := a.keys.keys(ctx, false)
	if err != nil {
		return nil, err
	}
	if id != "" {
		if _, ok := set.LookupKeyID(id); !ok {
			if set, err = a.keys.keys(ctx, true); err != nil {
				return nil, err
			}
			if _, ok := set.LookupKeyID(id); !ok {
				return nil, errors.New("the key of the token is not in the set of keys")
			}
		}
	}
	return set, nil
}

// reasonOf phrases errors of the library, which may quote the token.
func reasonOf(err error) error {
	switch {
	case errors.Is(err, jwt.ErrInvalidIssuer()):
		return errors.New("the token has another issuer")
	case errors.Is(err, jwt.ErrInvalidAudience()):
		return errors.New("the token is for another audience")
	}
	return errors.New("the token is not valid yet")
}

// permissions reads the claim of a token.
func (a *JWT) permissions(token jwt.Token) (rule, error) {
	bad := func(what string) (rule, error) {
		return rule{}, fmt.Errorf("claim %q of the token %s", a.claimKey(), what)
	}
	claim, ok := token.Get(a.claimKey())
	if !ok {
		return bad("is missing")
	}
	var text []byte
	if s, ok := claim.(string); ok {
		text = []byte(s)
	} else {
		text, _ = json.Marshal(claim) // it came from JSON
	}
	var list []struct {
		Action router.Action `json:"action"`
		Path   string        `json:"path"`
	}
	if json.Unmarshal(text, &list) != nil {
		return bad("is not a list of permissions")
	}
	if len(list) > maxPermissions {
		return bad(fmt.Sprintf("has more than %d permissions", maxPermissions))
	}
	var r rule
	for _, p := range list {
		c, err := compilePermission(Permission{Action: p.Action, Path: p.Path})
		if err != nil {
			continue // of another server, or of a newer one; it allows nothing
		}
		r.allows = append(r.allows, c)
	}
	return r, nil
}

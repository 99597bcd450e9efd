package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/org/mtx/router"
)

// Internal authenticates against a list of users. Use it as a literal, or
// through [NewInternal] to learn at once whether the list is valid; a literal
// with an invalid list refuses everything with the reason.
//
// It may be used by many goroutines at once. It must not be copied or changed
// after its first use: to change users, apply a configuration with another
// Internal.
type Internal struct {
	// Users are the users.
	Users []User

	// What follows is derived from Users at the first use, and no part of the
	// configuration: see Equal.
	once  sync.Once
	rules *ruleset
	err   error
}

var _ router.Authenticator = (*Internal)(nil)

// NewInternal returns an authenticator for users, or every problem that the list
// has, joined.
func NewInternal(users []User) (*Internal, error) {
	a := &Internal{Users: users}
	if err := a.prepare(); err != nil {
		return nil, err
	}
	return a, nil
}

// Validate reports every problem of the list, joined. Messages name users by
// their position, counted from zero, and hold no credentials.
func (a *Internal) Validate() error {
	_, err := compile(a.Users)
	return err
}

// Equal tells whether other is an Internal with the same users. The router calls
// it to find out whether a reload changed anything.
func (a *Internal) Equal(other any) bool {
	b, ok := other.(*Internal)
	if !ok || a == nil || b == nil {
		return ok && a == b
	}
	if a == b {
		return true
	}
	if len(a.Users) != len(b.Users) {
		return false
	}
	for i := range a.Users {
		if !a.Users[i].equal(b.Users[i]) {
			return false
		}
	}
	return true
}

func (a *Internal) prepare() error {
	a.once.Do(func() { a.rules, a.err = compile(a.Users) })
	return a.err
}

// Authenticate implements [router.Authenticator].
func (a *Internal) Authenticate(ctx context.Context, req *router.AccessRequest) (router.Identity, error) {
	if err := a.prepare(); err != nil {
		return router.Identity{}, &router.AuthError{Err: fmt.Errorf("users are not valid: %w", err)}
	}
	id, err := a.rules.decide(ctx, req)
	if err != nil {
		return router.Identity{}, &router.AuthError{
			Err:            err,
			AskCredentials: !req.HasCredentials() && req.Verify == nil,
		}
	}
	return id, nil
}

// Reasons of refusals. They are for logs and hold no credentials.
var (
	errNoCredentials = errors.New("no credentials were sent")
	errWrong         = errors.New("wrong user or password")
	errHashedDigest  = errors.New("wrong user or password (digest authentication does not work with hashed credentials)")
)

// decide finds a user that fits. Users are narrowed down first by what is no
// secret; then all of them are looked at, so that the time that this takes does
// not depend on which one fits.
func (r *ruleset) decide(ctx context.Context, req *router.AccessRequest) (router.Identity, error) {
	candidates := r.candidates(req)
	if len(candidates) == 0 {
		return router.Identity{}, fmt.Errorf("no user is allowed to %s from %s", verb(req.Action), origin(req.Addr))
	}
	if req.Verify != nil {
		return decideDigest(candidates, req)
	}
	given := credentials{
		user: req.User, userSum: sha256.Sum256([]byte(req.User)),
		pass: req.Pass, passSum: sha256.Sum256([]byte(req.Pass)),
	}
	named, anybody, slow := false, false, false
	for _, u := range candidates {
		switch {
		case u.anybody:
			anybody = true
		case u.name.isArgon2() || u.pass.isArgon2():
			slow = true
		default:
			fits := u.name.fits(&given.userSum) & u.pass.fits(&given.passSum)
			named = named || fits == 1
		}
	}
	switch {
	case named:
		return router.Identity{User: req.User}, nil
	case anybody:
		return router.Identity{}, nil // whatever name was sent is not verified
	case req.User == "" && req.Pass == "":
		return router.Identity{}, errNoCredentials
	case !slow:
		return router.Identity{}, errWrong
	}
	ok, err := r.decideSlow(ctx, candidates, &given)
	switch {
	case err != nil:
		return router.Identity{}, err
	case !ok:
		return router.Identity{}, errWrong
	}
	return router.Identity{User: req.User}, nil
}

// decideDigest handles requests that prove the knowledge of a password without
// sending it.
func decideDigest(candidates []*rule, req *router.AccessRequest) (router.Identity, error) {
	var name string
	named, anybody, hashed := false, false, false
	for _, u := range candidates {
		switch {
		case u.anybody:
			anybody = true
		case !u.name.isPlain() || !u.pass.isPlain():
			hashed = true
		case req.Verify(u.name.plain, u.pass.plain):
			named, name = true, u.name.plain
		}
	}
	switch {
	case named:
		return router.Identity{User: name}, nil
	case anybody:
		return router.Identity{}, nil
	case hashed:
		return router.Identity{}, errHashedDigest
	}
	return router.Identity{}, errWrong
}

// decideSlow looks at the users that need Argon2. A password is tried only if
// the name fits; if none does, one is tried in vain, so that the time does not
// tell which names exist.
func (r *ruleset) decideSlow(ctx context.Context, candidates []*rule, given *credentials) (bool, error) {
	allowed, tried := false, false
	var decoy *credential
	for _, u := range candidates {
		if u.anybody || !u.name.isArgon2() && !u.pass.isArgon2() {
			continue
		}
		nameFits, err := r.fits(ctx, &u.name, given.user, &given.userSum)
		if err != nil {
			return false, err
		}
		if u.pass.isArgon2() && decoy == nil {
			decoy = &u.pass
		}
		if !nameFits {
			continue
		}
		passFits, err := r.fits(ctx, &u.pass, given.pass, &given.passSum)
		if err != nil {
			return false, err
		}
		tried = tried || u.pass.isArgon2()
		allowed = allowed || passFits
	}
	if !tried && !allowed && decoy != nil {
		if _, err := r.fits(ctx, decoy, given.pass, &given.passSum); err != nil {
			return false, err
		}
	}
	return allowed, nil
}

package routertest

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/org/mtx/router"
)

// TestAuthenticator is the conformance suite of authenticators. newAuth returns
// equal values; allowed and denied are requests that they must let in and must
// refuse. It checks that
//
//   - equal values are equal for the router
//   - what is refused is refused with an [*router.AuthError] which asks for
//     credentials if the client sent none, and whose text holds no secret
//   - requests are not modified
//   - it can be used by many goroutines at once
//   - it returns soon when its context is done
//   - no goroutine is left once it was closed, if it has a method Close
func TestAuthenticator(t *testing.T, newAuth func() router.Authenticator, allowed, denied []router.AccessRequest) {
	t.Run("equal", func(t *testing.T) {
		a, b := router.Config{Auth: newAuth()}, router.Config{Auth: newAuth()}
		if ch := router.Diff(&a, &b); !ch.Empty() {
			t.Errorf("values with the same content differ: %+v", ch)
		}
	})
	check := func(t *testing.T, a router.Authenticator) {
		for _, q := range allowed {
			checkAllowed(t, a, q)
		}
		for _, q := range denied {
			checkDenied(t, a, q)
		}
	}
	t.Run("answers", func(t *testing.T) {
		CheckLeaks(t)
		check(t, closed(t, newAuth()))
	})
	t.Run("concurrent", func(t *testing.T) {
		CheckLeaks(t)
		a := closed(t, newAuth())
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() { check(t, a) })
		}
		within(t, "authentication", wg.Wait)
	})
	t.Run("context", func(t *testing.T) {
		CheckLeaks(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		a := closed(t, newAuth())
		for _, q := range append(append([]router.AccessRequest(nil), allowed...), denied...) {
			// whether it still answers is its business
			within(t, "authentication with a context that is done", func() { _, _ = a.Authenticate(ctx, &q) })
		}
	})
}

// closed closes an authenticator at the end of the test, as the router does.
func closed(t *testing.T, a router.Authenticator) router.Authenticator {
	t.Cleanup(func() {
		if c, ok := a.(io.Closer); ok {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return a
}

func checkAllowed(t *testing.T, a router.Authenticator, q router.AccessRequest) {
	t.Helper()
	before := q
	if _, err := a.Authenticate(t.Context(), &q); err != nil {
		t.Errorf("%s by %q on %q was refused: %v", q.Action, q.User, q.Path, err)
	}
	checkSame(t, before, q)
}

func checkDenied(t *testing.T, a router.Authenticator, q router.AccessRequest) {
	t.Helper()
	before := q
	_, err := a.Authenticate(t.Context(), &q)
	checkSame(t, before, q)
	var ae *router.AuthError
	switch {
	case err == nil:
		t.Errorf("%s by %q on %q was allowed", q.Action, q.User, q.Path)
		return
	case !errors.As(err, &ae):
		t.Errorf("the error %q is a %T, want *router.AuthError", err, err)
		return
	case ae.Err == nil:
		t.Error("the AuthError has no cause")
		return
	}
	if !q.HasCredentials() && q.Verify == nil && !ae.AskCredentials {
		t.Errorf("%s on %q without credentials: AskCredentials is false", q.Action, q.Path)
	}
	if q.HasCredentials() && ae.AskCredentials {
		t.Errorf("%s on %q with wrong credentials: AskCredentials is true", q.Action, q.Path)
	}
	for _, secret := range []string{q.Pass, q.Token} {
		if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the text of the error holds a secret: %q", err)
		}
	}
}

func checkSame(t *testing.T, before, after router.AccessRequest) {
	t.Helper()
	before.Verify, after.Verify = nil, nil
	if !reflect.DeepEqual(before, after) {
		t.Error("the request was modified")
	}
}

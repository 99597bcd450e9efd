package router

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// guesser is a router in which every password but one is wrong.
func guesser(t *testing.T, looked *atomic.Int64) *Router {
	t.Helper()
	r, err := New(Config{Auth: AuthenticatorFunc(func(_ context.Context, q *AccessRequest) (Identity, error) {
		looked.Add(1)
		if q.Pass == "right" {
			return Identity{}, nil
		}
		return Identity{}, &AuthError{Err: errors.New("wrong"), AskCredentials: !q.HasCredentials()}
	})})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (t *attempts) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.origins)
}

// Who guesses in parallel, and does not wait for answers, is slowed down too;
// what that takes is bounded, and nobody else notices.
func TestGuessesFromOneAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looked atomic.Int64
		r := guesser(t, &looked)
		defer r.Close()
		guess := func(ctx context.Context, addr, pass string) error {
			_, err := r.authorize(ctx, &AccessRequest{Action: ActionAPI, User: "u", Pass: pass, Addr: netip.MustParseAddr(addr)})
			return err
		}
		var wg sync.WaitGroup
		var refused atomic.Int64
		for i := range 5000 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // leaves, to try again
				defer cancel()
				time.Sleep(time.Duration(i) * 2 * time.Millisecond) // 500 a second
				err := guess(ctx, fmt.Sprintf("2001:db8::%x", i), fmt.Sprint(i))
				if errors.Is(err, ErrTooManyAttempts) {
					refused.Add(1)
				}
				if err == nil {
					t.Error("a wrong password is right")
				}
			})
		}
		start := time.Now()
		time.Sleep(5 * time.Second)
		if err := guess(t.Context(), "2001:db8:1::1", "right"); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("another address: %v", err)
		}
		if _, err := r.authorize(t.Context(), &AccessRequest{Action: ActionAPI, Addr: netip.MustParseAddr("2001:db8::1")}); errors.Is(err, ErrTooManyAttempts) {
			t.Errorf("who sends no credentials guesses nothing: %v", err)
		}
		wg.Wait()
		// 10 s, of which each failure takes 2 s on average
		if n := looked.Load(); n < maxFailed || n > 10*maxFailed {
			t.Errorf("%d of 5000 passwords were looked at", n)
		}
		time.Sleep(defaultAuthPause)
		if n := r.attempts.size(); n != 0 {
			t.Errorf("%d addresses are remembered", n)
		}
	})
}

// Those who wait have their turn, whoever succeeds, fails or leaves before them,
// and those beyond are refused at once.
func TestAttemptsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looked atomic.Int64
		r := guesser(t, &looked)
		defer r.Close()
		authorize := func(ctx context.Context, pass string) error {
			_, err := r.authorize(ctx, &AccessRequest{Action: ActionAPI, Pass: pass, Addr: netip.MustParseAddr("::ffff:1.2.3.4")})
			return err
		}
		for range maxFailed {
			go func() { _ = authorize(t.Context(), "wrong") }()
		}
		synctest.Wait()
		var right, refused atomic.Int64
		var wg sync.WaitGroup
		for i := range 2 * maxWaiting {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%4 == 0 {
					time.AfterFunc(time.Millisecond, cancel)
				}
				switch err := authorize(ctx, "right"); {
				case err == nil:
					right.Add(1)
				case errors.Is(err, ErrTooManyAttempts):
					refused.Add(1)
				case ctx.Err() == nil:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if refused.Load() != maxWaiting || right.Load() < maxWaiting/2 {
			t.Errorf("%d were right, %d refused", right.Load(), refused.Load())
		}
		time.Sleep(defaultAuthPause)
		if n := r.attempts.size(); n != 0 {
			t.Errorf("%d addresses are remembered", n)
		}
	})
}

package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"
)

// maxRemembered bounds the memory that successful verifications take: 32 bytes
// and the overhead of a map each.
const maxRemembered = 4096

// verifier runs Argon2 within bounds and remembers what was right: HTTP clients
// send their credentials with every request, and each verification costs
// milliseconds and megabytes.
type verifier struct {
	slots chan struct{} // as many as there may be verifications at once
	key   [sha256.Size]byte

	mu    sync.Mutex
	right map[[sha256.Size]byte]struct{}
}

func newVerifier() *verifier {
	v := &verifier{
		slots: make(chan struct{}, runtime.NumCPU()),
		right: make(map[[sha256.Size]byte]struct{}),
	}
	rand.Read(v.key[:]) // never fails (documentation of crypto/rand)
	return v
}

// fits compares a stored credential with what a client sent.
func (r *ruleset) fits(ctx context.Context, c *credential, given string, sum *[sha256.Size]byte) (bool, error) {
	if !c.isArgon2() {
		return c.fits(sum) == 1, nil
	}
	return r.argon2.verify(ctx, c, given)
}

func (v *verifier) verify(ctx context.Context, c *credential, given string) (bool, error) {
	id := v.fingerprint(c, given)
	if v.remembers(id) {
		return true, nil
	}
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return false, fmt.Errorf("waiting for the verification of a password: %w", ctx.Err())
	}
	if err := ctx.Err(); err != nil { // both cases of select may have been possible
		return false, fmt.Errorf("waiting for the verification of a password: %w", err)
	}
	ok, err := c.argon.Verify([]byte(given))
	if err != nil {
		return false, fmt.Errorf("verifying a password: %w", err)
	}
	if ok {
		v.remember(id)
	}
	return ok, nil
}

// fingerprint identifies a pair of hash and password without revealing either.
func (v *verifier) fingerprint(c *credential, given string) (id [sha256.Size]byte) {
	h := hmac.New(sha256.New, v.key[:])
	h.Write(c.argon.Encode()) // ends with base64, so a zero byte cannot be part of it
	h.Write([]byte{0})
	h.Write([]byte(given))
	h.Sum(id[:0])
	return id
}

func (v *verifier) remembers(id [sha256.Size]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.right[id]
	return ok
}

// remember starts over when the limit is reached, which takes more different
// passwords than there are.
func (v *verifier) remember(id [sha256.Size]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.right) >= maxRemembered {
		clear(v.right)
	}
	v.right[id] = struct{}{}
}

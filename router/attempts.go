package router

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxFailed is how many wrong credentials of one address may be in their pause
	// before its other clients with credentials have to wait.
	maxFailed = 32
	// maxWaiting is how many may wait.
	maxWaiting = 256

	// originBits is the part of an IPv6 address that stands for one subscriber.
	originBits = 64
)

// attempts bounds how fast wrong credentials can be tried from one address, and
// what that costs: a pause for each would only slow down who waits for the
// answer. A failure counts until its pause is over, whether or not the client
// stays; meanwhile others of the address are not looked at. Addresses without
// failures take no memory. The zero value is ready.
type attempts struct {
	mu      sync.Mutex
	origins map[netip.Prefix]*origin
}

// origin is an address from which wrong credentials came.
type origin struct {
	failed  int             // whose pause is not over
	waiting []chan struct{} // closed to let one go on
}

func originOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = originBits
	}
	p, _ := a.Prefix(bits) // invalid for an invalid address
	return p
}

// enter waits until the credentials of a client may be looked at.
func (t *attempts) enter(ctx context.Context, addr netip.Addr) error {
	key := originOf(addr)
	t.mu.Lock()
	o := t.origins[key]
	if o == nil || o.failed < maxFailed && len(o.waiting) == 0 {
		t.mu.Unlock()
		return nil
	}
	if len(o.waiting) >= maxWaiting {
		t.mu.Unlock()
		return ErrTooManyAttempts
	}
	turn := make(chan struct{})
	o.waiting = append(o.waiting, turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(o.waiting, turn); i >= 0 {
		o.waiting = slices.Delete(o.waiting, i, i+1)
	} else {
		t.nextLocked(key, o) // the turn came too late for us
	}
	return context.Cause(ctx)
}

// succeeded is called when the credentials of a client were right.
func (t *attempts) succeeded(addr netip.Addr) {
	key := originOf(addr)
	t.mu.Lock()
	defer t.mu.Unlock()
	if o := t.origins[key]; o != nil {
		t.nextLocked(key, o)
	}
}

// failed is called when they were wrong; the failure counts for a while.
func (t *attempts) failed(addr netip.Addr, pause time.Duration) {
	key := originOf(addr)
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.origins[key]
	if o == nil {
		if t.origins == nil {
			t.origins = map[netip.Prefix]*origin{}
		}
		o = &origin{}
		t.origins[key] = o
	}
	o.failed++
	time.AfterFunc(pause, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		o.failed--
		t.nextLocked(key, o)
	})
}

// nextLocked lets the one go on who waits longest, or forgets the address.
func (t *attempts) nextLocked(key netip.Prefix, o *origin) {
	switch {
	case len(o.waiting) > 0 && o.failed < maxFailed:
		close(o.waiting[0])
		o.waiting = o.waiting[1:]
	case len(o.waiting) == 0 && o.failed == 0 && t.origins[key] == o:
		delete(t.origins, key)
	}
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

const (
	// jwksPeriod is how old a key set may be before it is fetched again, while
	// the old one is still used.
	jwksPeriod = time.Hour

	// jwksPause is the least time between two fetches, for unknown key ids and
	// for services that are down.
	jwksPause = 5 * time.Second

	jwksTimeout = 10 * time.Second
	jwksMaxSize = 1 << 20 // bytes
)

// jwks is a set of keys that is fetched when it is needed, and again when it is
// old, in the background. At most one fetch is under way, and no goroutine is
// left when none is.
type jwks struct {
	url    string
	client *http.Client

	mu      sync.Mutex
	set     jwk.Set // nil: never fetched
	fetched time.Time
	tried   time.Time     // when the last fetch began
	err     error         // of the last fetch
	busy    chan struct{} // closed when the fetch under way has ended; nil if there is none
	cancel  context.CancelFunc
	closed  bool
}

// keys returns the keys. It waits only if there are none yet, or if stale tells
// that those at hand do not do.
func (j *jwks) keys(ctx context.Context, stale bool) (jwk.Set, error) {
	j.mu.Lock()
	now := time.Now()
	old := now.Sub(j.fetched) > jwksPeriod
	if (j.set == nil || old || stale) && j.busy == nil && now.Sub(j.tried) >= jwksPause {
		j.fetchLocked()
	}
	busy := j.busy
	set, err := j.set, j.err
	j.mu.Unlock()
	if busy != nil && (set == nil || stale) {
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		j.mu.Lock()
		set, err = j.set, j.err
		j.mu.Unlock()
	}
	if set == nil {
		if err == nil {
			err = errors.New("they were not fetched")
		}
		return nil, fmt.Errorf("the keys are not available: %w", err)
	}
	return set, nil
}

// refresh fetches the keys now.
func (j *jwks) refresh(ctx context.Context) error {
	j.mu.Lock()
	if j.busy == nil {
		j.fetchLocked()
	}
	busy := j.busy
	j.mu.Unlock()
	if busy != nil {
		select {
		case <-busy:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// fetchLocked begins a fetch that does not depend on the client which needs it.
func (j *jwks) fetchLocked() {
	if j.closed {
		j.err = errors.New("the authenticator is closed")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), jwksTimeout)
	j.tried, j.busy, j.cancel = time.Now(), make(chan struct{}), cancel
	go func() {
		defer cancel()
		set, err := j.fetch(ctx)
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.err = err; err == nil {
			j.set, j.fetched = set, time.Now()
		}
		close(j.busy)
		j.busy = nil
		if j.closed {
			j.client.CloseIdleConnections()
		}
	}()
}

func (j *jwks) fetch(ctx context.Context) (jwk.Set, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	res, err := j.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server of the keys answered with status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, jwksMaxSize+1))
	switch {
	case err != nil:
		return nil, withoutURL(err)
	case len(body) > jwksMaxSize:
		return nil, fmt.Errorf("the set of keys is larger than %d bytes", jwksMaxSize)
	}
	set, err := jwk.Parse(body, jwk.WithIgnoreParseError(true)) // keys of unknown kinds do not spoil the others
	if err != nil {
		return nil, fmt.Errorf("the set of keys is invalid: %w", err)
	}
	return publicKeys(set)
}

// publicKeys leaves out what cannot be the key of a signature that anybody may
// verify: a symmetric key in a public set would let everybody sign.
func publicKeys(set jwk.Set) (jwk.Set, error) {
	out := jwk.NewSet()
	for i := range set.Len() {
		key, _ := set.Key(i)
		if key.KeyType() == jwa.OctetSeq || key.KeyUsage() == string(jwk.ForEncryption) {
			continue
		}
		if pub, err := key.PublicKey(); err == nil {
			_ = out.AddKey(pub) // fails for duplicates
		}
	}
	if out.Len() == 0 {
		return nil, errors.New("the set holds no public key for signatures")
	}
	return out, nil
}

// close cancels a fetch and waits for its end.
func (j *jwks) close() {
	j.mu.Lock()
	j.closed = true
	busy := j.busy
	if busy != nil {
		j.cancel()
	}
	j.mu.Unlock()
	if busy != nil {
		<-busy
	}
	j.client.CloseIdleConnections()
}

package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"
)

// cacheLimit bounds the memory of a cache; beyond it starts anew.
const cacheLimit = 10000

// cache remembers questions that were answered with yes. It holds hashes with a
// random key, not credentials.
type cache struct {
	mu      sync.Mutex
	salt    []byte
	entries map[[sha256.Size]byte]time.Time // until when
}

// sum is called with the lock held.
func (c *cache) sum(q question) [sha256.Size]byte {
	if c.salt == nil {
		c.salt = make([]byte, 32)
		_, _ = rand.Read(c.salt) // never fails
	}
	b, _ := json.Marshal(q) //nolint:gosec // hashed, and not kept
	return sha256.Sum256(append(append([]byte{}, c.salt...), b...))
}

func (c *cache) has(q question) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.entries[c.sum(q)])
}

func (c *cache) add(q question, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.entries) >= cacheLimit {
		for k, until := range c.entries {
			if now.After(until) {
				delete(c.entries, k)
			}
		}
	}
	if c.entries == nil || len(c.entries) >= cacheLimit {
		c.entries = map[[sha256.Size]byte]time.Time{}
	}
	c.entries[c.sum(q)] = now.Add(d)
}

package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/matthewhartstonge/argon2"
)

// Limits of the parameters of Argon2 hashes. Parameters come with the hash, so a
// hash could otherwise ask for any amount of memory and time.
const (
	maxArgon2Memory = 1 << 20 // KiB, that is 1 GiB
	maxArgon2Time   = 64      // passes
	minArgon2Salt   = 8       // bytes (RFC 9106 section 3.1)
	minArgon2Hash   = 4       // bytes (RFC 9106 section 3.1)
	maxArgon2Hash   = 1024    // bytes
)

// CheckPassword tells why s cannot be a stored name or password; nil if it can.
// Strings without the prefix "sha256:" or "argon2:" are stored as they are and
// always valid. The error does not contain s.
func CheckPassword(s string) error {
	_, err := parseCredential(s)
	return err
}

// credential is a stored name or password. The SHA-256 hash takes part in every
// comparison, so credentials stored as they are and as such a hash are handled
// alike, and lengths do not matter.
type credential struct {
	plain  string
	sum    [sha256.Size]byte
	hashed bool        // plain is unknown
	argon  *argon2.Raw // nil unless stored as Argon2
}

func parseCredential(s string) (credential, error) {
	if b64, ok := strings.CutPrefix(s, "sha256:"); ok {
		return parseSHA256(b64)
	}
	if enc, ok := strings.CutPrefix(s, "argon2:"); ok {
		return parseArgon2(enc)
	}
	return credential{plain: s, sum: sha256.Sum256([]byte(s))}, nil
}

func parseSHA256(s string) (credential, error) {
	sum, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(sum) != sha256.Size {
		return credential{}, errors.New("sha256: must be followed by the standard base64 of 32 bytes (44 characters)")
	}
	return credential{sum: [sha256.Size]byte(sum), hashed: true}, nil
}

func parseArgon2(s string) (credential, error) {
	raw, err := argon2.Decode([]byte(s))
	// The library is lenient: it skips what it does not know and takes numbers
	// that overflow. What does not survive encoding is not what was meant.
	if err != nil || string(raw.Encode()) != s {
		return credential{}, errors.New("argon2: must be followed by an encoded hash, such as $argon2id$v=19$m=65536,t=3,p=4$SALT$HASH")
	}
	c := raw.Config
	switch {
	case c.Mode != argon2.ModeArgon2i && c.Mode != argon2.ModeArgon2id:
		return credential{}, errors.New("argon2: only Argon2id and Argon2i are supported")
	case c.Version != argon2.Version13:
		return credential{}, fmt.Errorf("argon2: version %d is not supported, it must be 19", c.Version)
	case c.MemoryCost > maxArgon2Memory:
		return credential{}, fmt.Errorf("argon2: a memory of %d KiB is too much, at most %d are accepted", c.MemoryCost, maxArgon2Memory)
	case c.TimeCost > maxArgon2Time:
		return credential{}, fmt.Errorf("argon2: %d passes are too many, at most %d are accepted", c.TimeCost, maxArgon2Time)
	case len(raw.Salt) < minArgon2Salt:
		return credential{}, fmt.Errorf("argon2: a salt of %d bytes is too short, it must have at least %d", len(raw.Salt), minArgon2Salt)
	case len(raw.Hash) < minArgon2Hash || len(raw.Hash) > maxArgon2Hash:
		return credential{}, fmt.Errorf("argon2: the hash has %d bytes, it must have from %d to %d", len(raw.Hash), minArgon2Hash, maxArgon2Hash)
	}
	return credential{hashed: true, argon: &raw}, nil
}

func (c *credential) isArgon2() bool { return c.argon != nil }
func (c *credential) isPlain() bool  { return !c.hashed }

// fits compares in constant time; 1 means equal. It is not for Argon2.
func (c *credential) fits(sum *[sha256.Size]byte) int {
	return subtle.ConstantTimeCompare(c.sum[:], sum[:])
}

// credentials are what a client sent.
type credentials struct {
	user, pass       string
	userSum, passSum [sha256.Size]byte
}

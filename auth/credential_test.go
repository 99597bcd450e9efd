package auth

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/matthewhartstonge/argon2"
)

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, s string
		want    string // part of the error; empty means valid
	}{
		{"empty", "", ""},
		{"plain", "p:a ss$wörd", ""},
		{"plain that mentions a hash", "my sha256:x", ""},
		{"sha256", sha256Pass, ""},
		{"sha256 without a hash", "sha256:", "44 characters"},
		{"sha256 in hex", "sha256:ea71c25a7a602246b4c39824b855678894a96f43bb9b71319c39700a1e045222", "44 characters"},
		{"sha256 without padding", strings.TrimSuffix(sha256Pass, "="), "44 characters"},
		{"sha256 of another alphabet", "sha256:6nHCWnpgIka0w5gkuFVniJSpb0O7m3ExnDlwCh4_UiI=", "44 characters"},
		{"argon2id", argonUser, ""},
		{"argon2i", argonPass, ""},
		{"argon2d", strings.Replace(argonUser, "argon2id", "argon2d", 1), "only Argon2id"},
		{"argon2 without a hash", "argon2:", "encoded hash"},
		{"argon2 of nothing", "argon2:$argon2id$v=19$m=4096,t=3,p=1$MTIzNDU2Nzg$", "encoded hash"},
		{"argon2 without the dollar", "argon2:argon2id$v=19$m=4096,t=3,p=1$MTIzNDU2Nzg$OGGO0eCMN0ievb4YGSzvSw", "encoded hash"},
		{"argon2 with a number that overflows", strings.Replace(argonUser, "m=4096", "m=4294971392", 1), "encoded hash"},
		{"argon2 with unknown attributes", strings.Replace(argonUser, "p=1", "p=1,data=eA", 1), "encoded hash"},
		{"argon2 without passes", strings.Replace(argonUser, "t=3", "t=0", 1), "encoded hash"},
		{"old version of argon2", strings.Replace(argonUser, "v=19", "v=16", 1), "version 16"},
		{"argon2 with much memory", strings.Replace(argonUser, "m=4096", "m=1048577", 1), "1048577 KiB"},
		{"argon2 with many passes", strings.Replace(argonUser, "t=3", "t=65", 1), "65 passes"},
		{"argon2 with a short salt", strings.Replace(argonUser, "MTIzNDU2Nzg", "MTIz", 1), "salt of 3 bytes"},
		{"argon2 with a short hash", "argon2:$argon2id$v=19$m=4096,t=3,p=1$MTIzNDU2Nzg$OGGO", "3 bytes"},
	} {
		err := CheckPassword(c.s)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want something about %q", c.name, err, c.want)
		}
	}
}

// Whatever is accepted can be compared without a panic, and what is stored as it
// is compares equal to itself.
func FuzzCheckPassword(f *testing.F) {
	_, sample := parseCredential("argon2:x")
	example := sample.Error()
	for _, s := range []string{"", "plain", sha256Pass, argonUser, argonPass, "argon2:$argon2id$v=19$m=1,t=1,p=1$", "sha256:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCredential(s)
		if err != nil {
			const long = 24 // bytes: more than any part of the messages can repeat by chance
			if secret := s[len("argon2:"):]; len(secret) >= long && strings.Contains(err.Error(), secret) && !strings.Contains(example, secret) {
				t.Errorf("the error holds the credential: %v", err)
			}
			return
		}
		sum := sha256.Sum256([]byte(s))
		switch {
		case c.isPlain() && c.fits(&sum) != 1:
			t.Error("does not fit itself")
		case c.isArgon2():
			const cheap = 64 // KiB: larger ones only take time
			if c.argon.Config.MemoryCost > cheap || c.argon.Config.TimeCost > 1 {
				return
			}
			if _, err := c.argon.Verify([]byte(s)); err != nil {
				t.Errorf("accepted, but cannot be verified: %v", err)
			}
		}
	})
}

func TestArgon2OfTheLibrary(t *testing.T) {
	t.Parallel()
	conf := argon2.Config{
		HashLength: 32, SaltLength: 16, TimeCost: 1, MemoryCost: 64, Parallelism: 2,
		Mode: argon2.ModeArgon2id, Version: argon2.Version13,
	}
	enc, err := conf.HashEncoded([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseCredential("argon2:" + string(enc))
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]bool{"secret": true, "": false, "Secret": false, "secret\x00": false} {
		if got, err := newVerifier().verify(t.Context(), &c, given); err != nil || got != want {
			t.Errorf("%q: got %v, %v", given, got, err)
		}
	}
}

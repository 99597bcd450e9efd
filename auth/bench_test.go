package auth

import (
	"errors"
	"strconv"
	"testing"

	"github.com/org/mtx/router"
)

// BenchmarkAuthenticate measures one decision: among many users, with a
// password that is remembered, and with one that Argon2 has to look at.
func BenchmarkAuthenticate(b *testing.B) {
	var many []User
	for i := range 100 {
		many = append(many, User{Name: "user" + strconv.Itoa(i), Pass: "p", Permissions: allow("read", "~^cam[0-9]+$")})
	}
	slow := []User{{Name: "u", Pass: argonPass, Permissions: allow("read", "")}}
	for _, c := range []struct {
		name       string
		users      []User
		user, pass string
		refused    bool
	}{
		{"100 users", many, "user99", "p", false},
		{"100 users refused", many, "user99", "q", true},
		{"argon2 remembered", slow, "u", "password", false},
		{"argon2 refused", slow, "u", "wrong", true},
	} {
		b.Run(c.name, func(b *testing.B) {
			a, err := NewInternal(c.users)
			if err != nil {
				b.Fatal(err)
			}
			req := &router.AccessRequest{Action: "read", Path: "cam1", User: c.user, Pass: c.pass}
			b.ReportAllocs()
			for b.Loop() {
				_, err := a.Authenticate(b.Context(), req)
				var ae *router.AuthError
				if errors.As(err, &ae) != c.refused {
					b.Fatal(err)
				}
			}
		})
	}
}

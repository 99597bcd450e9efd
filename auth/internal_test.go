package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/org/mtx/router"
)

// Hashes of credentials. That of argonPass is among the test vectors of the
// reference implementation of Argon2.
const (
	argonUser  = "argon2:$argon2id$v=19$m=4096,t=3,p=1$MTIzNDU2Nzg$OGGO0eCMN0ievb4YGSzvS/H+Vajx1pcbUmtLp2tRqRU" // user
	argonPass  = "argon2:$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8"   // password
	sha256User = "sha256:gGh3RG+7V08UysICh+0/n/NgzrRnJb7WCM6pqwNnWbo="                                          // myuser
	sha256Pass = "sha256:6nHCWnpgIka0w5gkuFVniJSpb0O7m3ExnDlwCh4EUiI="                                          // mypass
)

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func allow(a router.Action, path string) []Permission {
	return []Permission{{Action: a, Path: path}}
}

// outcomes of a decision
const (
	yes = iota
	no
	ask // refused, and the client should send credentials
)

var decisions = []struct {
	name  string
	users []User
	req   router.AccessRequest
	want  int
	user  string // of the identity
}{
	{"no users", nil, router.AccessRequest{Action: "read", Path: "a"}, ask, ""},
	{"no users, credentials", nil, router.AccessRequest{Action: "read", Path: "a", User: "u"}, no, ""},

	{"anybody without credentials", []User{{Name: "any", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a"}, yes, ""},
	{"anybody with credentials that mean nothing", []User{{Name: "any", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "x", Pass: "y"}, yes, ""},
	{"anybody, another action", []User{{Name: "any", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "publish", Path: "a"}, ask, ""},
	{"anybody, no permissions", []User{{Name: "any"}},
		router.AccessRequest{Action: "read", Path: "a"}, ask, ""},
	{"anybody first, name wins", []User{
		{Name: "any", Permissions: allow("read", "")}, {Name: "u", Pass: "p", Permissions: allow("read", "")},
	}, router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "p"}, yes, "u"},

	{"plain", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "p"}, yes, "u"},
	{"plain, wrong password", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "q"}, no, ""},
	{"plain, no password", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "u"}, no, ""},
	{"plain, wrong name", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "v", Pass: "p"}, no, ""},
	{"plain, prefix of the password", []User{{Name: "u", Pass: "pass", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "pas"}, no, ""},
	{"plain, nothing sent", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a"}, ask, ""},
	{"plain, token only", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", Token: "t"}, no, ""},
	{"empty password", []User{{Name: "u", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "u"}, yes, "u"},
	{"empty password is not any password", []User{{Name: "u", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "p"}, no, ""},
	{"empty name", []User{{Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", Pass: "p"}, yes, ""},
	{"name of one user, password of another", []User{
		{Name: "u", Pass: "p", Permissions: allow("read", "")}, {Name: "v", Pass: "q", Permissions: allow("read", "")},
	}, router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "q"}, no, ""},
	{"same name twice, second password", []User{
		{Name: "u", Pass: "p", Permissions: allow("read", "")}, {Name: "u", Pass: "q", Permissions: allow("read", "")},
	}, router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "q"}, yes, "u"},
	{"the client sends the name of anybody", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "any"}, no, ""},

	{"sha256", []User{{Name: sha256User, Pass: sha256Pass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "myuser", Pass: "mypass"}, yes, "myuser"},
	{"sha256, wrong", []User{{Name: sha256User, Pass: sha256Pass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "myuser", Pass: "wrong"}, no, ""},
	{"sha256, the hash itself", []User{{Name: "u", Pass: sha256Pass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: sha256Pass}, no, ""},
	{"argon2", []User{{Name: argonUser, Pass: argonPass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "user", Pass: "password"}, yes, "user"},
	{"argon2, wrong password", []User{{Name: argonUser, Pass: argonPass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "user", Pass: "wrong"}, no, ""},
	{"argon2, wrong name", []User{{Name: argonUser, Pass: argonPass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "wrong", Pass: "password"}, no, ""},
	{"argon2, nothing sent", []User{{Name: argonUser, Pass: argonPass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a"}, ask, ""},
	{"plain name, argon2 password", []User{{Name: "u", Pass: argonPass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "password"}, yes, "u"},
	{"argon2 name, sha256 password", []User{{Name: argonUser, Pass: sha256Pass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "user", Pass: "mypass"}, yes, "user"},
	{"argon2 name, wrong sha256 password", []User{{Name: argonUser, Pass: sha256Pass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "user", Pass: "wrong"}, no, ""},
	{"unknown name does not profit from the decoy", []User{{Name: "u", Pass: argonPass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "v", Pass: "password"}, no, ""},
	{"plain beside argon2", []User{
		{Name: "v", Pass: argonPass, Permissions: allow("read", "")}, {Name: "u", Pass: "p", Permissions: allow("read", "")},
	}, router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "p"}, yes, "u"},

	{"exact path", []User{{Name: "any", Permissions: allow("publish", "cam")}},
		router.AccessRequest{Action: "publish", Path: "cam"}, yes, ""},
	{"another path", []User{{Name: "any", Permissions: allow("publish", "cam")}},
		router.AccessRequest{Action: "publish", Path: "cam2"}, ask, ""},
	{"regular expression", []User{{Name: "any", Permissions: allow("publish", "~^cam[0-9]$")}},
		router.AccessRequest{Action: "publish", Path: "cam2"}, yes, ""},
	{"regular expression that does not match", []User{{Name: "any", Permissions: allow("publish", "~^cam[0-9]$")}},
		router.AccessRequest{Action: "publish", Path: "cam22"}, ask, ""},
	{"regular expression without anchors", []User{{Name: "any", Permissions: allow("playback", "~am")}},
		router.AccessRequest{Action: "playback", Path: "camera"}, yes, ""},
	{"second permission", []User{{Name: "any", Permissions: append(allow("read", "a"), allow("read", "b")...)}},
		router.AccessRequest{Action: "read", Path: "b"}, yes, ""},
	{"permission of one user, credentials of another", []User{
		{Name: "u", Pass: "p", Permissions: allow("read", "a")}, {Name: "v", Pass: "q", Permissions: allow("read", "b")},
	}, router.AccessRequest{Action: "read", Path: "b", User: "u", Pass: "p"}, no, ""},
	{"api ignores the path of a permission", []User{{Name: "any", Permissions: allow("api", "cam")}},
		router.AccessRequest{Action: "api"}, yes, ""},
	{"metrics ignores a regular expression", []User{{Name: "any", Permissions: allow("metrics", "~^cam$")}},
		router.AccessRequest{Action: "metrics"}, yes, ""},
	{"pprof", []User{{Name: "any", Permissions: allow("pprof", "")}},
		router.AccessRequest{Action: "pprof"}, yes, ""},

	{"network", []User{{Name: "any", IPs: prefixes("10.0.0.0/8", "::1/128"), Permissions: allow("api", "")}},
		router.AccessRequest{Action: "api", Addr: netip.MustParseAddr("10.1.2.3")}, yes, ""},
	{"second network", []User{{Name: "any", IPs: prefixes("10.0.0.0/8", "::1/128"), Permissions: allow("api", "")}},
		router.AccessRequest{Action: "api", Addr: netip.MustParseAddr("::1")}, yes, ""},
	{"other network", []User{{Name: "any", IPs: prefixes("10.0.0.0/8", "::1/128"), Permissions: allow("api", "")}},
		router.AccessRequest{Action: "api", Addr: netip.MustParseAddr("11.1.2.3")}, ask, ""},
	{"other network, right credentials", []User{{Name: "u", Pass: "p", IPs: prefixes("10.0.0.0/8"), Permissions: allow("api", "")}},
		router.AccessRequest{Action: "api", User: "u", Pass: "p", Addr: netip.MustParseAddr("11.1.2.3")}, no, ""},
	{"IPv4 in IPv6", []User{{Name: "any", IPs: prefixes("127.0.0.1/32"), Permissions: allow("api", "")}},
		router.AccessRequest{Action: "api", Addr: netip.MustParseAddr("::ffff:127.0.0.1")}, yes, ""},
	{"network of IPv4 in IPv6", []User{{Name: "any", IPs: prefixes("::ffff:10.0.0.0/104"), Permissions: allow("api", "")}},
		router.AccessRequest{Action: "api", Addr: netip.MustParseAddr("10.9.9.9")}, yes, ""},
	{"address with a zone", []User{{Name: "any", IPs: prefixes("fe80::/10"), Permissions: allow("api", "")}},
		router.AccessRequest{Action: "api", Addr: netip.MustParseAddr("fe80::1%eth0")}, yes, ""},
	{"network with host bits", []User{{Name: "any", IPs: prefixes("10.1.2.3/8"), Permissions: allow("api", "")}},
		router.AccessRequest{Action: "api", Addr: netip.MustParseAddr("10.200.0.1")}, yes, ""},
	{"unknown address", []User{{Name: "any", IPs: prefixes("0.0.0.0/0", "::/0"), Permissions: allow("api", "")}},
		router.AccessRequest{Action: "api"}, ask, ""},

	{"digest", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", Verify: knows("u", "p")}, yes, "u"},
	{"digest, second user", []User{
		{Name: "u", Pass: "p", Permissions: allow("read", "")}, {Name: "v", Pass: "q", Permissions: allow("read", "")},
	}, router.AccessRequest{Action: "read", Path: "a", Verify: knows("v", "q")}, yes, "v"},
	{"digest, wrong", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", Verify: knows("u", "x")}, no, ""},
	{"digest, anybody", []User{{Name: "any", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", Verify: knows("u", "x")}, yes, ""},
	{"digest, user without permission", []User{
		{Name: "u", Pass: "p", Permissions: allow("publish", "")}, {Name: "v", Pass: "q", Permissions: allow("read", "")},
	}, router.AccessRequest{Action: "read", Path: "a", Verify: knows("u", "p")}, no, ""},
	{"digest, hashed password", []User{{Name: "u", Pass: sha256Pass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", Verify: knows("u", "mypass")}, no, ""},
	{"digest, hashed password as it is stored", []User{{Name: "u", Pass: sha256Pass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", Verify: knows("u", sha256Pass)}, no, ""},
	{"digest, hashed password seen as empty", []User{{Name: "u", Pass: argonPass, Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", Verify: knows("u", "")}, no, ""},
	{"digest wins over a name in the request", []User{{Name: "u", Pass: "p", Permissions: allow("read", "")}},
		router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "p", Verify: knows("u", "x")}, no, ""},
}

func knows(user, pass string) func(string, string) bool {
	return func(u, p string) bool { return u == user && p == pass }
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	for _, c := range decisions {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, err := NewInternal(c.users)
			if err != nil {
				t.Fatal(err)
			}
			id, err := a.Authenticate(t.Context(), &c.req)
			if c.want == yes {
				if err != nil || id.User != c.user {
					t.Fatalf("got %+v, %v; want user %q", id, err, c.user)
				}
				return
			}
			var ae *router.AuthError
			if !errors.As(err, &ae) {
				t.Fatalf("got %+v, %v; want an AuthError", id, err)
			}
			if id != (router.Identity{}) {
				t.Errorf("a refused client got the identity %+v", id)
			}
			if ae.AskCredentials != (c.want == ask) {
				t.Errorf("AskCredentials = %v", ae.AskCredentials)
			}
		})
	}
}

// Every other test sends the request once; here the second one finds the
// password among those that were right.
func TestRightPasswordsAreRemembered(t *testing.T) {
	t.Parallel()
	a := &Internal{Users: []User{{Name: "u", Pass: argonPass, Permissions: allow("read", "")}}}
	ask := func(ctx context.Context, pass string) error {
		_, err := a.Authenticate(ctx, &router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: pass})
		return err
	}
	if err := ask(t.Context(), "password"); err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ask(stopped, "password"); err != nil {
		t.Errorf("a remembered password was verified again: %v", err)
	}
	if err := ask(stopped, "wrong"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want a verification that the context ends", err)
	}
	if err := ask(t.Context(), "wrong"); err == nil {
		t.Error("a wrong password was accepted after a right one")
	}
}

// An unknown name takes a verification, as a wrong password does: both are
// stopped by a context that is over, which nothing but a verification looks at.
func TestUnknownNamesTakeAsLongAsKnownOnes(t *testing.T) {
	t.Parallel()
	a := &Internal{Users: []User{{Name: "u", Pass: argonPass, Permissions: allow("read", "")}}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, user := range []string{"u", "unknown"} {
		_, err := a.Authenticate(ctx, &router.AccessRequest{Action: "read", Path: "a", User: user, Pass: "wrong"})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", user, err)
		}
	}
}

func TestMemoryOfPasswordsIsBounded(t *testing.T) {
	t.Parallel()
	v := newVerifier()
	for i := range 2*maxRemembered + 1 {
		v.remember([32]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		if len(v.right) > maxRemembered {
			t.Fatalf("%d passwords are remembered", len(v.right))
		}
	}
}

// All slots are taken: a verification waits no longer than its context.
func TestVerificationsWaitForASlot(t *testing.T) {
	t.Parallel()
	a, err := NewInternal([]User{{Name: "u", Pass: argonPass, Permissions: allow("read", "")}})
	if err != nil {
		t.Fatal(err)
	}
	v := a.rules.argon2
	for range cap(v.slots) {
		v.slots <- struct{}{}
	}
	req := &router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "password"}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() {
		_, err := a.Authenticate(ctx, req)
		got <- err
	}()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	go func() {
		_, err := a.Authenticate(t.Context(), req)
		got <- err
	}()
	<-v.slots
	if err := <-got; err != nil {
		t.Errorf("after a slot became free: %v", err)
	}
}

func TestConcurrentFirstUse(t *testing.T) {
	t.Parallel()
	a := &Internal{Users: []User{
		{Name: "u", Pass: "p", Permissions: allow("read", "~^a")},
		{Name: "v", Pass: argonPass, Permissions: allow("read", "~^a")},
	}}
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			req := &router.AccessRequest{Action: "read", Path: "a", User: "u", Pass: "p"}
			if i%8 == 0 {
				req.User, req.Pass = "v", "password"
			}
			if _, err := a.Authenticate(t.Context(), req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestEqual(t *testing.T) {
	t.Parallel()
	make1 := func() *Internal {
		return &Internal{Users: []User{{
			Name: "u", Pass: "p", IPs: prefixes("10.0.0.0/8"), Permissions: allow("read", "~^a"),
		}}}
	}
	used := make1()
	if _, err := used.Authenticate(t.Context(), &router.AccessRequest{}); err == nil {
		t.Fatal("an empty request was allowed")
	}
	change := func(f func(*User)) *Internal {
		a := make1()
		f(&a.Users[0])
		return a
	}
	for _, c := range []struct {
		name string
		a    *Internal
		b    any
		want bool
	}{
		{"same", make1(), make1(), true},
		{"used", used, make1(), true},
		{"itself", used, used, true},
		{"empty and nil lists", &Internal{Users: []User{}}, &Internal{}, true},
		{"name", make1(), change(func(u *User) { u.Name = "v" }), false},
		{"password", make1(), change(func(u *User) { u.Pass = "q" }), false},
		{"network", make1(), change(func(u *User) { u.IPs = prefixes("10.0.0.0/9") }), false},
		{"permission", make1(), change(func(u *User) { u.Permissions[0].Path = "~^b" }), false},
		{"one more", make1(), &Internal{Users: append(make1().Users, User{Name: "any"})}, false},
		{"nil", make1(), (*Internal)(nil), false},
		{"both nil", nil, (*Internal)(nil), true},
		{"another type", make1(), router.AuthenticatorFunc(nil), false},
		{"nothing", make1(), nil, false},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestInvalidUsers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		user User
		want string
	}{
		{"anybody with a password", User{Name: "any", Pass: "hunter2"}, `user 0: user "any" stands for everybody and cannot have a password`},
		{"no name", User{}, `user 0: the name is empty`},
		{"hash of the name", User{Name: "sha256:hunter2"}, "user 0: name: sha256: must be followed by"},
		{"hash of the password", User{Name: "u", Pass: "argon2:hunter2"}, "user 0: password: argon2: must be followed by"},
		{"network", User{Name: "u", IPs: []netip.Prefix{{}}}, "user 0: network 0 is not a network"},
		{"action", User{Name: "u", Permissions: allow("watch", "")}, `user 0: permission 0: action "watch" is unknown; it must be publish, read`},
		{"regular expression", User{Name: "u", Permissions: allow("read", "~(")}, `user 0: permission 0: path "~(" is not a valid regular expression`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := &Internal{Users: []User{c.user}}
			err := a.Validate()
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error holds the credential: %v", err)
			}
			if _, err := NewInternal(a.Users); err == nil {
				t.Error("NewInternal accepted it")
			}
			// A literal that nobody validated refuses everybody.
			req := &router.AccessRequest{Action: "read", User: c.user.Name, Pass: c.user.Pass}
			var ae *router.AuthError
			if _, err := a.Authenticate(t.Context(), req); !errors.As(err, &ae) || ae.AskCredentials {
				t.Errorf("Authenticate: %v", err)
			}
		})
	}
}

func TestValidateReportsEverything(t *testing.T) {
	t.Parallel()
	err := (&Internal{Users: []User{
		{Name: "any", Permissions: allow("read", "")},
		{Name: "u", Pass: "sha256:x", Permissions: append(allow("a", ""), allow("b", "")...)},
		{Name: "argon2:x"},
	}}).Validate()
	const want = 4
	if err == nil || len(strings.Split(err.Error(), "\n")) != want {
		t.Errorf("got %v; want %d problems", err, want)
	}
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	t.Parallel()
	u := User{Name: "camera7", Pass: "hunter2", Permissions: allow("read", "p")}
	var log strings.Builder
	l := slog.New(slog.NewTextHandler(&log, nil))
	l.Info("x", "user", u)
	l.Info("x", "auth", &Internal{Users: []User{u}})
	a := &Internal{Users: []User{u}}
	_, refused := a.Authenticate(t.Context(), &router.AccessRequest{Action: "read", Path: "p", User: "camera7", Pass: "hunter3"})
	for _, s := range []string{
		log.String(), fmt.Sprint(u), fmt.Sprintf("%+v", u), fmt.Sprintf("%#v", u), fmt.Sprintf("%v", []User{u}),
		fmt.Sprintf("%+v", a), refused.Error(),
	} {
		if strings.Contains(s, "hunter") || strings.Contains(s, "camera7") {
			t.Errorf("credentials in %q", s)
		}
	}
	if s := u.String(); !strings.Contains(s, "read") {
		t.Errorf("nothing about permissions in %q", s)
	}
}

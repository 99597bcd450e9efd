// Package auth decides who may publish, read and administer: from a list of
// users ([Internal]), by asking an HTTP service ([HTTP]), or by JSON Web Tokens
// ([JWT]). Each is an authenticator for router.Config:
//
//	cfg.Auth = &auth.HTTP{URL: "http://localhost:9000/auth"}
//	cfg.Auth = &auth.JWT{JWKS: "https://id.example.org/jwks"}
//
// An Internal is plain configuration:
//
//	cfg.Auth = &auth.Internal{Users: []auth.User{
//		{
//			Name:        "any", // everybody, with or without credentials
//			Permissions: []auth.Permission{{Action: router.ActionRead}},
//		},
//		{
//			Name:        "camera",
//			Pass:        "sha256:" + base64OfTheHash,
//			IPs:         []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
//			Permissions: []auth.Permission{{Action: router.ActionPublish, Path: "~^cam[0-9]+$"}},
//		},
//	}}
//
// A request is allowed if one user fits in all respects: the user has a
// permission for the action (and the path, where the action has one), the
// request comes from one of the networks of the user, and the client knows the
// name and the password. Everything else is refused with a [*router.AuthError].
// An empty list refuses everything.
//
// # Stored credentials
//
// Names and passwords are written in one of three ways:
//
//	secret                    as they are
//	sha256:BASE64             standard base64 of the SHA-256 hash
//	argon2:$argon2id$v=19...  encoded Argon2id or Argon2i hash
//
// SHA-256 hides a credential from who reads the configuration by chance; Argon2
// also resists who tries to find it:
//
//	echo -n "secret" | openssl dgst -binary -sha256 | openssl base64
//	echo -n "secret" | argon2 saltItWithSalt -id -l 32 -e
//
// RTSP digest authentication works with credentials that are stored as they are
// only: it proves that the client knows the password without revealing it, so
// that there is nothing to hash. Users with a hashed name or password are not
// considered for such requests.
//
// # Attacks
//
// Comparisons take the same time whatever the client sends. Argon2 is slow and
// takes memory on purpose; therefore no more verifications than there are CPUs
// run at once, the others wait as long as their context allows, and passwords
// that were right are remembered (as a keyed hash, in memory). Who guesses names
// meets the same Argon2 work for an unknown name as for a wrong password. The
// pause after wrong credentials is the business of the router
// (Config.AuthPause). Prefer hashed passwords over hashed names: every hashed
// name has to be tried for every request.
package auth

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/org/mtx/router"
)

// Anybody is the name of the user that stands for every client, also for those
// without credentials. It has no password.
const Anybody = "any"

// Permission allows an action.
type Permission struct {
	// Action that is allowed.
	Action router.Action

	// Path restricts publish, read and playback to one path, or to those that
	// match a regular expression if it begins with "~". Empty means any path.
	// Other actions have no path and ignore it.
	Path string
}

// User is a client, or a group of clients that share credentials.
//
// It can be printed and logged: the credentials are left out.
type User struct {
	// Name is [Anybody], or the name that the client must send, possibly hashed.
	Name string

	// Pass is the password that the client must send, possibly hashed. Empty
	// means an empty password, not any password.
	Pass string

	// IPs are the networks that the client may come from. Empty means all.
	IPs []netip.Prefix

	// Permissions are what the user may do.
	Permissions []Permission
}

// String describes the user without credentials.
func (u User) String() string {
	who := "named user"
	if u.Name == Anybody {
		who = "any user"
	}
	return fmt.Sprintf("{%s, IPs: %v, permissions: %v}", who, u.IPs, u.Permissions)
}

// GoString is String, so that %#v hides credentials too.
func (u User) GoString() string { return u.String() }

// LogValue implements slog.LogValuer without credentials.
func (u User) LogValue() slog.Value { return slog.StringValue(u.String()) }

func (u User) equal(v User) bool {
	return u.Name == v.Name && u.Pass == v.Pass &&
		slices.Equal(u.IPs, v.IPs) && slices.Equal(u.Permissions, v.Permissions)
}

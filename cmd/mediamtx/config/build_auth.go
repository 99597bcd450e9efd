package config

import (
	"context"
	"reflect"
	"regexp"
	"strings"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/router"
)

// pathAuth gives each path users of its own, for the deprecated credentials of
// paths. A single list of users could not do it: what lets anybody into
// "all_others" would let anybody into every path.
type pathAuth struct {
	exact   map[string]*auth.Internal
	regexps []regexpAuth // in the order in which the router tries them
	others  *auth.Internal
	server  *auth.Internal // actions without a path
}

type regexpAuth struct {
	re    *regexp.Regexp
	users *auth.Internal
}

// Authenticate implements router.Authenticator.
func (a *pathAuth) Authenticate(ctx context.Context, q *router.AccessRequest) (router.Identity, error) {
	return a.find(q).Authenticate(ctx, q)
}

// Equal implements the comparison of the router.
func (a *pathAuth) Equal(other any) bool {
	b, ok := other.(*pathAuth)
	return ok && reflect.DeepEqual(a.users(), b.users())
}

// users returns everything that decides, in comparable form.
func (a *pathAuth) users() map[string][]auth.User {
	m := map[string][]auth.User{"others": a.others.Users, "server": a.server.Users}
	for name, u := range a.exact {
		m["="+name] = u.Users
	}
	for _, r := range a.regexps {
		m["~"+r.re.String()] = r.users.Users
	}
	return m
}

// find returns the users of the path that the router will choose for a name.
func (a *pathAuth) find(q *router.AccessRequest) *auth.Internal {
	switch q.Action {
	case router.ActionPublish, router.ActionRead, router.ActionPlayback:
	default:
		return a.server
	}
	if u, ok := a.exact[q.Path]; ok {
		return u
	}
	for _, r := range a.regexps {
		if r.re.MatchString(q.Path) {
			return r.users
		}
	}
	return a.others
}

func (d *Document) buildPathAuth() (*pathAuth, error) {
	a := &pathAuth{exact: map[string]*auth.Internal{}}
	var err error
	if a.server, err = buildInternal([]User{localOperator()}); err != nil {
		return nil, err
	}
	// Names that match no path are refused by the router; so are they here.
	if a.others, err = buildInternal(nil); err != nil {
		return nil, err
	}
	for _, name := range d.pathNames() {
		p := d.Paths[name]
		users, err := buildInternal(legacyUsers(&p))
		if err != nil {
			return nil, err
		}
		switch {
		case isCatchAll(name):
			a.others = users
		case strings.HasPrefix(name, "~"):
			re, err := regexp.Compile(name[1:])
			if err != nil {
				return nil, err
			}
			a.regexps = append(a.regexps, regexpAuth{re, users})
		default:
			a.exact[name] = users
		}
	}
	return a, nil
}

// legacyUsers are the users of one path.
func legacyUsers(p *Path) []User {
	user := func(name, pass string, ips []IPNetwork, actions ...Action) User {
		if name == "" {
			name = auth.Anybody
		}
		u := User{User: name, Pass: pass, IPs: ips}
		for _, a := range actions {
			u.Permissions = append(u.Permissions, Permission{Action: a})
		}
		return u
	}
	return []User{
		user(p.PublishUser, p.PublishPass, p.PublishIPs, "publish"),
		user(p.ReadUser, p.ReadPass, p.ReadIPs, "read", "playback"),
	}
}

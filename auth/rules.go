package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/org/mtx/router"
)

// ruleset is a list of users that was validated, ready for decisions.
type ruleset struct {
	rules  []rule
	argon2 *verifier
}

// rule is a user.
type rule struct {
	anybody    bool
	name, pass credential
	nets       []netip.Prefix
	allows     []permission
}

// permission is a [Permission] whose path is ready to be matched.
type permission struct {
	action router.Action
	path   string         // exact; empty means any
	re     *regexp.Regexp // in place of path
}

func compile(users []User) (*ruleset, error) {
	set := &ruleset{rules: make([]rule, len(users)), argon2: newVerifier()}
	var errs []error
	for i := range users {
		for _, err := range set.rules[i].compile(&users[i]) {
			errs = append(errs, fmt.Errorf("user %d: %w", i, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return set, nil
}

func (r *rule) compile(u *User) (errs []error) {
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	var err error
	switch r.anybody = u.Name == Anybody; {
	case r.anybody && u.Pass != "":
		bad("user %q stands for everybody and cannot have a password", Anybody)
	case u.Name == "" && u.Pass == "":
		bad("the name is empty; %q stands for everybody", Anybody)
	}
	if r.name, err = parseCredential(u.Name); err != nil {
		bad("name: %w", err)
	}
	if r.pass, err = parseCredential(u.Pass); err != nil {
		bad("password: %w", err)
	}
	for i, p := range u.IPs {
		if !p.IsValid() {
			bad("network %d is not a network", i)
		}
		r.nets = append(r.nets, unmap(p))
	}
	for i, p := range u.Permissions {
		perm, err := compilePermission(p)
		if err != nil {
			bad("permission %d: %w", i, err)
		}
		r.allows = append(r.allows, perm)
	}
	return errs
}

func compilePermission(p Permission) (permission, error) {
	out := permission{action: p.Action, path: p.Path}
	switch p.Action {
	case router.ActionAPI, router.ActionMetrics, router.ActionPprof:
		return permission{action: p.Action}, nil
	case router.ActionPublish, router.ActionRead, router.ActionPlayback:
	default:
		return out, fmt.Errorf("action %q is unknown; it must be publish, read, playback, api, metrics or pprof", p.Action)
	}
	if expr, ok := strings.CutPrefix(p.Path, "~"); ok {
		re, err := regexp.Compile(expr)
		if err != nil {
			return out, fmt.Errorf("path %q is not a valid regular expression: %w", p.Path, err)
		}
		out.re = re
	}
	return out, nil
}

// unmap turns a network of IPv4 addresses mapped to IPv6 into one of IPv4.
func unmap(p netip.Prefix) netip.Prefix {
	const mapped = 96 // bits of ::ffff:0:0/96
	if p.IsValid() && p.Addr().Is4In6() && p.Bits() >= mapped {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p
}

// candidates are the users that may do what is asked, from where it is asked,
// whoever the client turns out to be.
func (r *ruleset) candidates(req *router.AccessRequest) []*rule {
	addr := req.Addr.Unmap().WithZone("")
	var out []*rule
	for i := range r.rules {
		u := &r.rules[i]
		if u.from(addr) && u.may(req.Action, req.Path) {
			out = append(out, u)
		}
	}
	return out
}

func (r *rule) from(addr netip.Addr) bool {
	return len(r.nets) == 0 || slices.ContainsFunc(r.nets, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (r *rule) may(action router.Action, path string) bool {
	return slices.ContainsFunc(r.allows, func(p permission) bool {
		switch {
		case p.action != action:
			return false
		case p.re != nil:
			return p.re.MatchString(path)
		}
		return p.path == "" || p.path == path
	})
}

// verb phrases an action for messages.
func verb(a router.Action) string {
	switch a {
	case router.ActionPublish, router.ActionRead:
		return string(a)
	case router.ActionPlayback:
		return "play back"
	case router.ActionAPI, router.ActionMetrics, router.ActionPprof:
		return "use " + string(a)
	}
	return fmt.Sprintf("do %q", string(a))
}

func origin(a netip.Addr) string {
	if !a.IsValid() {
		return "an unknown address"
	}
	return a.Unmap().String()
}

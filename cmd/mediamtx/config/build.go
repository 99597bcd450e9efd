package config

import (
	"fmt"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/router"
)

// Build translates the document into the configuration of a router. It opens
// and changes nothing.
func (d *Document) Build() (router.Config, error) {
	c := router.Config{QueueSize: d.WriteQueueSize}
	c.Protocols = d.buildProtocols()
	a, err := d.buildAuth()
	if err != nil {
		return router.Config{}, err
	}
	c.Auth = a
	for _, name := range d.pathNames() {
		p := d.Paths[name]
		c.Paths = append(c.Paths, d.buildPath(&p))
	}
	if err := c.Validate(); err != nil {
		return router.Config{}, err
	}
	return c, nil
}

// buildAuth returns who decides. Methods that this version does not have are
// refused: to fall back on another would let in whoever it knows.
func (d *Document) buildAuth() (router.Authenticator, error) {
	if d.AuthMethod != "internal" {
		return nil, fmt.Errorf("authMethod %q: this version supports internal only", d.AuthMethod)
	}
	for _, p := range d.Paths {
		if p.hasCredentials() {
			return d.buildPathAuth()
		}
	}
	return buildInternal(d.AuthInternalUsers)
}

func buildInternal(users []User) (*auth.Internal, error) {
	out := make([]auth.User, len(users))
	for i, u := range users {
		out[i] = auth.User{Name: u.User, Pass: u.Pass, IPs: prefixes(u.IPs)}
		for _, p := range u.Permissions {
			out[i].Permissions = append(out[i].Permissions, auth.Permission{Action: router.Action(p.Action), Path: p.Path})
		}
	}
	a := &auth.Internal{Users: out}
	if err := a.Validate(); err != nil {
		return nil, fmt.Errorf("authInternalUsers: %w", err)
	}
	return a, nil
}

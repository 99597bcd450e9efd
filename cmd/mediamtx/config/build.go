package config

import (
	"fmt"
	"time"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
)

// Build translates the document into the configuration of a router. It opens
// and changes nothing.
func (d *Document) Build() (router.Config, error) {
	return d.BuildWith(Shared{Recording: &record.State{}})
}

// BuildWith is Build for a router that has a configuration already: s is the same
// each time.
func (d *Document) BuildWith(s Shared) (router.Config, error) {
	c := router.Config{QueueSize: d.WriteQueueSize}
	c.Protocols = d.buildProtocols(s)
	if cleaner := d.buildCleaner(s); cleaner != nil {
		c.Protocols = append(c.Protocols, cleaner)
	}
	a, err := d.buildAuth()
	if err != nil {
		return router.Config{}, err
	}
	c.Auth = a
	for _, name := range d.pathNames() {
		p := d.Paths[name]
		pc := d.buildPath(&p, s)
		if pc.Standby, err = buildStandby(&p); err != nil {
			return router.Config{}, fmt.Errorf("path %q: alwaysAvailable: %w", name, err)
		}
		if p.Record {
			pc.Sinks = append(pc.Sinks, buildRecorder(&p, s))
		}
		c.Paths = append(c.Paths, pc)
	}
	if err := c.Validate(); err != nil {
		return router.Config{}, err
	}
	return c, nil
}

// buildAuth returns who decides.
func (d *Document) buildAuth() (router.Authenticator, error) {
	switch d.AuthMethod {
	case "http":
		return checked("authHTTP", &auth.HTTP{
			URL: d.AuthHTTPAddress, Fingerprint: d.AuthHTTPFingerprint,
			Exclude: permissions(d.AuthHTTPExclude), CacheFor: time.Duration(d.AuthHTTPCacheDuration),
		})
	case "jwt":
		return checked("authJWT", &auth.JWT{
			JWKS: d.AuthJWTJWKS, Fingerprint: d.AuthJWTJWKSFingerprint, ClaimKey: d.AuthJWTClaimKey,
			Issuer: d.AuthJWTIssuer, Audience: d.AuthJWTAudience,
			Exclude: permissions(d.AuthJWTExclude), KickOnExpiry: d.AuthJWTKickOnExpiry,
		})
	}
	for _, p := range d.Paths {
		if p.hasCredentials() {
			return d.buildPathAuth()
		}
	}
	return buildInternal(d.AuthInternalUsers)
}

// checked returns an authenticator that is valid.
func checked(keys string, a interface {
	router.Authenticator
	Validate() error
},
) (router.Authenticator, error) {
	if err := a.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", keys, err)
	}
	return a, nil
}

func permissions(list []Permission) []auth.Permission {
	var out []auth.Permission
	for _, p := range list {
		out = append(out, auth.Permission{Action: router.Action(p.Action), Path: p.Path})
	}
	return out
}

func buildInternal(users []User) (*auth.Internal, error) {
	out := make([]auth.User, len(users))
	for i, u := range users {
		out[i] = auth.User{Name: u.User, Pass: u.Pass, IPs: prefixes(u.IPs)}
		out[i].Permissions = permissions(u.Permissions)
	}
	a := &auth.Internal{Users: out}
	if err := a.Validate(); err != nil {
		return nil, fmt.Errorf("authInternalUsers: %w", err)
	}
	return a, nil
}

package controlapi

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

var errOrigin = errors.New("pages of this origin may not change anything: it is not among those that are allowed by name")

// guard keeps pages of other sites, which an operator visits, from changing
// anything.
func guard(trusted []string, next http.Handler) http.Handler {
	hosts := map[string]bool{}
	g := http.NewCrossOriginProtection()
	for _, origin := range trusted {
		if origin == "*" {
			continue
		}
		_ = g.AddTrustedOrigin(origin) // patterns are no origins, and admit nobody
		if u, err := url.Parse(origin); err == nil {
			hosts[strings.ToLower(u.Host)] = true
		}
	}
	deny := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusForbidden, errOrigin)
	})
	g.SetDenyHandler(deny)
	return g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if maybeRebound(r) && !hosts[strings.ToLower(r.Host)] {
			deny(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// maybeRebound tells whether a page may want to change something whose own name
// leads here all of a sudden (DNS rebinding), so that its browser sees one origin
// only. Addresses are no names, and names without a dot are those of a local
// network.
func maybeRebound(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
		return false // no browser
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err != nil && strings.Contains(host, ".")
}

package httpserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// What pages of other origins may send and see.
const (
	corsMethods = "OPTIONS, GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, If-Match, Range"
	corsExposed = "Accept-Patch, Content-Length, Content-Range, ETag, ID, Link, Location"
	corsMaxAge  = "7200" // seconds, the most that browsers accept
)

const (
	// maxOrigin is the longest origin that is looked at: a scheme, a host name of
	// 253 characters, a port.
	maxOrigin = 300

	// maxStars bounds the work for an origin.
	maxStars = 3
)

func validateOrigins(origins []string) error {
	for _, o := range origins {
		if o == "*" {
			continue
		}
		if strings.Count(o, "*") > maxStars {
			return fmt.Errorf("allowed origin %q: at most %d asterisks are accepted", o, maxStars)
		}
		u, err := url.Parse(strings.ReplaceAll(strings.ReplaceAll(o, ":*", ""), "*", "x"))
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
			return fmt.Errorf("allowed origin %q: must be *, or a scheme and a host such as https://*.example.com", o)
		}
	}
	return nil
}

// cors adds the headers of CORS. It returns true for preflight requests, which
// are answered by them and need no credentials.
func (g *guard) cors(h http.Header, r *http.Request) (preflight bool) {
	origin := r.Header.Get("Origin")
	allowed := allowOrigin(g.allowOrigins, origin)
	if len(g.allowOrigins) > 1 || g.allowOrigins[0] != "*" {
		h.Add("Vary", "Origin")
	}
	switch allowed {
	case "":
	case "*":
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		h.Set("Access-Control-Allow-Origin", allowed)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method == http.MethodOptions && origin != "" && r.Header.Get("Access-Control-Request-Method") != "" {
		if allowed != "" {
			h.Set("Access-Control-Allow-Methods", corsMethods)
			h.Set("Access-Control-Allow-Headers", corsHeaders)
			h.Set("Access-Control-Max-Age", corsMaxAge)
		}
		return true
	}
	if allowed != "" && origin != "" {
		h.Set("Access-Control-Expose-Headers", corsExposed)
	}
	return false
}

// allowOrigin returns the origin if a pattern names it, "*" if only that admits
// it, otherwise "".
func allowOrigin(patterns []string, origin string) string {
	out := ""
	for _, p := range patterns {
		switch {
		case p == "*":
			out = "*"
		case origin != "" && len(origin) <= maxOrigin && allows(strings.ToLower(p), strings.ToLower(origin)):
			return origin
		}
	}
	return out
}

// allows lets any port be the default one, too, which origins do not name.
func allows(pattern, origin string) bool {
	host, anyPort := strings.CutSuffix(pattern, ":*")
	return matchOrigin(pattern, origin) || anyPort && matchOrigin(host, origin)
}

// matchOrigin matches a pattern in which * stands for one or more characters of
// a host name or a port.
func matchOrigin(pattern, origin string) bool {
	head, tail, ok := strings.Cut(pattern, "*")
	if !ok {
		return pattern == origin
	}
	rest, ok := strings.CutPrefix(origin, head)
	if !ok {
		return false
	}
	for i := 0; i < len(rest) && isHostByte(rest[i]); i++ {
		if matchOrigin(tail, rest[i+1:]) {
			return true
		}
	}
	return false
}

func isHostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.'
}

package whipclient

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Protocol is what is spoken with the server. It is also the scheme of its URLs;
// with an s behind it, HTTPS carries it.
type Protocol string

// Protocols.
const (
	WHIP Protocol = "whip" // the client sends media
	WHEP Protocol = "whep" // the client receives media
)

// parseURL reads a URL of the protocol and turns it into one of HTTP.
// Errors never show credentials.
func parseURL(s string, p Protocol) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		text, _, _ := strings.Cut(err.Error(), `"`) // what follows quotes the URL
		return nil, fmt.Errorf("the URL is invalid: %s", strings.TrimSpace(text))
	}
	if u.Scheme != string(p) && u.Scheme != string(p)+"s" {
		got := u.Scheme
		if u.Opaque != "" {
			got = "" // no scheme; it may be anything
		}
		return nil, fmt.Errorf("the scheme of the URL is %.20q: it must be %s or %ss", got, p, p)
	}
	if u.Hostname() == "" {
		return nil, errors.New("the URL has no host")
	}
	out := &url.URL{Scheme: "http", User: u.User, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	if u.Scheme != string(p) {
		out.Scheme = "https"
	}
	if out.Path == "" {
		out.Path = "/"
	}
	return out, nil
}

// origin is scheme, host and port.
func origin(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// entitled tells whether a URL may get the credentials that were given for home:
// it has the same origin, or is the same host with encryption added.
func entitled(home, u *url.URL) bool {
	if origin(home) == origin(u) {
		return true
	}
	return home.Scheme == "http" && u.Scheme == "https" && strings.EqualFold(home.Hostname(), u.Hostname())
}

// sessionURL resolves the Location of a session. The result is always at the
// origin of the request: proxies that end TLS make servers tell a scheme and a
// port which are not those of clients. It is nil if the session is on another
// host, which gets nothing: the address may be one that only we can reach.
func sessionURL(request *url.URL, location string) *url.URL {
	if location == "" {
		return nil
	}
	u, err := request.Parse(location)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.EqualFold(u.Hostname(), request.Hostname()) {
		return nil
	}
	return &url.URL{Scheme: request.Scheme, Host: request.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
}

// redirectURL resolves the Location of a redirect.
func redirectURL(request *url.URL, location string) (*url.URL, error) {
	u, err := request.Parse(location)
	switch {
	case location == "" || err != nil || u.Hostname() == "":
		return nil, errors.New("the server redirects to an address that is missing or invalid")
	case u.Scheme == "https", u.Scheme == "http" && request.Scheme == "http":
		u.User, u.Fragment, u.RawFragment = nil, "", "" // it is not for the server to give credentials
		return u, nil
	case u.Scheme == "http":
		return nil, errors.New("the server redirects from HTTPS to HTTP, which is refused")
	}
	return nil, fmt.Errorf("the server redirects to an address with the scheme %.20q: http and https are accepted", u.Scheme)
}

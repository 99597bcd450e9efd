package rtmpconn

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// URL is the address of a stream on a server.
type URL struct {
	// Secure is set for rtmps.
	Secure bool
	// Addr is host and port. Host is without port.
	Addr, Host string
	// App is the application, Key is the stream key, both with their query.
	App, Key string
	// User and Pass are credentials for the server's challenge.
	User, Pass string

	path    string // for logs
	last    string // segment of path, if it is the key
	hideKey bool   // who knows the key may publish
}

// ParseURL reads rtmp://user:pass@host:port/app/key?query and
// rtmp://user:pass@host:port/app?query#key. Without a fragment, the last element
// of the path is the key, unless it is the only one. Errors never show
// credentials.
func ParseURL(s string) (*URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		text, _, _ := strings.Cut(err.Error(), `"`) // what follows quotes the URL
		return nil, fmt.Errorf("the URL is invalid: %s", strings.TrimSpace(text))
	}
	out := &URL{Secure: u.Scheme == "rtmps", Host: u.Hostname(), path: u.Path}
	port := u.Port()
	switch {
	case u.Scheme != "rtmp" && u.Scheme != "rtmps":
		return nil, fmt.Errorf("the scheme of the URL is %.20q: it must be rtmp or rtmps", u.Scheme)
	case out.Host == "":
		return nil, errors.New("the URL has no host")
	case port == "" && out.Secure:
		port = "443"
	case port == "":
		port = "1935"
	}
	out.Addr = net.JoinHostPort(out.Host, port)
	if u.User != nil {
		out.User = u.User.Username()
		out.Pass, _ = u.User.Password()
	}
	out.split(u)
	return out, nil
}

func (u *URL) split(from *url.URL) {
	query := ""
	if from.RawQuery != "" {
		query = "?" + from.RawQuery
	}
	path := strings.Trim(from.EscapedPath(), "/")
	last := strings.LastIndexByte(path, '/')
	switch {
	case from.Fragment != "":
		u.App, u.Key = path+query, from.Fragment
	case last < 0:
		u.App = path + query
	default:
		u.App, u.Key = path[:last], path[last+1:]+query
		plain := strings.TrimRight(from.Path, "/")
		u.last = plain[strings.LastIndexByte(plain, '/')+1:]
	}
}

// tcURL is the URL of the application, without credentials.
func (u *URL) tcURL() string {
	scheme := "rtmp"
	if u.Secure {
		scheme = "rtmps"
	}
	host := u.Addr
	if port := ":1935"; !u.Secure {
		host = strings.TrimSuffix(host, port)
	}
	return scheme + "://" + host + "/" + u.App
}

// String returns what may be shown: no credentials, no query, no fragment, and no
// stream key of a publisher.
func (u *URL) String() string {
	scheme := "rtmp"
	if u.Secure {
		scheme = "rtmps"
	}
	path := u.path
	if u.hideKey {
		path = strings.TrimSuffix(strings.TrimRight(path, "/"), u.last)
	}
	return (&url.URL{Scheme: scheme, Host: u.Addr, Path: path}).String()
}

// redact removes what is secret in the URL from a text.
func (u *URL) redact(text string) string {
	_, appQuery := cutQuery(u.App)
	_, keyQuery := cutQuery(u.Key)
	secrets := []string{u.Pass, url.QueryEscape(u.Pass), appQuery, keyQuery}
	switch {
	case u.last == "":
		secrets = append(secrets, u.Key) // from the fragment
	case u.hideKey:
		key, _ := cutQuery(u.Key)
		secrets = append(secrets, key, u.last)
	}
	for _, s := range secrets {
		if len(s) >= 3 { // shorter ones are found everywhere
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	return text
}

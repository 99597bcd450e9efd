package rtspclient

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
)

// schemes are what may stand in front of a URL: the scheme inside RTSP requests,
// and what carries them.
func schemes(s string) (scheme string, tunnel gortsplib.Tunnel, ok bool) {
	scheme, carrier, _ := strings.Cut(strings.ToLower(s), "+")
	if scheme != "rtsp" && scheme != "rtsps" {
		return "", 0, false
	}
	switch {
	case !strings.Contains(s, "+"):
		return scheme, gortsplib.TunnelNone, true
	case carrier == "http":
		return scheme, gortsplib.TunnelHTTP, true
	case carrier == "ws":
		return scheme, gortsplib.TunnelWebSocket, true
	}
	return "", 0, false
}

// ParseURL reads the URL of a stream: rtsp, rtsps, rtsp+http, rtsps+http, rtsp+ws
// or rtsps+ws. The result has the scheme rtsp or rtsps.
//
// Credentials may hold any character. Those with a meaning in URLs are
// percent-encoded by careful users; they are understood as they are too, as long
// as it can be told where the host begins.
//
// Errors never show credentials.
func ParseURL(s string) (*base.URL, gortsplib.Tunnel, error) {
	before, rest, ok := strings.Cut(s, "://")
	scheme, tunnel, known := schemes(before)
	if !ok || !known {
		if len(before) > 20 || !ok || strings.ContainsAny(before, ":@/") {
			before = "" // no scheme; it may be anything
		}
		return nil, 0, fmt.Errorf(
			"the scheme of the URL is %q: it must be rtsp, rtsps, rtsp+http, rtsps+http, rtsp+ws or rtsps+ws", before)
	}
	userinfo, rest := cutUserinfo(rest)
	u, err := url.Parse(scheme + "://" + escapeZone(rest))
	switch {
	case err != nil:
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the text of the URL
		}
		return nil, 0, fmt.Errorf("the URL is invalid: %w", safe(err))
	case u.Hostname() == "":
		return nil, 0, errors.New("the URL has no host")
	case u.Fragment != "" || strings.Contains(rest, "#"):
		return nil, 0, errors.New("the URL has a fragment: a # must be written as %23")
	}
	if userinfo != "" {
		name, pass, has := strings.Cut(userinfo, ":")
		if has {
			u.User = url.UserPassword(unescape(name), unescape(pass))
		} else {
			u.User = url.User(unescape(name))
		}
	}
	return (*base.URL)(u), tunnel, nil
}

// cutUserinfo separates the credentials from host, path and query. In a valid URL
// they end with the last @ before the path. If what stands there is not a host,
// then they hold a /, ? or #, and end with the first @ that a host follows.
func cutUserinfo(s string) (userinfo, rest string) {
	end := strings.IndexAny(s, "/?#")
	if end < 0 {
		end = len(s)
	}
	last := strings.LastIndexByte(s[:end], '@')
	if isHost(s[last+1 : end]) {
		return s[:max(last, 0)], s[last+1:]
	}
	for i := end; i < len(s); i++ {
		if s[i] != '@' {
			continue
		}
		host := s[i+1:]
		if j := strings.IndexAny(host, "/?#"); j >= 0 {
			host = host[:j]
		}
		if !strings.Contains(host, "@") && isHost(host) {
			return s[:i], s[i+1:]
		}
	}
	return s[:max(last, 0)], s[last+1:] // the host is invalid, and will be refused
}

// isHost tells whether s is a host with an optional port.
func isHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		return strings.Contains(s, "]")
	}
	host, port, has := strings.Cut(s, ":")
	if has {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
	}
	return host != "" && !strings.ContainsAny(host, " \"<>[]{}|\\^`%@:/?#=&+")
}

// escapeZone writes the zone of an IPv6 address as RFC 6874 wants it.
func escapeZone(s string) string {
	if !strings.HasPrefix(s, "[") {
		return s
	}
	end := strings.IndexByte(s, ']')
	zone := strings.IndexByte(s, '%')
	if zone < 0 || zone > end || strings.HasPrefix(s[zone:], "%25") {
		return s
	}
	return s[:zone] + "%25" + s[zone+1:]
}

// unescape decodes a percent-encoded text; a text which is not is taken as it is.
func unescape(s string) string {
	if v, err := url.PathUnescape(s); err == nil {
		return v
	}
	return s
}

package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/org/mtx/router"
)

// family is a group of URL schemes that one kind of source or sink serves.
type family string

const (
	familyRTSP   family = "rtsp"
	familyRTMP   family = "rtmp"
	familyHLS    family = "hls"
	familyMPEGTS family = "mpegts"
	familyRTP    family = "rtp"
	familySRT    family = "srt"
	familyWHEP   family = "whep"
	familyWHIP   family = "whip" // destinations only
	familyMoQ    family = "moq"
	familyCamera family = "rpiCamera"
)

// Sources that are no URL.
const (
	sourcePublisher = "publisher"
	sourceRedirect  = "redirect"
	sourceCamera    = "rpiCamera"
)

// inForce tells whether streams of the family can be pulled by this version.
func (f family) inForce() bool {
	switch f {
	case familyRTSP, familyRTMP, familyHLS, familyMPEGTS, familyRTP, familySRT, familyWHEP, familyCamera:
		return true
	}
	return false
}

func familyOf(scheme string) family {
	switch scheme {
	case "rtsp", "rtsps", "rtsp+http", "rtsps+http", "rtsp+ws", "rtsps+ws":
		return familyRTSP
	case "rtmp", "rtmps":
		return familyRTMP
	case "http", "https":
		return familyHLS
	case "udp", "udp+mpegts", "unix+mpegts":
		return familyMPEGTS
	case "udp+rtp", "unix+rtp":
		return familyRTP
	case "srt":
		return familySRT
	case "whep", "wheps":
		return familyWHEP
	case "moqt":
		return familyMoQ
	}
	return ""
}

// sourceFamily returns the family of a key "source"; empty for publisher and
// redirect.
func sourceFamily(source string) family {
	if source == sourceCamera {
		return familyCamera
	}
	scheme, _, ok := strings.Cut(source, "://")
	if !ok {
		return ""
	}
	return familyOf(scheme)
}

const schemeList = "rtsp, rtsps, rtsp+http, rtsps+http, rtsp+ws, rtsps+ws, rtmp, rtmps, http, https, " +
	"udp+mpegts, unix+mpegts, udp+rtp, unix+rtp, srt, whep, wheps, moqt"

// variable matches what is replaced when a source is started.
var variable = regexp.MustCompile(`\$(G[0-9]+|MTX_[A-Z_]+)`)

// checkSource tells what is wrong with a key "source".
func checkSource(s string) error {
	switch s {
	case sourcePublisher, sourceRedirect, sourceCamera:
		return nil
	}
	f := sourceFamily(s)
	if f == "" {
		return errors.New("must be publisher, redirect, rpiCamera, or a URL with one of the schemes " + schemeList)
	}
	u, err := parseURL(s)
	if err != nil {
		return err
	}
	if strings.HasPrefix(u.Scheme, "unix+") {
		if u.Host+u.Path == "" {
			return errors.New(`must name a socket, as in "` + u.Scheme + `:///tmp/socket.sock"`)
		}
		return nil
	}
	if u.Host == "" {
		return errors.New("must be a URL with a host")
	}
	needsPort := f == familyMPEGTS || f == familyRTP || f == familySRT
	if needsPort && u.Port() == "" {
		return fmt.Errorf(`must be a URL with a port, as in "%s://238.0.0.1:1234"`, u.Scheme)
	}
	return checkURLPort(u)
}

// parseURL parses a URL that may hold variables, and characters in its password
// that should have been escaped. Its error does not hold the URL.
func parseURL(s string) (*url.URL, error) {
	s = variable.ReplaceAllString(s, "1")
	u, err := url.Parse(s)
	if err != nil {
		// Passwords with special characters: look at the rest.
		scheme, rest, _ := strings.Cut(s, "://")
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			u, err = url.Parse(scheme + "://" + rest[i+1:])
		}
	}
	if err != nil || strings.ContainsAny(s, " \t\r\n") {
		return nil, errors.New("must be a valid URL")
	}
	return u, nil
}

func checkURLPort(u *url.URL) error {
	if u.Port() == "" {
		return nil
	}
	if n, ok := parsePort(u.Port()); !ok || n == 0 {
		return errors.New("must be a URL with a port between 1 and 65535")
	}
	return nil
}

// checkForward tells what is wrong with a destination of "forward".
func checkForward(s string) error {
	scheme, _, _ := strings.Cut(s, "://")
	switch scheme {
	case "rtsp", "rtsps", "rtmp", "rtmps", "srt", "whip", "whips", "moqt":
	default:
		return errors.New("must be a URL with one of the schemes rtsp, rtsps, rtmp, rtmps, srt, whip, whips, moqt")
	}
	u, err := parseURL(s)
	if err != nil {
		return err
	}
	if u.Host == "" {
		return errors.New("must be a URL with a host")
	}
	return checkURLPort(u)
}

// forwardFamily returns the family of a destination that this version can send
// to; empty for others.
func forwardFamily(s string) family {
	scheme, _, _ := strings.Cut(s, "://")
	switch scheme {
	case "rtsp", "rtsps", "rtmp", "rtmps", "srt":
		return familyOf(scheme)
	case "whip", "whips":
		return familyWHIP
	}
	return ""
}

// checkRedirect tells what is wrong with a place that readers are sent to: an
// absolute URL, or another path with a leading slash.
func checkRedirect(s string) error {
	if name, ok := strings.CutPrefix(s, "/"); ok {
		return checkOtherPath(name)
	}
	u, err := parseURL(s)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return errRedirect
	}
	return checkURLPort(u)
}

var errRedirect = errors.New(`must be a URL, or a path with a leading slash such as "/other"`)

// checkOtherPath checks a path, perhaps with a query, without its leading slash.
// What variables stand for is not known.
func checkOtherPath(s string) error {
	name, _, _ := strings.Cut(s, "?")
	name, err := url.PathUnescape(strings.TrimSuffix(name, "/"))
	if err == nil && !strings.Contains(name, "$") {
		err = router.ValidatePathName(name)
	}
	if err != nil {
		return errRedirect
	}
	return nil
}

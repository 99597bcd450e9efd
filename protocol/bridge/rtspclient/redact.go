package rtspclient

import (
	"encoding/base64"
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
)

const hidden = "***"

// Redact removes credentials from a text: user and password of URLs, values of
// query parameters that are secrets, and, wherever they are, those of u, which
// may be nil.
func Redact(text string, u *base.URL) string {
	for _, s := range secrets(u) { // first: they may look like the end of a URL
		text = strings.ReplaceAll(text, s, hidden)
	}
	userinfo := regexp.MustCompile(`(?i)([a-z][a-z0-9+.\-]*://)[^\s"'<>]*@`)
	text = userinfo.ReplaceAllString(text, "${1}")
	query := regexp.MustCompile(`(?i)([?&](?:pass|password|pwd|token|jwt|key|secret)=)[^&\s"'<>]*`)
	return query.ReplaceAllString(text, "${1}"+hidden)
}

// secrets are the forms in which a password can appear. A very short one is
// found in every text: it is no secret.
func secrets(u *base.URL) []string {
	if u == nil || u.User == nil {
		return nil
	}
	pass, _ := u.User.Password()
	name := u.User.Username()
	list := []string{
		base64.StdEncoding.EncodeToString([]byte(name + ":" + pass)),
		pass, url.PathEscape(pass), url.QueryEscape(pass),
	}
	out := list[:0]
	for _, s := range list {
		if len(s) >= 3 {
			out = append(out, s)
		}
	}
	return out
}

// Address returns what identifies a stream in logs and errors: the URL without
// credentials and without query.
func Address(u *base.URL) string {
	if u == nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).Redacted()
}

// safe removes what a parse error quotes.
func safe(err error) error {
	text := err.Error()
	if i := strings.IndexByte(text, '"'); i >= 0 {
		return errors.New(strings.TrimSpace(text[:i]))
	}
	return errors.New(text)
}

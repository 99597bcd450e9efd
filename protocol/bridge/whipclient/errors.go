package whipclient

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Error is a failure of an exchange with a server. Neither its text nor what it
// wraps has credentials.
type Error struct {
	// Address is the URL of the stream, without credentials and query.
	Address string
	// Status is that of HTTP; zero if there was no answer.
	Status int
	// Reason is a sentence.
	Reason string

	err error
}

func (e *Error) Error() string { return e.Address + ": " + e.Reason }

// Unwrap returns the cause, if its text holds no secret.
func (e *Error) Unwrap() error { return e.err }

// Explain turns an error that is not one of this package, such as one of the
// peer connection, into an [*Error] with the address of the server. Errors of
// contexts that were cancelled stay as they are.
func (c *Client) Explain(err error) error {
	var done *Error
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, &done) {
		return err
	}
	return c.failure(0, err.Error(), err)
}

func (c *Client) failure(status int, reason string, cause error) *Error {
	e := &Error{Address: c.Address(), Status: status, Reason: c.redact(reason), err: cause}
	if cause != nil && c.redact(cause.Error()) != cause.Error() {
		e.err = nil
	}
	return e
}

// network explains why there is no answer.
func (c *Client) network(ctx context.Context, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // without the URL
	}
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return c.failure(0, fmt.Sprintf("the server does not answer within %v", c.o.Timeout), err)
	case hungUp(err):
		return c.failure(0, "the server closed the connection", err)
	}
	reason := err.Error()
	if strings.Contains(reason, "response headers exceeded") { // there is no value to compare with
		reason = fmt.Sprintf("the headers of the answer are larger than %d bytes", maxHeaders)
	}
	return c.failure(0, reason, err)
}

// hungUp tells whether the server closed the connection in place of an answer.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// status explains an answer that is no success.
func (c *Client) status(r *reply) *Error {
	text := r.message()
	var reason string
	switch r.status {
	case http.StatusUnauthorized:
		switch {
		case c.o.BearerToken != "":
			reason = "the server refuses the bearer token (401)"
		case c.url.User != nil:
			reason = "the server refuses the credentials of the URL (401)"
		default:
			reason = "the server asks for credentials, and the URL has none (401)"
		}
		if !r.trusted {
			reason = "the server redirects to another one that asks for credentials, which are not passed on (401)"
		}
	case http.StatusForbidden:
		reason = "the server does not permit this (403)"
	case http.StatusNotFound:
		reason = "the server has no such stream (404)"
	case http.StatusMethodNotAllowed:
		reason = "the address is not one of WHIP or WHEP (405)"
	case http.StatusNotAcceptable:
		reason = "the server cannot use the offer (406)"
	case http.StatusServiceUnavailable:
		reason = "the server is not available now (503)"
		if s := r.header.Get("Retry-After"); s != "" {
			reason += ", and asks to wait for " + clean(s, 30) + " s"
		}
	default:
		reason = fmt.Sprintf("the server answers %d", r.status)
		if name := http.StatusText(r.status); name != "" {
			reason += " (" + name + ")"
		}
		if r.status/100 == 3 {
			reason += ": redirects that keep the offer are 307 and 308"
		}
	}
	if text != "" {
		reason += ": " + text
	}
	return c.failure(r.status, reason, nil)
}

// maxMessage bounds what is shown of a message of the server, bytes.
const maxMessage = 300

// message returns the text of an error: that of {"error": "..."}, of problem
// details (RFC 9457), or a short plain text.
func (r *reply) message() string {
	kind, _, _ := mime.ParseMediaType(r.header.Get("Content-Type"))
	switch {
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		var v struct{ Error, Message, Detail, Title any }
		if json.Unmarshal(r.body, &v) != nil {
			return ""
		}
		for _, s := range []any{v.Error, v.Detail, v.Message, v.Title} {
			if s, ok := s.(string); ok && s != "" {
				return clean(s, maxMessage)
			}
		}
	case kind == "text/plain":
		return clean(string(r.body), maxMessage)
	}
	return ""
}

// clean makes one short line of a text of the server.
func clean(s string, limit int) string {
	if len(s) > 4*limit {
		s = s[:4*limit]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= limit {
		return s
	}
	s = s[:limit]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "..."
}

const hidden = "***"

// redact removes secrets from a text.
func (c *Client) redact(text string) string {
	for _, s := range c.secrets {
		text = strings.ReplaceAll(text, s, hidden)
	}
	return text
}

// secretsOf are the forms in which the secrets can appear: of the credentials of
// a URL, of its query, and of a token. Very short ones are found in every text:
// they are no secrets.
func secretsOf(u *url.URL, token string) []string {
	var list []string
	add := func(s string, shortest int) {
		if len(s) >= shortest {
			list = append(list, s, url.PathEscape(s), url.QueryEscape(s))
		}
	}
	if pass, ok := u.User.Password(); ok {
		add(base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+pass)), 1)
		add(pass, 3)
	}
	add(token, 1)
	if _, pass, ok := strings.Cut(token, ":"); ok {
		add(pass, 3)
	}
	add(u.RawQuery, 4)
	query, _ := url.ParseQuery(u.RawQuery)
	for _, values := range query {
		for _, v := range values {
			add(v, 4)
		}
	}
	// one may be a part of another
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(list)
}

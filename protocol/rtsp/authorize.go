package rtsp

import (
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"github.com/org/mtx/router"
)

// grantKey tells whether a grant answers another request of the connection too.
type grantKey struct {
	action              router.Action
	path, query, header string
}

// authorize asks for permission. Clients repeat their credentials in every
// request: those that were accepted on the connection are not checked again.
func (cs *connState) authorize(action router.Action, req *base.Request, sessionID, path, query string) (*router.Grant, error) {
	path, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, &router.PathError{Op: "open", Path: path, Err: router.ErrInvalidName}
	}
	key := grantKey{action, path, query, strings.Join(req.Header["Authorization"], "\n")}
	if cs.grant != nil && cs.grantKey == key {
		return cs.grant, nil
	}
	ar := &router.AccessRequest{
		Action: action, Path: path, Query: query, SessionID: sessionID,
		UserAgent: strings.Join(req.Header["User-Agent"], " "),
		Addr:      addrOf(cs.c.NetConn().RemoteAddr()),
	}
	cs.credentials(ar, req)
	grant, err := cs.sv.host.Authorize(cs.sv.ctx, ar)
	if err != nil {
		return nil, err
	}
	cs.grant, cs.grantKey = grant, key
	return grant, nil
}

// credentials are taken from the Authorization header, otherwise from the query.
func (cs *connState) credentials(ar *router.AccessRequest, req *base.Request) {
	if user, pass, ok := basicAuth(req); ok && slices.Contains(cs.sv.cfg.AuthMethods, Basic) {
		ar.User, ar.Pass = user, pass
		return
	}
	var h headers.Authorization
	if len(req.Header["Authorization"]) != 0 && h.Unmarshal(req.Header["Authorization"]) == nil {
		if h.Method == headers.AuthMethodDigest && slices.Contains(cs.sv.cfg.AuthMethods, Digest) {
			ar.User = h.Username
			ar.Verify = func(user, pass string) bool { return cs.c.VerifyCredentials(req, user, pass) }
		}
		return
	}
	q, err := url.ParseQuery(ar.Query)
	if err != nil {
		return
	}
	ar.User, ar.Pass = q.Get("user"), q.Get("pass")
	if ar.Token = q.Get("jwt"); ar.Token == "" {
		ar.Token = q.Get("token")
	}
}

// basicAuth parses Basic credentials (RFC 7617). The library refuses passwords
// that contain a colon.
func basicAuth(req *base.Request) (user, pass string, ok bool) {
	v := req.Header["Authorization"]
	if len(v) != 1 || len(v[0]) < len("Basic ") || !strings.EqualFold(v[0][:len("Basic ")], "Basic ") {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(v[0][len("Basic "):]))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(b), ":")
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// refuse turns an error into an answer. The error that is returned with it
// closes the connection and is what the log shows.
func (cs *connState) refuse(req *base.Request, err error) (*base.Response, error) {
	var auth *router.AuthError
	var redirect *router.RedirectError
	switch {
	case errors.As(err, &redirect):
		return &base.Response{
			StatusCode: base.StatusFound,
			Header:     base.Header{"Location": base.HeaderValue{redirectURL(req, redirect.URL)}},
		}, nil
	case errors.As(err, &auth):
		cs.c.VerifyCredentials(req, "-", "-") // the library makes a nonce
		if !auth.AskCredentials {
			cs.log.Warn("access denied", "path", cs.pathOf(req), "error", auth.Err)
		}
		return &base.Response{StatusCode: base.StatusUnauthorized}, liberrors.ErrServerAuth{}
	case errors.Is(err, router.ErrPathNotFound), errors.Is(err, router.ErrNoStream),
		errors.Is(err, router.ErrStreamClosed), errors.Is(err, router.ErrStartTimeout):
		return &base.Response{StatusCode: base.StatusNotFound}, err
	case errors.Is(err, router.ErrClosed):
		return &base.Response{StatusCode: base.StatusServiceUnavailable}, err
	}
	return &base.Response{StatusCode: base.StatusBadRequest}, err
}

func (cs *connState) pathOf(req *base.Request) string {
	if req.URL == nil {
		return ""
	}
	return strings.TrimPrefix(req.URL.Path, "/")
}

// redirectURL makes the name of a path an absolute URL on this server. It keeps the
// query, where credentials may be.
func redirectURL(req *base.Request, to string) string {
	if !strings.HasPrefix(to, "/") || req.URL == nil {
		return to
	}
	query, _, _ := strings.Cut(req.URL.RawQuery, "/trackID=")
	return (&base.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: to, RawQuery: strings.TrimSuffix(query, "/")}).String()
}

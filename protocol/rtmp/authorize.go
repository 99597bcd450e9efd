package rtmp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/org/mtx/protocol/bridge/rtmpconn"
	"github.com/org/mtx/router"
)

// maxRedirects bounds how many paths may send a reader on.
const maxRedirects = 8

// errElsewhere: RTMP has no way to send a client to another server that clients
// understand.
var errElsewhere = errors.New("the stream is elsewhere, where RTMP clients cannot be sent")

// request makes the question to the authenticator.
func (c *conn) request(action router.Action, t rtmpconn.Target) *router.AccessRequest {
	ar := &router.AccessRequest{
		Action: action, Path: t.Path, Query: t.Query, SessionID: c.id, UserAgent: c.rtmp.Agent,
		Addr: addrOf(c.remote), User: t.User, Pass: t.Pass, Token: t.Token,
	}
	if user, verify, ok := c.rtmp.AdobeUser(c.sv.secret); ok {
		ar.User, ar.Pass, ar.Verify = user, "", verify
	}
	return ar
}

// attach makes the client a reader, of another path if the one that it asks for
// sends it there.
func (c *conn) attach(ctx context.Context, t rtmpconn.Target) (*router.Attachment, *router.Grant, error) {
	asked := t.Path
	for range maxRedirects {
		grant, err := c.sv.host.Authorize(ctx, c.request(router.ActionRead, t))
		if err != nil {
			return nil, nil, err
		}
		att, err := grant.Attach(ctx, router.ReadOptions{Peer: c.peer()})
		var redirect *router.RedirectError
		if !errors.As(err, &redirect) {
			if err == nil && t.Path != asked {
				c.log.Info("redirected", "path", asked, "to", t.Path)
			}
			return att, grant, err
		}
		path, ok := strings.CutPrefix(redirect.URL, "/")
		if !ok {
			return nil, nil, &router.PathError{Op: "read", Path: t.Path, Err: errElsewhere}
		}
		t.Path = strings.Trim(path, "/")
	}
	return nil, nil, &router.PathError{Op: "read", Path: asked, Err: errors.New("too many redirects")}
}

// refuse tells the client why it does not get what it wants. The cause of failed
// authentication is for the log only.
func (c *conn) refuse(req *rtmpconn.Request, err error) error {
	err = c.reject(req, err)
	c.linger()
	return err
}

// reject is refuse without what comes after it.
func (c *conn) reject(req *rtmpconn.Request, err error) error {
	why, text := rtmpconn.Failed, err.Error()
	var auth *router.AuthError
	switch {
	case errors.As(err, &auth):
		why, text = rtmpconn.Unauthorized, "authentication failed"
		if !auth.AskCredentials {
			c.log.Warn("access denied", "error", auth.Err)
		}
	case errors.Is(err, router.ErrPathNotFound), errors.Is(err, router.ErrNoStream), errors.Is(err, router.ErrInvalidName),
		errors.Is(err, router.ErrStartTimeout), errors.Is(err, router.ErrStreamClosed):
		why = rtmpconn.NotFound
	case errors.Is(err, router.ErrAlreadyPublishing):
		why = rtmpconn.Busy
	}
	_ = c.rtmp.RejectRequest(req, why, text) // the connection ends in any case
	return err
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

package webrtc

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

// httpError is an answer.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

// Answers of this server.
var (
	errNotFound  = &httpError{http.StatusNotFound, "not found"}
	errNoSession = &httpError{http.StatusNotFound, "session not found"}
	errBusy      = &httpError{http.StatusServiceUnavailable, "too many sessions are being opened, try again later"}
	errElsewhere = &httpError{http.StatusNotFound, "the path refers to a URL that WebRTC clients cannot be sent to"}
	errCircle    = &httpError{http.StatusNotFound, "the path refers to another one, and this to others, without end"}
)

// Reasons for the end of sessions.
var (
	errLeft  = errors.New("ended by the client")
	errStops = errors.New("the server stops")
)

// retryAfter is what clients are told that come at a bad time, in seconds.
const retryAfter = "2"

// refuse turns an error into an answer.
func (sv *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, text, to := sv.describe(err)
	switch status {
	case http.StatusTemporaryRedirect:
		redirect(w, r, status, to)
		return
	case http.StatusUnauthorized:
		var auth *router.AuthError
		if errors.As(err, &auth) && !auth.AskCredentials {
			sv.log.Warn("access denied", "path", targetOf(r.URL.Path).name, "remote", httpserver.ClientAddr(r), "error", auth.Err)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="mediamtx"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case http.StatusInternalServerError:
		sv.log.Error("request failed", "path", r.URL.Path, "error", err)
	}
	writeError(w, r, status, text)
}

// describe tells the status for an error, the text for the client, and where to
// redirect it.
func (sv *server) describe(err error) (status int, text, to string) {
	var own *httpError
	var auth *router.AuthError
	var elsewhere *router.RedirectError
	status = http.StatusInternalServerError
	switch {
	case errors.As(err, &own):
		status = own.status
	case errors.As(err, &auth):
		return http.StatusUnauthorized, "authentication error", ""
	case errors.As(err, &elsewhere):
		if u, err := url.Parse(elsewhere.URL); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
			return http.StatusTemporaryRedirect, "", elsewhere.URL
		}
		return errElsewhere.status, errElsewhere.text, ""
	case errors.Is(err, webrtcpeer.ErrBadOffer), errors.Is(err, webrtcpeer.ErrBadFragment),
		errors.Is(err, router.ErrInvalidName), errors.Is(err, router.ErrNotPublishable), errors.Is(err, errBFrames):
		status = http.StatusBadRequest
	case errors.Is(err, webrtcpeer.ErrNoUsableTracks):
		status = http.StatusNotAcceptable
	case errors.Is(err, router.ErrAlreadyPublishing):
		status = http.StatusConflict
	case errors.Is(err, router.ErrPathNotFound), errors.Is(err, router.ErrNoStream),
		errors.Is(err, router.ErrStreamClosed), errors.Is(err, router.ErrStartTimeout):
		status = http.StatusNotFound
	case errors.Is(err, router.ErrTooManyReaders), errors.Is(err, router.ErrClosed), errors.Is(err, router.ErrConfigChanged),
		errors.Is(err, router.ErrKicked), errors.Is(err, webrtcpeer.ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable // or nobody is there
	default:
		return status, "internal error", "" // the log tells more
	}
	return status, err.Error(), ""
}

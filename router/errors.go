package router

import (
	"errors"
	"fmt"
)

// Sentinel errors. Match them with errors.Is: they arrive wrapped in a
// [*PathError].
var (
	// ErrPathNotFound: no path of the configuration matches the name.
	ErrPathNotFound = errors.New("path is not configured")
	// ErrInvalidName: the name can never be the name of a path.
	ErrInvalidName = errors.New("invalid path name")
	// ErrNoStream: nobody publishes on the path.
	ErrNoStream = errors.New("no stream is available")
	// ErrAlreadyPublishing: somebody publishes, and may not be replaced.
	ErrAlreadyPublishing = errors.New("someone is already publishing")
	// ErrNotPublishable: the path has a source of its own.
	ErrNotPublishable = errors.New("path has a static source and does not accept publishers")
	// ErrTooManyReaders: MaxReaders of the path is reached.
	ErrTooManyReaders = errors.New("maximum reader count reached")
	// ErrStartTimeout: an on-demand source did not deliver in time.
	ErrStartTimeout = errors.New("source has timed out")
	// ErrConfigChanged: a grant was used after its path changed.
	ErrConfigChanged = errors.New("configuration has changed")
	// ErrWrongAction: a grant for one action was used for another.
	ErrWrongAction = errors.New("grant does not allow this action")
	// ErrStreamClosed: the stream is over. It is the normal end of reading.
	ErrStreamClosed = errors.New("stream closed")
	// ErrReplaced: another publisher took over.
	ErrReplaced = errors.New("replaced by another publisher")
	// ErrKicked: the session was closed by Router.Kick.
	ErrKicked = errors.New("closed by an operator")
	// ErrExpired: the access of the client was limited in time (Identity.Expires).
	ErrExpired = errors.New("access has expired")
	// ErrTooManyAttempts: wrong credentials came from the address of the client so
	// often that those of this one were not looked at.
	ErrTooManyAttempts = errors.New("too many wrong credentials came from this address")
	// ErrTooFast: the stream exceeds Identity.MaxBitrate.
	ErrTooFast = errors.New("the bitrate is above the limit of the client")
	// ErrNoTracks: a stream without tracks was published.
	ErrNoTracks = errors.New("the stream has no tracks")
	// ErrSessionNotFound: Kick was given an unknown session.
	ErrSessionNotFound = errors.New("session not found")
	// ErrClosed: the router, or the path, was closed.
	ErrClosed = errors.New("router closed")
)

// PathError is an error that happened on a path, in the manner of fs.PathError.
type PathError struct {
	Op   string // "open", "authorize", "publish", "read", "remove"
	Path string // its name
	Err  error  // the cause, often one of the errors above
}

// Error phrases the errors that clients' scripts look for in the words that
// they know.
func (e *PathError) Error() string {
	switch {
	case errors.Is(e.Err, ErrPathNotFound):
		return fmt.Sprintf("path '%s' is not configured", e.Path)
	case errors.Is(e.Err, ErrNoStream):
		return fmt.Sprintf("no stream is available on path '%s'", e.Path)
	case errors.Is(e.Err, ErrAlreadyPublishing):
		return fmt.Sprintf("someone is already publishing to path '%s'", e.Path)
	case errors.Is(e.Err, ErrInvalidName):
		return e.Err.Error() // it has the name, quoted
	}
	return fmt.Sprintf("%s '%s': %v", e.Op, e.Path, e.Err)
}

// Unwrap makes errors.Is and errors.As see the cause.
func (e *PathError) Unwrap() error { return e.Err }

// AuthError is returned by an [Authenticator] to refuse access. Its cause is
// for logs only and never reaches the client.
type AuthError struct {
	// Err is the reason, without credentials in it.
	Err error
	// AskCredentials tells that the client sent no credentials: protocols that
	// can ask for them do so at once, without penalty.
	AskCredentials bool
}

// Error implements error. It is for logs: it tells the cause.
func (e *AuthError) Error() string {
	if e.Err == nil {
		return "authentication failed"
	}
	return "authentication failed: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *AuthError) Unwrap() error { return e.Err }

// RedirectError is returned by reads of paths that send readers elsewhere.
type RedirectError struct {
	// URL is an absolute URL, or the name of another path with a leading slash.
	URL string
}

// Error implements error.
func (e *RedirectError) Error() string { return "redirected to " + e.URL }

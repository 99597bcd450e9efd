package srt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/org/mtx/protocol/internal/srtcore"
	"github.com/org/mtx/router"
)

// maxRedirects bounds how many paths refer to each other.
const maxRedirects = 8

// accept decides about a caller.
func (sv *server) accept(ctx context.Context, r *srtcore.Request) (*srtcore.Answer, error) {
	s := sv.newSession(r)
	answer, err := s.accept(ctx, r)
	if err != nil {
		s.refused(err)
		return nil, rejection(err)
	}
	return answer, nil
}

func (s *session) accept(ctx context.Context, r *srtcore.Request) (*srtcore.Answer, error) {
	id, err := parseStreamID(r.StreamID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStreamID, err)
	}
	s.path, s.query = id.path, id.query
	grant, err := s.authorize(ctx, id, id.path)
	if err != nil {
		return nil, err
	}
	opts, _ := router.Extra[PathOptions](grant.Config())
	passphrase := opts.ReadPassphrase
	if id.action == router.ActionPublish {
		passphrase = opts.PublishPassphrase
	}
	if err := r.SetPassphrase(passphrase); err != nil {
		return nil, explainPassphrase(err, passphrase != "")
	}
	s.user = grant.Identity().User
	s.sv.add(s)
	if id.action == router.ActionPublish {
		return s.acceptPublisher(grant), nil
	}
	return s.acceptReader(ctx, id, grant)
}

func (s *session) authorize(ctx context.Context, id *streamID, path string) (*router.Grant, error) {
	return s.sv.host.Authorize(ctx, &router.AccessRequest{
		Action: id.action, Path: path, Query: id.query, SessionID: s.id,
		Addr: s.addr.Addr().Unmap(), User: id.user, Pass: id.pass, Token: id.token,
	})
}

// acceptReader makes the session a reader of the path, or of one that this
// refers to: SRT has no redirects.
func (s *session) acceptReader(ctx context.Context, id *streamID, grant *router.Grant) (*srtcore.Answer, error) {
	for range maxRedirects {
		att, err := grant.Attach(ctx, router.ReadOptions{Peer: s.peer()})
		if redirect, ok := errors.AsType[*router.RedirectError](err); ok {
			path, ok := strings.CutPrefix(redirect.URL, "/")
			if !ok {
				return nil, fmt.Errorf("%w: %w", errElsewhere, err)
			}
			if grant, err = s.authorize(ctx, id, strings.Trim(path, "/")); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		f, err := s.sv.fanOf(att.Stream())
		if err != nil {
			att.Close()
			return nil, fmt.Errorf("%w: %w", errNoCodec, err)
		}
		s.mu.Lock()
		s.att, s.fan = att, f
		s.mu.Unlock()
		return &srtcore.Answer{OnOpen: s.openReader, OnClose: s.closed}, nil
	}
	return nil, errRedirects
}

// Reasons for refusing that are not of the router.
var (
	errStreamID  = errors.New("invalid stream id")
	errElsewhere = errors.New("SRT clients cannot be sent elsewhere")
	errRedirects = fmt.Errorf("more than %d redirects from path to path", maxRedirects)
	errNoCodec   = errors.New("the stream cannot be read by SRT")
)

// passphraseError is a refusal of the handshake with an explanation.
type passphraseError struct {
	code srtcore.Rejection
	text string
}

func (e *passphraseError) Error() string { return e.text }
func (e *passphraseError) Unwrap() error { return e.code }

func explainPassphrase(err error, needed bool) error {
	code, ok := errors.AsType[srtcore.Rejection](err)
	switch {
	case !ok:
		return err
	case code == srtcore.RejectBadSecret:
		return &passphraseError{code, "wrong passphrase"}
	case needed:
		return &passphraseError{code, "the path needs a passphrase, and the client has none"}
	}
	return &passphraseError{code, "the client has a passphrase, and the path has none"}
}

// rejection is the code for an error.
func rejection(err error) error {
	if code, ok := errors.AsType[srtcore.Rejection](err); ok {
		return code
	}
	_, isAuth := errors.AsType[*router.AuthError](err)
	switch {
	case isAuth:
		return srtcore.RejectUnauthorized
	case errors.Is(err, errMode):
		return srtcore.RejectBadMode
	case errors.Is(err, errStreamID), errors.Is(err, router.ErrInvalidName):
		return srtcore.RejectBadRequest
	case errors.Is(err, router.ErrPathNotFound), errors.Is(err, router.ErrNoStream),
		errors.Is(err, router.ErrStreamClosed), errors.Is(err, errElsewhere), errors.Is(err, errRedirects):
		return srtcore.RejectNotFound
	case errors.Is(err, router.ErrTooManyReaders):
		return srtcore.RejectOverload
	case errors.Is(err, router.ErrAlreadyPublishing), errors.Is(err, router.ErrNotPublishable):
		return srtcore.RejectConflict
	case errors.Is(err, errNoCodec):
		return srtcore.RejectUnsupported
	case errors.Is(err, router.ErrStartTimeout), errors.Is(err, context.DeadlineExceeded):
		return srtcore.RejectGateway
	case errors.Is(err, router.ErrClosed), errors.Is(err, context.Canceled):
		return srtcore.RejectClose
	}
	return srtcore.RejectInternalError
}

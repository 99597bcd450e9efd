package webrtcpeer

import "errors"

// Reasons of failures, to be matched with errors.Is. The errors that wrap them
// are sentences for the remote side.
var (
	// ErrBadOffer means that a session description cannot be understood or
	// exceeds a limit. HTTP: 400.
	ErrBadOffer = errors.New("bad session description")

	// ErrNoUsableTracks means that no track of an offer can be received, or that
	// the offer takes none of the tracks that we have. HTTP: 406.
	ErrNoUsableTracks = errors.New("no usable tracks")

	// ErrBadFragment means that a trickle fragment (RFC 8840) cannot be understood
	// or exceeds a limit. HTTP: 400.
	ErrBadFragment = errors.New("bad trickle fragment")

	// ErrNoPackets means that a publisher connected and sent nothing in time.
	ErrNoPackets = errors.New("no packets")

	// ErrCodecChanged is the end of a publisher that goes on in another codec.
	ErrCodecChanged = errors.New("codec changed")

	// ErrHandshakeTimeout means that ICE and DTLS did not end in time.
	ErrHandshakeTimeout = errors.New("handshake timeout")

	// ErrClosed is the end of a peer by Close, or with its engine.
	ErrClosed = errors.New("peer closed")

	// ErrRemoteClosed is the end of a peer by the remote side.
	ErrRemoteClosed = errors.New("closed by the remote side")

	// ErrConnectionLost is the end of a peer of which nothing was heard any more.
	ErrConnectionLost = errors.New("connection lost")
)

// reasonError is a sentence with the reason that it is matched by.
type reasonError struct {
	reason error
	text   string
}

func (e *reasonError) Error() string { return e.text }
func (e *reasonError) Unwrap() error { return e.reason }

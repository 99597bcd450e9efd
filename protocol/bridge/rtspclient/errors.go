package rtspclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
)

// Error is an error of the connection to a server. Neither its text nor what it
// wraps has credentials.
type Error struct {
	// Address is the URL of the stream, without credentials and query.
	Address string
	// Reason is a sentence.
	Reason string

	err error
}

func (e *Error) Error() string { return e.Address + ": " + e.Reason }

// Unwrap returns the cause, if its text holds no secret.
func (e *Error) Unwrap() error { return e.err }

// Explain turns an error of the client into an [*Error] with a reason that users
// understand. Errors of contexts stay as they are.
func (c *Client) Explain(err error) error {
	var done *Error
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, &done) {
		return err
	}
	e := &Error{Address: Address(c.URL), Reason: Redact(c.reason(err), c.URL), err: err}
	if Redact(err.Error(), c.URL) != err.Error() {
		e.err = nil
	}
	return e
}

func (c *Client) reason(err error) string {
	var (
		status    liberrors.ErrClientBadStatusCode
		udp       liberrors.ErrClientUDPTimeout
		tcp       liberrors.ErrClientTCPTimeout
		unserved  liberrors.ErrClientRequestTimedOut
		ports     liberrors.ErrClientServerPortsNotProvided
		wantsTCP  liberrors.ErrClientServerRequestedTCP
		wantsUDP  liberrors.ErrClientServerRequestedUDP
		isTimeout net.Error
	)
	switch {
	case errors.As(err, &status):
		return c.statusReason(status)
	case errors.As(err, &udp):
		return fmt.Sprintf("nothing arrives over UDP for %v", c.ReadTimeout)
	case errors.As(err, &tcp):
		return fmt.Sprintf("nothing arrives for %v", c.ReadTimeout)
	case errors.As(err, &unserved):
		return fmt.Sprintf("the server does not answer within %v", c.ReadTimeout)
	case errors.As(err, &ports):
		return "the server does not tell from which UDP ports it sends: allow any port, or use TCP"
	case errors.As(err, &wantsTCP):
		return "the server wants the transport to be TCP"
	case errors.As(err, &wantsUDP):
		return "the server wants the transport to be UDP"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server closed the connection"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("the server cannot be reached within %v", c.ReadTimeout)
	case errors.As(err, &isTimeout) && isTimeout.Timeout():
		return "the server does not take data: " + err.Error()
	}
	return err.Error()
}

func (c *Client) statusReason(e liberrors.ErrClientBadStatusCode) string {
	switch e.Code {
	case base.StatusUnauthorized:
		if c.URL.User == nil {
			return "the server asks for credentials, and the URL has none"
		}
		return "the server refuses the credentials of the URL"
	case base.StatusNotFound:
		return "the server has no such stream (404)"
	case base.StatusUnsupportedTransport:
		return "the server does not support this transport (461)"
	}
	return fmt.Sprintf("the server answers %d (%s)", e.Code, e.Message)
}

package datagram

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Options of [Listen].
type Options struct {
	// ReadBuffer is the size of the receive buffer of UDP sockets, in bytes.
	// Default: that of the system.
	ReadBuffer int

	// Batch is how many UDP datagrams one call takes at most, each with 64 KB of
	// memory that is used only as far as datagrams reach. Default 8.
	Batch int

	// Log takes warnings: parameters without effect, a smaller buffer than
	// wanted, further senders that are turned away. Optional.
	Log *slog.Logger
}

// socket is one kind of socket. receive and close may be called concurrently,
// and close more than once.
type socket interface {
	receive(timeout time.Duration) ([][]byte, error)
	close()
}

// Conn is an open socket.
type Conn struct {
	address Address
	s       socket
	stop    func() bool // of the context
}

// Listen opens a socket. The Conn must be closed; it is also closed when ctx is
// done.
//
// A UDP port belongs to one Conn, a multicast group and port to any number. A
// Unix socket replaces the file that an earlier one left behind.
func Listen(ctx context.Context, a Address, o Options) (*Conn, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Batch <= 0 {
		o.Batch = defaultBatch
	}
	if len(a.Unknown) > 0 {
		o.Log.Warn("parameters of the URL have no effect", "parameters", a.Unknown)
	}
	var s socket
	var err error
	switch a.Network {
	case UDP:
		s, err = listenUDP(ctx, a, o)
	case Unix:
		s, err = listenStream(ctx, a.Path, o)
	case Unixgram:
		s, err = listenUnixgram(ctx, a.Path)
	default:
		err = fmt.Errorf("network %q: it must be udp, unix or unixgram", a.Network)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", a, reason(err))
	}
	c := &Conn{address: a, s: s}
	c.stop = context.AfterFunc(ctx, s.close)
	return c, nil
}

// Receive waits for data and returns what is there: datagrams, or a piece of the
// stream of a Unix socket. The result is valid until the next call. Receive must
// not be called concurrently.
//
// After timeout without data the error is os.ErrDeadlineExceeded. A Unix socket
// of the stream type waits for a sender without limit; the timeout counts from
// its arrival. When the sender has left, the error is io.EOF. After Close, or
// when the context is done, it is net.ErrClosed.
func (c *Conn) Receive(timeout time.Duration) ([][]byte, error) {
	return c.s.receive(max(timeout, time.Millisecond))
}

// Stream tells that what is received has no boundaries.
func (c *Conn) Stream() bool { return c.address.Network == Unix }

// Close closes the socket, and removes its file. It is idempotent.
func (c *Conn) Close() {
	c.stop()
	c.s.close()
}

// reason leaves out the address that errors of package net repeat.
func reason(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Err
	}
	return err
}

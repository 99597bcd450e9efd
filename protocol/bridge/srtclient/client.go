package srtclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/org/mtx/protocol/internal/srtcore"
)

// Options configure a [Client].
type Options struct {
	// URL is srt://host:port?parameters, with the parameters of libsrt. Required.
	URL string

	// ReadTimeout bounds how long the peer may be silent, unless the URL says
	// something else (peeridletimeo). Default 10s.
	ReadTimeout time.Duration

	// UDPReadBufferSize is the size of the receive buffer, in bytes. Default: 4
	// MiB, or what the system allows.
	UDPReadBufferSize int

	// OnData takes what the peer sends, in order, one packet at a time. It must
	// not block, and must not keep the slice. If nil, the connection is for sending.
	OnData func([]byte)

	// Log gets warnings about the URL. Optional.
	Log *slog.Logger
}

// Client connects to one peer.
type Client struct {
	o Options
	s *settings
}

// New reads the URL. The error tells what is wrong with it.
func New(o Options) (*Client, error) {
	s, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 10 * time.Second
	}
	if o.UDPReadBufferSize < 0 {
		return nil, fmt.Errorf("UDP read buffer size %d: must not be negative", o.UDPReadBufferSize)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{o, s}, nil
}

// Mode tells who calls.
func (c *Client) Mode() Mode { return c.s.mode }

// Address is the host and the port of the URL, for logs.
func (c *Client) Address() string { return c.s.address }

// Conn is a connection to the peer.
type Conn struct {
	conn  *srtcore.Conn
	write func([]byte) (int, error)
	end   func()
}

// Write sends p, cut into packets. It does not block: what a peer is too slow for
// is dropped. It fails once the connection has ended.
func (c *Conn) Write(p []byte) (int, error) { return c.write(p) }

// PayloadSize is the size of full packets of whole transport packets, in bytes.
func (c *Client) PayloadSize() int { return max(c.s.payload/188, 1) * 188 }

// Dropped is how many calls of Write the peer was too slow for.
func (c *Conn) Dropped() uint64 { return c.conn.Discarded() }

// RemoteAddr is the address of the peer.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.conn.RemoteAddr() }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.conn.Done() }

// Err tells why the connection has ended; nil until Done is closed.
func (c *Conn) Err() error { return explain(c.conn.Err()) }

// Disconnect makes the connection end. Unlike Close it may be called by OnData.
func (c *Conn) Disconnect() { c.conn.Close(nil) }

// Close ends the connection, and returns when nothing is left of it: OnData is
// not called any more.
func (c *Conn) Close() { c.end() }

// Connect calls the peer, or waits for it to call.
func (c *Client) Connect(ctx context.Context) (*Conn, error) {
	if len(c.s.ignored) > 0 {
		c.o.Log.Warn("the SRT URL has parameters that are not known", "parameters", c.s.ignored)
	}
	if c.s.mode == Listener {
		return c.listen(ctx)
	}
	return c.call(ctx)
}

// config is what both modes have in common.
func (c *Client) config() srtcore.Config {
	cfg := srtcore.Config{
		PeerIdleTimeout: c.o.ReadTimeout,
		MaxPayload:      c.PayloadSize(),
		Window:          c.s.window,
		ReceiveBuffer:   c.o.UDPReadBufferSize,
		KeyRefresh:      c.s.keyRefresh,
		KeyPreAnnounce:  c.s.keyPreAnnounce,
		Log:             c.o.Log,
	}
	if c.s.idleTimeout > 0 {
		cfg.PeerIdleTimeout = c.s.idleTimeout
	}
	return cfg
}

func (c *Client) call(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.s.connectTimeout, errNoAnswer)
	defer cancel()
	remote, err := resolve(ctx, c.s.address)
	if err != nil {
		return nil, err
	}
	network := "udp6"
	if remote.Addr().Is4() {
		network = "udp4"
	}
	sock, err := c.socket(network, nil)
	if err != nil {
		return nil, err
	}
	caller, err := srtcore.Dial(ctx, sock, srtcore.DialConfig{
		Remote: remote, StreamID: c.s.streamID, Passphrase: c.s.passphrase, KeyLength: c.s.keyLength,
		ReceiveLatency: max(c.s.receiveLatency, time.Millisecond), SendLatency: max(c.s.sendLatency, time.Millisecond), MTU: c.s.mtu,
		Answer: srtcore.Answer{OnData: c.o.OnData}, Config: c.config(),
	})
	if err != nil {
		return nil, explain(err)
	}
	return &Conn{conn: caller.Conn, write: caller.Write, end: caller.Shutdown}, nil
}

var errNoAnswer = errors.New("the peer does not answer")

// resolve looks a host up. Of several addresses one of IPv4 is taken, which works
// in most places.
func resolve(ctx context.Context, address string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	best := list[0]
	for _, a := range list {
		if a.Unmap().Is4() {
			best = a
			break
		}
	}
	return netip.AddrPortFrom(best.Unmap(), uint16(n)), nil
}

// socket opens a UDP socket with the options of the URL.
func (c *Client) socket(network string, addr *net.UDPAddr) (*net.UDPConn, error) {
	sock, err := net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	four, six := ipv4.NewConn(sock), ipv6.NewConn(sock)
	if c.s.tos > 0 {
		err = errors.Join(oneOf(four.SetTOS(c.s.tos), six.SetTrafficClass(c.s.tos)))
	}
	if c.s.ttl > 0 {
		err = errors.Join(err, oneOf(four.SetTTL(c.s.ttl), six.SetHopLimit(c.s.ttl)))
	}
	if err != nil {
		_ = sock.Close()
		return nil, err
	}
	return sock, nil
}

// oneOf fails if both do: an option is either of IPv4 or of IPv6.
func oneOf(a, b error) error {
	if a == nil || b == nil {
		return nil
	}
	return a
}

// listen waits for a peer.
func (c *Client) listen(ctx context.Context) (*Conn, error) {
	addr, err := net.ResolveUDPAddr("udp", c.s.address)
	if err != nil {
		return nil, err
	}
	network := "udp"
	switch {
	case addr.IP.To4() != nil:
		network = "udp4"
	case c.s.ipv6Only:
		network = "udp6"
	}
	sock, err := c.socket(network, addr)
	if err != nil {
		return nil, err
	}
	opened := make(chan *srtcore.Conn, 1)
	taken := make(chan struct{}, 1)
	cfg := c.config()
	cfg.Latency = max(c.s.receiveLatency, c.s.sendLatency, time.Millisecond)
	cfg.Accept = func(_ context.Context, r *srtcore.Request) (*srtcore.Answer, error) {
		if err := r.SetPassphrase(c.s.passphrase); err != nil {
			c.o.Log.Warn("peer refused", "remote", r.Addr.String(), "reason", explain(err))
			return nil, err
		}
		select {
		case taken <- struct{}{}:
		default:
			return nil, srtcore.RejectLocked
		}
		return &srtcore.Answer{OnData: c.o.OnData, OnOpen: func(c *srtcore.Conn) { opened <- c }}, nil
	}
	l, err := srtcore.Listen(sock, cfg)
	if err != nil {
		_ = sock.Close()
		return nil, err
	}
	c.o.Log.Info("waiting for a peer", "address", sock.LocalAddr().String())
	select {
	case conn := <-opened:
		return &Conn{conn: conn, write: func([]byte) (int, error) { return 0, errReceives }, end: l.Close}, nil
	case <-ctx.Done():
		l.Close()
		return nil, context.Cause(ctx)
	}
}

var errReceives = errors.New("connections that were waited for are for receiving")

// explain phrases refusals.
func explain(err error) error {
	code, ok := errors.AsType[srtcore.Rejection](err)
	if !ok {
		return err
	}
	texts := map[srtcore.Rejection]string{
		srtcore.RejectPeer:         "the peer refuses the connection",
		srtcore.RejectBadSecret:    "wrong passphrase",
		srtcore.RejectUnsecure:     "one side has a passphrase, the other has none",
		srtcore.RejectMessageAPI:   "the peer is not in live mode",
		srtcore.RejectCongestion:   "the peer is not in live mode",
		srtcore.RejectBadRequest:   "the peer does not understand the stream id",
		srtcore.RejectUnauthorized: "the peer wants other credentials",
		srtcore.RejectForbidden:    "the peer does not allow this",
		srtcore.RejectNotFound:     "the peer does not have this stream",
		srtcore.RejectConflict:     "someone else uses this stream",
		srtcore.RejectOverload:     "the peer is overloaded",
	}
	if t, ok := texts[code]; ok {
		return fmt.Errorf("%s (SRT code %d)", t, int(code))
	}
	return fmt.Errorf("the peer refuses the connection (SRT code %d)", int(code))
}

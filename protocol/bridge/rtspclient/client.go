package rtspclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"

	"github.com/org/mtx/protocol/bridge/internal/tlspin"
)

// closeGrace is how long a client may take to say good-bye.
const closeGrace = time.Second

const defaultTimeout = 10 * time.Second

// Options are the options of a [Client].
type Options struct {
	// URL of the stream, as [ParseURL] takes it. Mandatory.
	URL string

	// Transport is "udp", "multicast" or "tcp". Empty and "automatic" mean UDP,
	// then TCP if nothing arrives. Tunnels always use TCP.
	Transport string

	// AnyPort accepts UDP packets from any port of the server.
	AnyPort bool

	// Fingerprint is that of the certificate, see [ParseFingerprint]. If empty,
	// the certificate must be valid.
	Fingerprint string

	// UDPSourcePortRange is the range of local UDP ports, both included. Zero
	// means 10000-65535.
	UDPSourcePortRange [2]int

	// UDPReadBufferSize is in bytes. Zero means that of the system.
	UDPReadBufferSize int

	// ReadTimeout and WriteTimeout bound network operations. Default 10s.
	ReadTimeout, WriteTimeout time.Duration

	// Scale is the Scale header of PLAY requests. Optional.
	Scale string

	// Log gets changes of the transport. Mandatory.
	Log *slog.Logger

	// Lost is called for packets that were lost, Invalid for what arrived and
	// cannot be used; they may be called often, by several goroutines. Optional.
	Lost    func(packets uint64)
	Invalid func(err error)
}

// Client is a client of gortsplib with the options of this program.
type Client struct {
	*gortsplib.Client

	// URL of the stream, with the scheme of RTSP and with credentials.
	URL *base.URL

	conns conns
	tasks sync.WaitGroup
	stop  func() bool
	done  chan struct{}
	err   error // set before done is closed
}

// New checks the options. It opens nothing.
func New(o Options) (*Client, error) {
	u, tunnel, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	tc, err := tlspin.Config(o.Fingerprint)
	if err != nil {
		return nil, err
	}
	protocol, err := parseTransport(o.Transport)
	if err != nil {
		return nil, err
	}
	if tunnel != gortsplib.TunnelNone {
		protocol = new(gortsplib.ProtocolTCP)
	}
	ports, err := parsePorts(o.UDPSourcePortRange)
	if err != nil {
		return nil, err
	}
	if o.UDPReadBufferSize < 0 || o.ReadTimeout < 0 || o.WriteTimeout < 0 {
		return nil, errors.New("timeouts and buffer sizes must not be negative")
	}
	c := &Client{URL: u, done: make(chan struct{})}
	dialTLS := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := c.conns.dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return handshake(ctx, conn, tc, addr)
	}
	c.Client = &gortsplib.Client{
		Scheme:             u.Scheme,
		Host:               u.Host,
		Tunnel:             tunnel,
		Protocol:           protocol,
		TLSConfig:          tc,
		AnyPortEnable:      o.AnyPort,
		ReadTimeout:        orDefault(o.ReadTimeout),
		WriteTimeout:       orDefault(o.WriteTimeout),
		UDPReadBufferSize:  o.UDPReadBufferSize,
		UDPSourcePortRange: ports,
		UserAgent:          "mtx",
		DialContext:        c.conns.dial,
		DialTLSContext:     dialTLS,
		OnTransportSwitch: func(err error) {
			o.Log.Info("transport changed", "reason", Redact(err.Error(), u))
		},
		OnPacketsLost: o.Lost,
		OnDecodeError: o.Invalid,
	}
	if c.OnPacketsLost == nil {
		c.OnPacketsLost = func(uint64) {}
	}
	if c.OnDecodeError == nil {
		c.OnDecodeError = func(error) {}
	}
	if o.Scale != "" {
		c.OnRequest = func(req *base.Request) {
			if req.Method == base.Play {
				req.Header["Scale"] = base.HeaderValue{o.Scale}
			}
		}
	}
	return c, nil
}

// Start makes the client ready for requests. It ends when ctx is done or when
// Close, which must be called, is.
func (c *Client) Start(ctx context.Context) error {
	if err := c.Client.Start(); err != nil {
		close(c.done)
		return err
	}
	c.tasks.Go(func() {
		c.err = c.Wait()
		close(c.done)
	})
	c.tasks.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer c.tasks.Done()
		c.shut()
	})
	c.stop = func() bool {
		if stop() {
			c.tasks.Done()
			return true
		}
		return false
	}
	return nil
}

// Done is closed when the connection is over.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err tells why the connection is over, in the form of Explain; nil until Done is
// closed.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.Explain(c.err)
	default:
		return nil
	}
}

// Close says good-bye to the server and waits until nothing is left.
func (c *Client) Close() {
	if c.stop == nil {
		return
	}
	c.stop()
	c.shut()
	c.tasks.Wait()
	c.stop = nil
}

// shut closes the client. The library waits for the server in some places, and
// not for contexts: there the connection is taken away.
func (c *Client) shut() {
	t := time.AfterFunc(closeGrace, c.conns.close)
	defer t.Stop()
	c.Client.Close()
}

// handshake ends with ctx, unlike that which the first Write does.
func handshake(ctx context.Context, conn net.Conn, conf *tls.Config, addr string) (net.Conn, error) {
	conf = conf.Clone()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		conf.ServerName = host
	}
	tc := tls.Client(conn, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return tc, nil
}

// conns are the TCP connections of a client.
type conns struct {
	mu     sync.Mutex
	list   []net.Conn
	closed bool
}

func (c *conns) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	c.list = append(c.list, conn)
	return conn, nil
}

func (c *conns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.list {
		_ = conn.Close()
	}
}

func parseTransport(s string) (*gortsplib.Protocol, error) {
	switch s {
	case "", "automatic":
		return nil, nil
	case "udp":
		return new(gortsplib.ProtocolUDP), nil
	case "multicast":
		return new(gortsplib.ProtocolUDPMulticast), nil
	case "tcp":
		return new(gortsplib.ProtocolTCP), nil
	}
	return nil, fmt.Errorf("transport %q: it must be automatic, udp, multicast or tcp", s)
}

func parsePorts(r [2]int) ([2]uint16, error) {
	if r == [2]int{} {
		return [2]uint16{}, nil
	}
	if r[0] < 1 || r[1] > 65535 || r[1]-r[0] < 1 {
		return [2]uint16{}, fmt.Errorf(
			"range of UDP source ports %d-%d: it must be inside 1-65535 and hold at least two ports", r[0], r[1])
	}
	return [2]uint16{uint16(r[0]), uint16(r[1])}, nil
}

func orDefault(d time.Duration) time.Duration {
	if d == 0 {
		return defaultTimeout
	}
	return d
}

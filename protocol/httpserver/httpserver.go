// Package httpserver is how every HTTP component of this module listens, and
// what all of them need in front of their handlers: TLS, CORS, trusted proxies,
// limits, deadlines, recovery from panics, an access log, an orderly end.
//
// A component takes an [Endpoint] and hands its handler over:
//
//	func (s *Server) Serve(ctx context.Context, h *router.Host) error {
//		e := httpserver.WithDefaults(s.HTTP, h.Log(), h.Listen)
//		return e.Serve(ctx, handler, func(a net.Addr) { ... })
//	}
//
// There are three endpoints. [Listen] owns a port. [OnMux] borrows the
// http.ServeMux of the embedding program. [Mount] is a http.Handler that the
// program puts into any router, such as chi.
//
// Inside of a handler, [ClientAddr], [IsHTTPS], [BaseURL] and [Prefix] tell how
// the client sees the server, proxies included, and [CredentialsOf] what it
// presents. Handlers may block for as long as they like: deadlines bound single
// writes and the reading of a body, never a request as a whole.
//
// The package knows nothing of streams and paths.
package httpserver

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Endpoint is where a component puts its handler.
type Endpoint interface {
	// Serve serves handler until ctx is done, then waits until no request is
	// left. The contexts of requests end with ctx, and their connections are
	// closed after two seconds. A handler must therefore not wait for the end of
	// its own endpoint, as that of a request to change the configuration could:
	// it would wait forever, unless it watches its context.
	//
	// ready is called once, when clients are accepted. The address is nil if
	// the endpoint has no listener of its own.
	Serve(ctx context.Context, handler http.Handler, ready func(net.Addr)) error
}

// OpenFunc opens a listener, in the manner of net.Listen.
type OpenFunc func(network, addr string) (net.Listener, error)

// Limits of every endpoint.
const (
	// DefaultTimeout is the default of ReadTimeout and WriteTimeout.
	DefaultTimeout = 10 * time.Second

	// DefaultMaxBodyBytes is the default of MaxBodyBytes.
	DefaultMaxBodyBytes = 10 << 20

	// maxHeaderBytes bounds the request line and the header.
	maxHeaderBytes = 64 << 10

	// idleTimeout ends connections without requests.
	idleTimeout = 75 * time.Second

	// grace is how long requests may go on after the end of Serve was asked for.
	grace = 2 * time.Second
)

// serverName is the Server header of every answer.
const serverName = "mediamtx"

// WithDefaults returns an endpoint in which a missing logger, and a missing
// function that opens the listener, are filled in. It is for components, which
// have both from their host and no place for them in their configuration.
func WithDefaults(e Endpoint, log *slog.Logger, open OpenFunc) Endpoint {
	switch e := e.(type) {
	case Listen:
		return e.withDefaults(log, open)
	case *Listen:
		return e.withDefaults(log, open)
	case OnMux:
		if e.Log == nil {
			e.Log = log
		}
		return e
	case *OnMux:
		return WithDefaults(*e, log, open)
	case *Mount:
		return mountWithLog{e, log}
	}
	return e
}

// policy is what is applied to every request.
type policy struct {
	prefix         string
	allowOrigins   []string
	trustedProxies []netip.Prefix
	readTimeout    time.Duration
	writeTimeout   time.Duration
	maxBodyBytes   int64
	log            *slog.Logger
}

// orDefault replaces what was left out.
func (p policy) orDefault() policy {
	if p.readTimeout <= 0 {
		p.readTimeout = DefaultTimeout
	}
	if p.writeTimeout <= 0 {
		p.writeTimeout = DefaultTimeout
	}
	p.trustedProxies = unmapped(p.trustedProxies)
	if p.maxBodyBytes <= 0 {
		p.maxBodyBytes = DefaultMaxBodyBytes
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p
}

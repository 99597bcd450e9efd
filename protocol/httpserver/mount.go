package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// Mount is a http.Handler that the embedding program puts into its own server,
// below any router, and at the same time an [Endpoint] for one component:
//
//	m := &httpserver.Mount{Prefix: "/video"}
//	chiRouter.Handle("/video/*", m)
//	hls := &hls.Server{HTTP: m}
//
// While no component serves on it, it answers 404. Components may come and go
// on it, one at a time. TLS and timeouts of connections are the business of the
// program.
//
// Fields must not be changed once the mount is in use.
type Mount struct {
	// Prefix is the path that the mount is at, without a slash at the end. It is
	// removed from requests, and put in front of URLs in answers. Empty means
	// the root.
	Prefix string

	// AllowOrigins, TrustedProxies, ReadTimeout, WriteTimeout, MaxBodyBytes and
	// Log: see [Listen].
	AllowOrigins              []string
	TrustedProxies            []netip.Prefix
	ReadTimeout, WriteTimeout time.Duration
	MaxBodyBytes              int64
	Log                       *slog.Logger

	current atomic.Pointer[guard]
}

var _ Endpoint = (*Mount)(nil)

// ServeHTTP implements http.Handler.
func (m *Mount) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := m.current.Load()
	if g == nil || !g.enter() {
		http.NotFound(w, r)
		return
	}
	defer g.leave()
	g.ServeHTTP(w, r)
}

// Serve implements Endpoint.
func (m *Mount) Serve(ctx context.Context, handler http.Handler, ready func(net.Addr)) error {
	return m.serve(ctx, handler, ready, nil)
}

func (m *Mount) serve(ctx context.Context, handler http.Handler, ready func(net.Addr), log *slog.Logger) error {
	if err := errors.Join(validatePrefix(m.Prefix), validateOrigins(m.AllowOrigins)); err != nil {
		return err
	}
	if m.Log != nil {
		log = m.Log
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := newGuard(ctx, policy{
		prefix:         m.Prefix,
		allowOrigins:   m.AllowOrigins,
		trustedProxies: m.TrustedProxies,
		readTimeout:    m.ReadTimeout,
		writeTimeout:   m.WriteTimeout,
		maxBodyBytes:   m.MaxBodyBytes,
		log:            log,
	}.orDefault(), handler)
	g.guest = true
	if !m.current.CompareAndSwap(nil, g) {
		return fmt.Errorf("mount %q: another component serves on it", m.Prefix)
	}
	ready(nil)
	<-ctx.Done()
	m.current.Store(nil)
	g.close()
	return nil
}

func validatePrefix(p string) error {
	if p != "" && (p[0] != '/' || strings.HasSuffix(p, "/")) {
		return fmt.Errorf("prefix %q: must begin with a slash and not end with one", p)
	}
	if i := strings.IndexAny(p, "{}?#% "); i >= 0 { // a mux would take braces for a wildcard
		return fmt.Errorf("prefix %q: must not hold %q", p, p[i])
	}
	return nil
}

// mountWithLog is a mount that logs where its component does.
type mountWithLog struct {
	*Mount
	log *slog.Logger
}

func (m mountWithLog) Serve(ctx context.Context, handler http.Handler, ready func(net.Addr)) error {
	return m.serve(ctx, handler, ready, m.log)
}

// OnMux is an [Endpoint] on a mux of the embedding program. Values may be
// compared with reflect.DeepEqual.
//
// A http.ServeMux cannot forget patterns: after the end of Serve the pattern
// stays and answers 404, and a later Serve takes it over.
type OnMux struct {
	// Mux is where the handler is put. Mandatory. For other routers use [Mount].
	Mux *http.ServeMux

	// Prefix is the path below which the handler is put, without a slash at the
	// end. Empty means the root.
	Prefix string

	// AllowOrigins, TrustedProxies, Log, ReadTimeout, WriteTimeout and
	// MaxBodyBytes: see [Listen].
	AllowOrigins              []string
	TrustedProxies            []netip.Prefix
	Log                       *slog.Logger
	ReadTimeout, WriteTimeout time.Duration
	MaxBodyBytes              int64
}

var _ Endpoint = OnMux{}

// socket is what OnMux puts into a mux, once per pattern.
type socket struct {
	current atomic.Pointer[Mount]
}

func (s *socket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m := s.current.Load(); m != nil {
		m.ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}

// Serve implements Endpoint.
func (o OnMux) Serve(ctx context.Context, handler http.Handler, ready func(net.Addr)) error {
	if o.Mux == nil {
		return errors.New("the mux is missing")
	}
	if err := validatePrefix(o.Prefix); err != nil {
		return err
	}
	s, err := o.socket()
	if err != nil {
		return err
	}
	m := &Mount{
		Prefix: o.Prefix, AllowOrigins: o.AllowOrigins, TrustedProxies: o.TrustedProxies, Log: o.Log,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, MaxBodyBytes: o.MaxBodyBytes,
	}
	if !s.current.CompareAndSwap(nil, m) {
		return fmt.Errorf("prefix %q: another component serves on it", o.Prefix)
	}
	defer s.current.Store(nil)
	return m.Serve(ctx, handler, ready)
}

// socket finds what an earlier Serve has put into the mux, or puts it there.
func (o OnMux) socket() (s *socket, err error) {
	pattern := o.Prefix + "/"
	probe := (&http.Request{Method: http.MethodGet, Host: "localhost"}).WithContext(context.Background())
	probe.URL = probeURL(pattern)
	if h, found := o.Mux.Handler(probe); found == pattern {
		if s, ok := h.(*socket); ok {
			return s, nil
		}
	}
	defer func() {
		if v := recover(); v != nil { // the mux panics on conflicts
			err = fmt.Errorf("prefix %q: %v", o.Prefix, v)
		}
	}()
	s = &socket{}
	o.Mux.Handle(pattern, s)
	return s, nil
}

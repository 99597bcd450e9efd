package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/org/mtx/protocol/internal/tlscert"
)

// Listen is an [Endpoint] with a listener of its own. Values may be compared
// with reflect.DeepEqual as long as Open is nil.
type Listen struct {
	// Addr is where connections are accepted, such as ":8888". Mandatory.
	Addr string

	// CertFile and KeyFile are PEM files; setting them switches TLS on, with
	// HTTP/2. They are read again when they change on disk.
	CertFile, KeyFile string

	// TLS is used in place of CertFile and KeyFile.
	TLS *tls.Config

	// AllowOrigins are the origins whose pages may read answers (CORS):
	// "https://example.com", "https://*.example.com", "http://localhost:*" with any
	// port, or "*" for all of them. Pages of origins that only "*" admits cannot use
	// credentials of the browser. Default: none.
	AllowOrigins []string

	// TrustedProxies are the networks of proxies whose X-Forwarded-For,
	// X-Forwarded-Proto and X-Forwarded-Host headers are believed.
	TrustedProxies []netip.Prefix

	// ReadTimeout bounds how long a client may take to send the header of a
	// request, and then its body. Default 10s.
	ReadTimeout time.Duration

	// WriteTimeout bounds how long a client may refuse data. It does not bound
	// requests: each write has its own deadline. Default 10s.
	WriteTimeout time.Duration

	// MaxBodyBytes bounds the body of a request. Default 10 MiB.
	MaxBodyBytes int64

	// Log gets one line per request, at debug level, without secrets. Optional.
	Log *slog.Logger

	// Open opens the listener. Default net.Listen.
	Open OpenFunc
}

var _ Endpoint = Listen{}

// Validate tells what is wrong with the values.
func (l Listen) Validate() error {
	if _, _, err := net.SplitHostPort(l.Addr); err != nil {
		return fmt.Errorf("address %q: must be HOST:PORT or :PORT", l.Addr)
	}
	if l.TLS == nil && (l.CertFile == "") != (l.KeyFile == "") {
		return errors.New("a certificate needs a key, and a key a certificate")
	}
	return validateOrigins(l.AllowOrigins)
}

func (l Listen) withDefaults(log *slog.Logger, open OpenFunc) Listen {
	if l.Log == nil {
		l.Log = log
	}
	if l.Open == nil {
		l.Open = open
	}
	return l
}

func (l Listen) policy() policy {
	return policy{
		allowOrigins:   l.AllowOrigins,
		trustedProxies: l.TrustedProxies,
		readTimeout:    l.ReadTimeout,
		writeTimeout:   l.WriteTimeout,
		maxBodyBytes:   l.MaxBodyBytes,
		log:            l.Log,
	}.orDefault()
}

// tlsConfig returns what connections are accepted with; nil without TLS.
func (l Listen) tlsConfig(log *slog.Logger) (*tls.Config, error) {
	switch {
	case l.TLS != nil:
		return l.TLS.Clone(), nil
	case l.CertFile != "":
		return tlscert.LoggedConfig(l.CertFile, l.KeyFile, log)
	}
	return nil, nil
}

// Serve implements Endpoint.
func (l Listen) Serve(ctx context.Context, handler http.Handler, ready func(net.Addr)) error {
	if err := l.Validate(); err != nil {
		return err
	}
	p := l.policy()
	conf, err := l.tlsConfig(p.log)
	if err != nil {
		return err
	}
	open := l.Open
	if open == nil {
		open = net.Listen
	}
	ln, err := open(networkOf(l.Addr), l.Addr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := newGuard(ctx, p, handler)
	conns := &tracker{silent: map[net.Conn]struct{}{}}
	srv := &http.Server{
		Handler:           g,
		TLSConfig:         conf,
		ReadHeaderTimeout: p.readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// deadlines of streams cannot end a connection that takes nothing
		HTTP2:       &http.HTTP2Config{WriteByteTimeout: p.writeTimeout},
		ErrorLog:    slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnState:   conns.track,
	}
	ready(ln.Addr())
	served := make(chan error, 1)
	go func() {
		if conf != nil {
			served <- srv.ServeTLS(ln, "", "")
		} else {
			served <- srv.Serve(ln)
		}
	}()
	err = nil
	select {
	case <-ctx.Done():
	case err = <-served:
		served <- err
	}
	cancel()
	conns.end()
	shutdown(srv)
	<-served //nolint:errcheck // it is known, or of no interest anymore
	conns.wg.Wait()
	g.wait()
	return err
}

// shutdown lets requests end, for a while.
func shutdown(srv *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = srv.Shutdown(ctx)
	_ = srv.Close()
}

// networkOf takes 0.0.0.0 literally: without IPv6.
func networkOf(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return "tcp4"
	}
	return "tcp"
}

// tracker counts connections, whose goroutines http.Server does not wait for.
type tracker struct {
	wg sync.WaitGroup

	mu     sync.Mutex
	silent map[net.Conn]struct{} // no byte of a request has arrived
	ending bool
}

func (t *tracker) track(c net.Conn, s http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.silent, c)
	switch s {
	case http.StateNew:
		t.wg.Add(1)
		if t.ending {
			_ = c.Close()
		}
		t.silent[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		t.wg.Done()
	}
}

// end closes connections that http.Server.Shutdown would wait for although they
// have no request.
func (t *tracker) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ending = true
	for c := range t.silent {
		_ = c.Close()
	}
}

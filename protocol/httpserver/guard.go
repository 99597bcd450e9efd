package httpserver

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// guard stands in front of a handler.
type guard struct {
	policy
	handler http.Handler
	ctx     context.Context //nolint:containedctx // bounds all requests
	answer  ErrorFunc       // see Errors
	guest   bool            // the server is not ours
	lean    bool            // see Lean

	mu     sync.Mutex
	active map[*writer]struct{}
	inside int // requests that entered by enter
	closed bool
	idle   chan struct{} // closed when closed and nobody is left
	once   sync.Once
	wg     sync.WaitGroup
}

func newGuard(ctx context.Context, p policy, handler http.Handler) *guard {
	g := &guard{policy: p, ctx: ctx, answer: plainError, active: map[*writer]struct{}{}, idle: make(chan struct{})}
	if e, ok := handler.(withErrors); ok {
		handler, g.answer = e.Handler, e.answer
	}
	g.handler = handler
	_, g.lean = handler.(lean)
	return g
}

// ErrorFunc writes an answer that tells what is wrong.
type ErrorFunc func(w http.ResponseWriter, status int, err error)

// Errors makes an endpoint give its own answers, to paths that climb for example
// or after a panic, in the form of those of the handler. Otherwise they are plain
// text. The result is for Serve, not for other wrappers.
func Errors(h http.Handler, answer ErrorFunc) http.Handler { return withErrors{h, answer} }

type withErrors struct {
	http.Handler
	answer ErrorFunc
}

func plainError(w http.ResponseWriter, status int, err error) { http.Error(w, err.Error(), status) }

// What the guard answers.
var (
	errInvalidPath = errors.New("invalid path")
	errNotFound    = errors.New("not found")
	errInternal    = errors.New("internal error")
)

func probeURL(path string) *url.URL { return &url.URL{Path: path} }

// enter is called for requests of servers that are not ours, which may begin
// at any time. It fails after close.
func (g *guard) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *guard) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		g.once.Do(func() { close(g.idle) })
	}
}

// close waits until requests that entered are over; after a while it breaks
// their connections.
func (g *guard) close() {
	g.mu.Lock()
	g.closed = true
	if g.inside == 0 {
		g.once.Do(func() { close(g.idle) })
	}
	g.mu.Unlock()
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-g.idle:
		return
	case <-t.C:
	}
	g.mu.Lock()
	for w := range g.active {
		w.kill()
	}
	g.mu.Unlock()
	<-g.idle
}

// wait waits for requests of a server that is ours and was closed.
func (g *guard) wait() { g.wg.Wait() }

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if g.lean && !g.guest && g.takeOver(rw, r) {
		return
	}
	g.serveOne(rw, r)
}

func (g *guard) serveOne(rw http.ResponseWriter, r *http.Request) {
	g.wg.Add(1)
	defer g.wg.Done()
	w := newWriter(rw, r, g.writeTimeout)
	began := time.Now()
	g.register(w)
	defer func() {
		v := recover()
		w.finish()
		g.unregister(w)
		answered := v == nil || g.failed(w, r, v)
		g.logRequest(w, r, began, v)
		if !answered {
			panic(http.ErrAbortHandler) // half an answer was sent: the connection must break
		}
	}()
	g.serve(w, r)
}

func (g *guard) register(w *writer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active[w] = struct{}{}
}

func (g *guard) unregister(w *writer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.active, w)
}

// failed answers and logs a panic of the handler; false if it is too late for an
// answer.
func (g *guard) failed(w *writer, r *http.Request, v any) bool {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return false
	}
	g.log.Error("panic", "error", v, "method", r.Method, "uri", w.uri(r), "stack", string(debug.Stack()))
	if w.status != 0 {
		return false
	}
	w.status = http.StatusInternalServerError
	for _, name := range contentHeaders {
		w.Header().Del(name)
	}
	g.answer(w.ResponseWriter, http.StatusInternalServerError, errInternal)
	return true
}

func (g *guard) serve(w *writer, r *http.Request) {
	h := w.Header()
	h["Server"] = serverHeader
	var sent *body
	if r.Body != nil && r.Body != http.NoBody {
		sent = newBody(w, r.Body, g.maxBodyBytes, g.readTimeout) // its deadline holds for what is answered at once, too
	}
	if len(g.allowOrigins) > 0 && g.cors(h, r) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, g.prefix)
	switch {
	case !ok || path != "" && path[0] != '/':
		g.answer(w, http.StatusNotFound, errNotFound)
		return
	case !safePath(path):
		g.answer(w, http.StatusBadRequest, errInvalidPath)
		return
	}
	if path == "" {
		path = "/"
	}
	ctx, cancel := g.requestContext(r)
	defer cancel()
	if i, ok := ctx.Value(infoKey{}).(*info); ok && i.by == g && ctx == r.Context() && path == r.URL.Path && r.Body == http.NoBody {
		g.handler.ServeHTTP(w, r) // it was inspected before, see leanConn
		return
	}
	next := r.WithContext(context.WithValue(ctx, infoKey{}, g.inspect(r)))
	if path != r.URL.Path {
		u := *r.URL
		u.Path, u.RawPath = path, strings.TrimPrefix(u.RawPath, g.prefix)
		next.URL = &u
	}
	if sent != nil {
		next.Body = sent
	}
	g.handler.ServeHTTP(w, next)
}

// requestContext ends with the request and with Serve.
func (g *guard) requestContext(r *http.Request) (context.Context, context.CancelFunc) {
	if !g.guest {
		return r.Context(), func() {} // it descends from that of Serve
	}
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(g.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// safePath refuses what no handler should have to think of: segments that climb,
// also when they were encoded, control characters, invalid UTF-8.
func safePath(p string) bool {
	for i := range len(p) {
		if c := p[i]; c < 0x20 || c == 0x7f || c == '\\' {
			return false
		}
	}
	if !strings.Contains(p, "..") {
		return utf8.ValidString(p)
	}
	for seg := range strings.SplitSeq(p, "/") {
		if seg == ".." {
			return false
		}
	}
	return utf8.ValidString(p)
}

// contentHeaders are about the answer that was not given.
var contentHeaders = []string{
	"Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Type", "Etag", "Last-Modified",
}

// serverHeader is shared by all answers.
var serverHeader = []string{serverName}

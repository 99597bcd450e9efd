package controlapi

import (
	"context"
	"errors"

	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
)

// Options are what the API needs to know beside the router.
type Options struct {
	// Store is the configuration. Without one /v3/config answers 404.
	Store ConfigStore

	// Recordings are the recorded files. Without them /v3/recordings answers 404.
	Recordings Recordings

	// Feed is told to those who listen to /v3/events, beside what the router
	// does. Optional.
	Feed *Feed

	// Version of the program, for /v3/info.
	Version string

	// Started is when the program was started. Default: when the handler was made.
	Started time.Time

	// TrustedOrigins are the origins, such as "https://admin.example.com", whose
	// pages may change something. The API's own needs to be there too if pages reach
	// it by a domain name.
	TrustedOrigins []string

	// QueryToken accepts a token in the query parameter "jwt" or "token".
	QueryToken bool
}

// Handler returns the API as a plain handler, without authentication. It belongs
// to the router for good.
func Handler(r *router.Router, o Options) http.Handler {
	h, _ := newHandler(r, o)
	return h
}

// newHandler also returns what takes the handler off the router.
func newHandler(r *router.Router, o Options) (h http.Handler, remove func()) {
	if o.Feed == nil {
		o.Feed = NewFeed()
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	a := &api{router: r, Options: o, events: make(chan struct{}, maxListeners)}
	mux := chi.NewRouter()
	notFound := func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, errors.New("not found"))
	}
	mux.NotFound(notFound)
	mux.MethodNotAllowed(notFound)
	for _, rt := range a.routes() {
		mux.MethodFunc(rt.method, strings.Replace(rt.pattern, "{name}", "*", 1), func(w http.ResponseWriter, r *http.Request) {
			if rt.handle == nil || rt.enabled != nil && !rt.enabled() {
				notFound(w, r)
				return
			}
			rt.handle(w, r)
		})
	}
	mux.Head("/healthz", a.healthy) // monitors often ask so
	mux.Head("/readyz", a.ready)
	return guard(o.TrustedOrigins, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawPath = "" // names are matched as they are meant, whatever was escaped
		mux.ServeHTTP(w, r)
	})), r.Observe(hook.Events(o.Feed.Emit))
}

// api serves the requests.
type api struct {
	Options
	router *router.Router
	events chan struct{} // a place for each listener
}

// route is an endpoint.
type route struct {
	method, pattern string
	handle          http.HandlerFunc
	enabled         func() bool // nil: always
	answer          string      // name of the type of the answer, for the description; empty: OK
	body            string      // name of the type of the body, empty: none
	query           []string    // parameters, beside those of pages
	summary         string
}

func (a *api) routes() []route {
	rs := []route{
		{method: "GET", pattern: "/v3/info", handle: a.info, answer: "Info", summary: "returns the version and the start time of the server."},
		{method: "POST", pattern: "/v3/auth/jwks/refresh", handle: a.refreshKeys, summary: "fetches the keys of JSON Web Tokens again."},
		{method: "GET", pattern: "/v3/paths/list", handle: a.listPaths, answer: "PathList", summary: "returns the live paths."},
		{method: "GET", pattern: "/v3/paths/get/{name}", handle: a.getPath, answer: "Path", summary: "returns a live path."},
		{method: "GET", pattern: "/v3/events", handle: a.listen, answer: "Event", query: []string{"type"}, summary: "streams events, as server-sent events."},
		{method: "GET", pattern: "/healthz", handle: a.healthy, summary: "tells that the server is alive."},
		{method: "GET", pattern: "/readyz", handle: a.ready, summary: "tells whether all servers are running."},
	}
	rs = append(rs, a.configRoutes()...)
	rs = append(rs, a.recordingRoutes()...)
	for _, k := range kinds() {
		rs = append(rs, a.sessionRoutes(k)...)
	}
	return rs
}

// Info is the answer of /v3/info.
type Info struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

func (a *api) info(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, Info{a.Version, a.Started})
}

// refreshKeys asks the authenticator, if it has keys.
func (a *api) refreshKeys(w http.ResponseWriter, r *http.Request) {
	c, ok := a.router.Config().Auth.(interface{ Refresh(context.Context) error })
	if !ok {
		writeOK(w) // without tokens there is nothing to refresh, which scripts need not know
		return
	}
	if err := c.Refresh(r.Context()); err != nil {
		writeError(w, http.StatusInternalServerError, err)
		return
	}
	writeOK(w)
}

func (*api) healthy(w http.ResponseWriter, _ *http.Request) { writeOK(w) }

// ready succeeds when every protocol of the configuration runs.
func (a *api) ready(w http.ResponseWriter, _ *http.Request) {
	cfg := a.router.Config()
	if len(a.router.Protocols()) < len(cfg.Protocols) || a.router.Err() != nil {
		writeError(w, http.StatusServiceUnavailable, errors.New("not all servers are running"))
		return
	}
	writeOK(w)
}

// Package controlapi is the HTTP API with which operators see and change what a
// router does, in the version 3 that tools for MediaMTX know.
//
// [Server] is a router.Protocol with a listener and authentication (action
// "api"); [Handler] is the same as a plain handler, for programs that have their
// own:
//
//	mux.Handle("/api/", http.StripPrefix("/api", controlapi.Handler(r, controlapi.Options{})))
//
// Every answer is JSON. Changes answer {"status":"ok"}; what is wrong is told as
// {"status":"error","error":"..."} with 400 (the request), 404 (nothing there) or
// 500 (the server).
//
//	GET   /v3/paths/list, /v3/paths/get/NAME           live paths
//	GET   /v3/rtspsessions/list, .../get/ID            clients, of each protocol
//	POST  /v3/rtspsessions/kick/ID
//	GET   /v3/config/global/get, PATCH .../patch       the configuration, with a ConfigStore
//	GET   /v3/events                                   what happens, as server-sent events
//	GET   /healthz, /readyz                            for orchestrators, without authentication
//
// Lists are divided in pages (?page=0&itemsPerPage=100).
//
// Pages of other origins can read answers if the endpoint allows their origin.
// They can change something only if their origin is named in TrustedOrigins: a
// browser sends the address, and perhaps the credentials, of an operator who
// visits the wrong page.
package controlapi

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

// Server is the API with its listener and authentication.
type Server struct {
	// HTTP is where the API is served. Default: a listener on ":9997".
	HTTP httpserver.Endpoint

	Options
}

var _ router.Protocol = (*Server)(nil)

// Name implements router.Protocol.
func (*Server) Name() string { return "api" }

// Serve implements router.Protocol.
func (s *Server) Serve(ctx context.Context, h *router.Host) error {
	endpoint := s.HTTP
	if endpoint == nil {
		endpoint = httpserver.Listen{Addr: ":9997"}
	}
	handler, remove := newHandler(h.Router(), s.Options)
	defer remove()
	handler = authenticated(h, router.ActionAPI, s.QueryToken, handler, "/healthz", "/readyz")
	e := httpserver.WithDefaults(endpoint, h.Log(), h.Listen)
	return e.Serve(ctx, httpserver.Errors(handler, writeError), Announce(h))
}

// Announce returns what an endpoint calls when it is ready: it tells the log and
// the router.
func Announce(h *router.Host) func(net.Addr) {
	return func(a net.Addr) {
		if a == nil {
			h.Log().Info("serving on the mux of the program")
			h.Ready()
			return
		}
		h.Log().Info("listening", "address", a.String())
		h.Ready(a)
	}
}

// Authenticated guards a handler with the authenticator of the router.
// QueryToken accepts a token in the query.
func Authenticated(h *router.Host, action router.Action, queryToken bool, next http.Handler) http.Handler {
	return authenticated(h, action, queryToken, next)
}

// authenticated lets requests to free paths through.
func authenticated(h *router.Host, action router.Action, queryToken bool, next http.Handler, free ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, p := range free {
			if r.URL.Path == p {
				next.ServeHTTP(w, r)
				return
			}
		}
		cred := httpserver.CredentialsOf(r, queryToken)
		grant, err := h.Authorize(r.Context(), &router.AccessRequest{
			Action: action, Query: r.URL.RawQuery, UserAgent: r.UserAgent(), Addr: httpserver.ClientAddr(r),
			User: cred.User, Pass: cred.Pass, Token: cred.Token,
		})
		if err == nil {
			if until := grant.Identity().Expires; !until.IsZero() { // events are streamed without end
				ctx, cancel := context.WithDeadline(r.Context(), until)
				defer cancel()
				r = r.WithContext(ctx)
			}
			next.ServeHTTP(w, r)
			return
		}
		if ae, ok := errors.AsType[*router.AuthError](err); !ok || !ae.AskCredentials {
			h.Log().Info("access denied", "remote", httpserver.ClientAddr(r), "action", string(action), "reason", err)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="mediamtx"`)
		writeError(w, http.StatusUnauthorized, errAuthentication)
	})
}

// errAuthentication is all that a client learns.
var errAuthentication = errors.New("authentication error")

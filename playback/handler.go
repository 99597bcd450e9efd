package playback

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
)

// server is a running Server.
type server struct {
	Server
	host      *router.Host
	log       *slog.Logger
	catalogue atomic.Pointer[catalogue] // of the configuration in force
	lib       *library
	page      *page
	windows   *windows
}

// request is what is asked of a path.
type request struct {
	*http.Request
	path    string
	pattern record.Pattern
	query   url.Values
}

// handler answers a request, or returns an error if it has not begun to.
type handler func(w http.ResponseWriter, r *request) error

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		w.Header().Set("Allow", "OPTIONS, GET, HEAD")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		w.Header().Set("Allow", "OPTIONS, GET, HEAD")
		writeError(w, http.StatusMethodNotAllowed, errors.New("method not allowed"))
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeError(w, http.StatusBadRequest, errors.New("the query of the URL is not valid"))
		return
	}
	path, h := s.route(r.URL.Path, query)
	if h == nil {
		writeError(w, http.StatusNotFound, errors.New("not found"))
		return
	}
	q := &request{Request: r, path: path, query: query}
	if err := s.admit(q); err != nil {
		s.refuse(w, q, err)
		return
	}
	if err := h(w, q); err != nil {
		s.refuse(w, q, err)
	}
}

// route finds what answers a URL.
func (s *server) route(p string, query url.Values) (path string, h handler) {
	p = strings.TrimPrefix(p, "/")
	switch p {
	case "list":
		return query.Get("path"), s.serveList
	case "get":
		return query.Get("path"), s.serveGet
	case "", "favicon.ico":
		return "", nil
	}
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return p, redirectToPage
	}
	dir, file := p[:i], p[i+1:]
	if name, ok := strings.CutPrefix(dir, "vod/"); ok {
		switch {
		case file == "index.m3u8":
			return name, s.servePlaylist
		case strings.HasPrefix(file, "init_") || strings.HasSuffix(file, ".m4s"):
			return name, s.serveMedia(file)
		case strings.HasSuffix(file, ".mp4"):
			return name, s.serveFile(file)
		}
	}
	switch file {
	case "":
		return dir, s.servePage
	case scriptFile:
		return dir, s.serveScript
	}
	return p, redirectToPage
}

// redirectToPage adds the slash at the end.
func redirectToPage(w http.ResponseWriter, r *request) error {
	to := httpserver.Prefix(r.Request) + "/" + r.path + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
	return nil
}

// admit asks whether the client may play the path, and finds its recordings.
func (s *server) admit(r *request) error {
	if r.path == "" {
		return requestError("path: is missing")
	}
	if err := router.ValidatePathName(r.path); err != nil {
		return requestError("path: " + err.Error())
	}
	cred := httpserver.CredentialsOf(r.Request, s.QueryToken)
	if _, err := s.host.Authorize(r.Context(), &router.AccessRequest{
		Action: router.ActionPlayback, Path: r.path, Query: r.URL.RawQuery, UserAgent: r.UserAgent(),
		Addr: httpserver.ClientAddr(r.Request), User: cred.User, Pass: cred.Pass, Token: cred.Token,
	}); err != nil {
		return err
	}
	var ok bool
	if r.pattern, ok = s.catalogue.Load().find(r.path); !ok {
		return errNotConfigured
	}
	return nil
}

var (
	errNotConfigured = errors.New("the path is not configured")
	errNeverRecorded = errors.New("the path was never recorded")
)

// requestError is the fault of the client.
type requestError string

func (e requestError) Error() string { return string(e) }

// refuse turns an error into an answer.
func (s *server) refuse(w http.ResponseWriter, r *request, err error) {
	var auth *router.AuthError
	var bad requestError
	switch {
	case errors.As(err, &auth):
		if !auth.AskCredentials {
			s.log.Warn("access denied", "path", r.path, "remote", httpserver.ClientAddr(r.Request), "error", auth.Err)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="mediamtx"`)
		writeError(w, http.StatusUnauthorized, errors.New("authentication error"))
	case errors.As(err, &bad):
		writeError(w, http.StatusBadRequest, err)
	case errors.Is(err, errTooLong):
		writeError(w, http.StatusBadRequest, err)
	case errors.Is(err, errNoRecording), errors.Is(err, errNeverRecorded), errors.Is(err, errNotConfigured):
		writeError(w, http.StatusNotFound, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		writeError(w, http.StatusServiceUnavailable, err)
	default:
		s.log.Warn("a recording cannot be read", "path", r.path, "error", err)
		writeError(w, http.StatusInternalServerError, errors.New("the recordings cannot be read"))
	}
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	}{"error", err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // URLs stay legible
	_ = e.Encode(v)        // who left does not matter
}

// tokenQuery returns the credentials in the query of a request, to be passed on.
func (s *server) tokenQuery(q url.Values) url.Values {
	out := url.Values{}
	if s.QueryToken {
		for _, name := range []string{"jwt", "token"} {
			if v := q.Get(name); v != "" {
				out.Set(name, v)
			}
		}
	}
	return out
}

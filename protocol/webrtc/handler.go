package webrtc

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

// Media types.
const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag" // RFC 8840
	typeJSON     = "application/json; charset=utf-8"
)

// maxSDP bounds the bodies of requests, bytes.
const maxSDP = 128 << 10

// targetKind is what a URL names.
type targetKind uint8

const (
	targetNothing  targetKind = iota
	targetRedirect            // to target.to
	targetFile                // target.file, a script or a page
	targetEndpoint            // of WHIP or WHEP
	targetSession
)

// target is what a URL names.
type target struct {
	kind   targetKind
	name   string        // of the path, not validated
	action router.Action // that the target needs, or that the session is for; empty for scripts
	file   string
	to     string // path of a URL
	secret string
}

// targetOf takes the path of a URL apart. The names of paths may hold slashes,
// so that the last segments decide.
func targetOf(p string) target {
	p = strings.TrimPrefix(p, "/")
	full, slash := strings.CutSuffix(p, "/")
	dir, base := path.Split(full)
	name := strings.TrimSuffix(dir, "/")
	if p == "" || p == "favicon.ico" {
		return target{}
	}
	if name != "" {
		action, isEndpoint := actionOf(base)
		switch {
		case isEndpoint:
			return target{kind: targetEndpoint, name: name, action: action}
		case (base == readerScript || base == publisherScript) && !slash:
			return target{kind: targetFile, name: name, file: base}
		case base == "publish" && slash:
			return target{kind: targetRedirect, name: name, to: "/" + full} // its scripts lie beside it
		case base == "publish":
			return target{kind: targetFile, name: name, action: router.ActionPublish, file: publishPage}
		}
		outer, endpoint := path.Split(name)
		if action, ok := actionOf(endpoint); ok && outer != "" && isSecret(base) {
			return target{kind: targetSession, name: strings.TrimSuffix(outer, "/"), action: action, secret: base}
		}
	}
	if slash {
		return target{kind: targetFile, name: full, action: router.ActionRead, file: readPage}
	}
	return target{kind: targetRedirect, name: full, to: "/" + full + "/"}
}

// actionOf is what the name of an endpoint stands for.
func actionOf(endpoint string) (action router.Action, ok bool) {
	switch endpoint {
	case "whip":
		return router.ActionPublish, true
	case "whep":
		return router.ActionRead, true
	}
	return "", false
}

// endpointOf is the opposite of actionOf.
func endpointOf(a router.Action) string {
	if a == router.ActionPublish {
		return "whip"
	}
	return "whep"
}

// isSecret tells what may be a secret of ours.
func isSecret(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36
}

// ServeHTTP implements http.Handler.
func (sv *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := sv.serve(w, r); err != nil {
		sv.refuse(w, r, err)
	}
}

func (sv *server) serve(w http.ResponseWriter, r *http.Request) error {
	t := targetOf(r.URL.Path)
	if t.kind == targetNothing {
		return errNotFound
	}
	if err := router.ValidatePathName(t.name); err != nil {
		return &httpError{http.StatusBadRequest, err.Error()}
	}
	switch t.kind {
	case targetEndpoint:
		return sv.serveEndpoint(w, r, t)
	case targetSession:
		return sv.serveSession(w, r, t)
	}
	if err := allow(w, r, http.MethodGet, http.MethodHead); err != nil || r.Method == http.MethodOptions {
		return err
	}
	switch {
	case t.kind == targetRedirect:
		redirect(w, r, http.StatusFound, t.to)
		return nil
	case t.action != "":
		if _, err := sv.authorize(r, t.action, t.name, ""); err != nil {
			return err
		}
	}
	sv.pages.serve(w, r, t.file)
	return nil
}

// allow refuses other methods, and answers OPTIONS.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) error {
	list := http.MethodOptions + ", " + strings.Join(methods, ", ")
	for _, m := range methods {
		if r.Method == m {
			return nil
		}
	}
	w.Header().Set("Allow", list)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return &httpError{http.StatusMethodNotAllowed, "method " + r.Method + " is not allowed here: use one of " + list}
}

// redirect keeps the query. to is a path on this endpoint, or an absolute URL.
func redirect(w http.ResponseWriter, r *http.Request, status int, to string) {
	if strings.HasPrefix(to, "/") {
		to = httpserver.Prefix(r) + to
	}
	if r.URL.RawQuery != "" {
		sep := "?"
		if strings.Contains(to, "?") {
			sep = "&"
		}
		to += sep + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(status)
}

// authorize asks for permission.
func (sv *server) authorize(r *http.Request, action router.Action, name, sessionID string) (*router.Grant, error) {
	cred := httpserver.CredentialsOf(r, sv.hot.Load().QueryToken)
	return sv.host.Authorize(r.Context(), &router.AccessRequest{
		Action: action, Path: name, Query: r.URL.RawQuery, SessionID: sessionID, UserAgent: r.UserAgent(),
		Addr: httpserver.ClientAddr(r), User: cred.User, Pass: cred.Pass, Token: cred.Token,
	})
}

// serveEndpoint serves the URL where sessions begin (RFC 9725 section 4.2).
func (sv *server) serveEndpoint(w http.ResponseWriter, r *http.Request, t target) error {
	switch r.Method {
	case http.MethodPost:
		return sv.begin(w, r, t)
	case http.MethodOptions:
		// a preflight that is not answered by the endpoint comes without credentials
		if r.Header.Get("Access-Control-Request-Method") == "" {
			if _, err := sv.authorize(r, t.action, t.name, ""); err != nil {
				return err
			}
			sv.addLinks(w.Header())
		}
		w.Header().Set("Accept-Post", typeSDP)
	}
	return allow(w, r, http.MethodPost)
}

func (sv *server) addLinks(h http.Header) {
	for _, l := range links(sv.hot.Load().ICEServers, time.Now()) {
		h.Add("Link", l)
	}
}

// begin opens a session.
func (sv *server) begin(w http.ResponseWriter, r *http.Request, t target) error {
	s := sv.newSession(r, t)
	answer, err := s.negotiate(w, r)
	if err != nil {
		s.refused(err)
		return err
	}
	h := w.Header()
	h.Set("Content-Type", typeSDP)
	h.Set("Location", s.location(httpserver.Prefix(r)))
	h.Set("ETag", entityTag)
	h.Set("ID", s.id)
	h.Set("Accept-Patch", typeFragment)
	h.Set("Cache-Control", "no-store")
	sv.addLinks(h)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer) //nolint:gosec // a session description, never HTML
	return nil
}

// negotiate returns the answer to the offer in the body.
func (s *session) negotiate(w http.ResponseWriter, r *http.Request) (answer string, err error) {
	grant, err := s.sv.authorize(r, s.action, s.urlName, s.id)
	if err != nil {
		return "", err
	}
	offer, err := readBody(w, r, typeSDP)
	if err != nil {
		return "", err
	}
	return s.open(r, grant, offer)
}

// entityTag is that of every session: it matches anything, so that clients need
// not keep track of it.
const entityTag = "*"

// serveSession serves the URL of a session (RFC 9725 section 4.3). The secret in
// it takes the place of credentials.
func (sv *server) serveSession(w http.ResponseWriter, r *http.Request, t target) error {
	httpserver.LogPath(w, httpserver.Prefix(r)+"/"+t.name+"/"+endpointOf(t.action)+"/***")
	if r.Method == http.MethodOptions {
		w.Header().Set("Accept-Patch", typeFragment)
	}
	if err := allow(w, r, http.MethodPatch, http.MethodDelete); err != nil || r.Method == http.MethodOptions {
		return err
	}
	s := sv.session(t)
	if s == nil {
		return errNoSession
	}
	if r.Method == http.MethodDelete {
		s.end(errLeft)
		<-s.ended
		w.WriteHeader(http.StatusOK)
		return nil
	}
	switch m := r.Header.Get("If-Match"); m {
	case "", entityTag, `"` + entityTag + `"`:
	default:
		return &httpError{http.StatusPreconditionFailed, "If-Match must be " + entityTag}
	}
	fragment, err := readBody(w, r, typeFragment)
	if err != nil {
		return err
	}
	answer, err := s.patch(r.Context(), fragment)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", entityTag)
	if answer == "" {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	w.Header().Set("Content-Type", typeFragment)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, answer)
	return nil
}

// readBody reads a body of a media type.
func readBody(w http.ResponseWriter, r *http.Request, mediaType string) (string, error) {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != mediaType {
		return "", &httpError{http.StatusBadRequest, "Content-Type must be " + mediaType}
	}
	tooLarge := &httpError{http.StatusRequestEntityTooLarge, "the body must not be larger than " + strconv.Itoa(maxSDP) + " bytes"}
	if r.ContentLength > maxSDP {
		return "", tooLarge
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSDP))
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return "", tooLarge
	case err != nil:
		return "", &httpError{http.StatusBadRequest, "the body could not be read"}
	case len(b) == 0:
		return "", &httpError{http.StatusBadRequest, "the body is missing"}
	}
	return string(b), nil
}

// writeError answers as the Control API does.
func writeError(w http.ResponseWriter, r *http.Request, status int, text string) {
	b, err := json.Marshal(map[string]string{"status": "error", "error": text})
	if err != nil {
		b = []byte(`{"status":"error","error":"internal error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", typeJSON)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b)
	}
}

package hls

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

// Values of headers, shared by all answers.
var (
	headerNoCache   = []string{"no-cache"}
	headerImmutable = []string{"public, max-age=3600, immutable"}
	headerPrivate   = []string{"private, max-age=3600, immutable"}
	headerVary      = []string{"Accept-Encoding"}
	headerGzip      = []string{"gzip"}
	headerNoSniff   = []string{"nosniff"}
)

// scriptFile is hls.js, beside every page.
const scriptFile = "hls.min.js"

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		w.Header().Set("Allow", "OPTIONS, GET, HEAD")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		w.Header().Set("Allow", "OPTIONS, GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, file := splitPath(r.URL.Path)
	if name == "" || name == "favicon.ico" {
		http.NotFound(w, r)
		return
	}
	if err := router.ValidatePathName(name); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch file {
	case "":
		redirect(w, r, "/"+name+"/")
	case scriptFile:
		s.page.serveScript(w, r)
	default:
		s.servePath(w, r, name, file)
	}
}

// pageFile stands for the page itself.
const pageFile = "/"

// splitPath takes a URL apart: into the name of a path and the file that is
// asked for, which is pageFile after a slash, and empty if the slash is missing.
func splitPath(p string) (name, file string) {
	p = strings.TrimPrefix(p, "/")
	if name, ok := strings.CutSuffix(p, "/"); ok {
		return name, pageFile
	}
	dir, base := path.Split(p)
	switch path.Ext(base) {
	case ".m3u8", ".ts", ".mp4":
	default:
		if base != scriptFile {
			return p, ""
		}
	}
	if dir == "" {
		return p, ""
	}
	return strings.TrimSuffix(dir, "/"), base
}

// redirect keeps the query. to is a path on this endpoint, or an absolute URL.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
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
	w.WriteHeader(http.StatusFound)
}

// servePath serves everything that needs permission.
func (s *server) servePath(w http.ResponseWriter, r *http.Request, name, file string) {
	cred := httpserver.CredentialsOf(r, s.QueryToken)
	ask := router.AccessRequest{
		Action: router.ActionRead, Path: name, Query: r.URL.RawQuery, UserAgent: r.UserAgent(),
		Addr: httpserver.ClientAddr(r), User: cred.User, Pass: cred.Pass, Token: cred.Token,
	}
	private := cred != httpserver.Credentials{}
	if s.isCDN(r) {
		ask.Known, private = &router.Identity{User: cdnUser}, false
	}
	grant, err := s.host.Authorize(r.Context(), &ask)
	if err != nil {
		s.refuse(w, r, name, file, err)
		return
	}
	if file == pageFile {
		s.page.serve(w, r)
		return
	}
	m, a, err := s.fetch(r, grant, file)
	if err != nil {
		s.refuse(w, r, name, file, err)
		return
	}
	if m == nil { // the muxer is not there anymore
		s.send(w, r, a, private)
		return
	}
	var v *watcher
	if a.status == http.StatusOK {
		v = m.viewers.begin(r, grant.Identity().User)
	}
	n := s.send(w, r, a, private)
	v.end(n)
	m.out.Add(uint64(n))
}

// cdnUser is how a content delivery network is called among viewers.
const cdnUser = "CDN"

// isCDN tells a content delivery network by its secret.
func (s *server) isCDN(r *http.Request) bool {
	if s.CDNSecret == "" {
		return false
	}
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare([]byte(got), []byte(s.CDNSecret)) == 1
}

// fetch finds the muxer of a path, or makes one, and gets a file from it. There is
// no muxer if the file is left from one that is over.
func (s *server) fetch(r *http.Request, grant *router.Grant, file string) (*muxer, *answer, error) {
	ctx, path := r.Context(), grant.Path()
	ask := wish{file, directivesOf(r.URL.RawQuery), isPlaylist(file) && !knowsLowLatency(r.UserAgent())}
	kicked := false
	for tries := 0; ; tries++ {
		if tries > 1 && !pause(ctx, min(time.Duration(tries)*10*time.Millisecond, time.Second)) {
			return nil, nil, ctx.Err()
		}
		m := s.find(path)
		if m == nil {
			if !isPlaylist(file) {
				a, err := s.past(ctx, path, file)
				return nil, a, err
			}
			if s.drains(grant, file) {
				if back, a := s.ended(ctx, path, ask); back {
					continue
				} else if a != nil {
					return nil, a, nil
				}
			}
			m = s.demand(grant)
		}
		a, err := m.get(ctx, grant, ask)
		switch {
		case errors.Is(err, errIdle):
		case errors.Is(err, router.ErrKicked) && isPlaylist(file) && !kicked:
			kicked = true // perhaps because of a limit of the viewer that it was made for
		case !isPlaylist(file) && errors.Is(err, errNotFound):
			a, err := s.past(ctx, path, file)
			return nil, a, err
		case isPlaylist(file) && file != indexFile && isAway(err):
			back, a := s.ended(ctx, path, ask)
			if a != nil {
				return nil, a, nil
			}
			if !back {
				return nil, nil, err
			}
		default:
			return m, a, err
		}
	}
}

// pause returns false if the context ends before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// past returns a media file that is left of an earlier instance, or tells why it
// is not there. Players that were there before a restart take errNotFound for the
// end of everything, errGone for a reason to look at the playlist again; it comes
// when there is something to see.
func (s *server) past(ctx context.Context, path, file string) (*answer, error) {
	t := s.pastOf(path)
	if a := t.left().file(file); a != nil {
		return a, nil
	}
	if t != nil && t.had(file) && s.await(ctx, t, path, 0) {
		return nil, errGone
	}
	return nil, errNotFound
}

// wish is what a client asks for.
type wish struct {
	file    string
	query   directives
	classic bool // the client does not know low latency
}

func (m *muxer) get(ctx context.Context, grant *router.Grant, ask wish) (*answer, error) {
	m.begin()
	defer m.end()
	if err := m.hold(ctx, grant); err != nil {
		return nil, err
	}
	if !isPlaylist(ask.file) {
		in := m.current()
		if in == nil {
			return nil, errNotFound
		}
		a, err := in.get(ctx, ask.file, ask.query)
		if errors.Is(err, errRestart) {
			err = errNotFound // what comes next has other names
		}
		return a, err
	}
	var last *instance
	for {
		in, err := m.instance(ctx, last)
		if err != nil {
			return nil, err
		}
		get := in.get
		if ask.classic && m.Variant == LowLatency && ask.file != indexFile {
			get = in.getClassic
		}
		a, err := get(ctx, ask.file, ask.query)
		if !errors.Is(err, errRestart) {
			return a, err
		}
		last = in
	}
}

// send writes an answer, the same bytes to everybody.
func (s *server) send(w http.ResponseWriter, r *http.Request, a *answer, private bool) int {
	h := w.Header()
	switch {
	case a.playlist:
		h["Cache-Control"], h["Vary"] = headerNoCache, append(h["Vary"], headerVary...)
		if q := childQuery(r.URL.RawQuery); q != "" && a.status == http.StatusOK {
			a = a.withQuery(q)
		}
	case a.status != http.StatusOK:
		h["Cache-Control"] = headerNoCache
	case private:
		h["Cache-Control"] = headerPrivate
	default:
		h["Cache-Control"] = headerImmutable
	}
	body, length := a.body, a.length
	if a.playlist && len(body) > 0 && acceptsGzip(r) {
		body, length = a.gzipped()
		h["Content-Encoding"] = headerGzip
	}
	if a.ctype != nil {
		h["Content-Type"] = a.ctype
	}
	h["Content-Length"] = length
	w.WriteHeader(a.status)
	if r.Method == http.MethodHead {
		return 0
	}
	n, _ := w.Write(body) //nolint:gosec // playlists and media, never HTML; who left does not matter
	return n
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3).
func acceptsGzip(r *http.Request) bool {
	for _, list := range r.Header["Accept-Encoding"] {
		for part := range strings.SplitSeq(list, ",") {
			coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				_, q, ok := strings.Cut(weight, "=")
				return !ok || strings.Trim(strings.TrimSpace(q), "0.") != ""
			}
		}
	}
	return false
}

// refuse turns an error into an answer.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, name, file string, err error) {
	var auth *router.AuthError
	var to *router.RedirectError
	var query *badQueryError
	var tracks *noTracksError
	w.Header()["Cache-Control"] = headerNoCache
	status := http.StatusInternalServerError
	switch {
	case errors.As(err, &auth):
		if !auth.AskCredentials {
			s.log.Warn("access denied", "path", name, "remote", httpserver.ClientAddr(r), "error", auth.Err)
		}
		httpserver.AskCredentials(w)
		return
	case errors.As(err, &to):
		if strings.HasPrefix(to.URL, "/") {
			redirect(w, r, path.Clean(to.URL)+"/"+strings.TrimPrefix(file, "/"))
			return
		}
		redirect(w, r, to.URL)
		return
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable // nobody is there, or the server ends
	case errors.As(err, &query), errors.Is(err, router.ErrInvalidName):
		status = http.StatusBadRequest
	case errors.Is(err, errNotFound), errors.As(err, &tracks),
		errors.Is(err, router.ErrPathNotFound), errors.Is(err, router.ErrNoStream),
		errors.Is(err, router.ErrStreamClosed), errors.Is(err, router.ErrStartTimeout):
		status = http.StatusNotFound
	case errors.Is(err, errBusy), errors.Is(err, errGone), errors.Is(err, router.ErrTooManyReaders), errors.Is(err, router.ErrClosed),
		errors.Is(err, router.ErrConfigChanged), errors.Is(err, router.ErrKicked):
		status = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), status)
}

// Package pprof serves the profiles of the program, under the URLs that "go tool
// pprof" knows.
//
//	go tool pprof http://localhost:9999/debug/pprof/profile?seconds=10
//	go tool pprof http://localhost:9999/debug/pprof/heap
//
// Unlike net/http/pprof it changes nothing in programs that only import it.
package pprof

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"

	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

// maxSeconds bounds how long a profile may take.
const maxSeconds = 300

// Server serves profiles.
type Server struct {
	// HTTP is where. Default: a listener on ":9999".
	HTTP httpserver.Endpoint

	// QueryToken accepts a token in the query parameter "jwt" or "token".
	QueryToken bool
}

var _ router.Protocol = (*Server)(nil)

// Name implements router.Protocol.
func (*Server) Name() string { return "pprof" }

// Serve implements router.Protocol.
func (s *Server) Serve(ctx context.Context, h *router.Host) error {
	endpoint := s.HTTP
	if endpoint == nil {
		endpoint = httpserver.Listen{Addr: ":9999"}
	}
	e := httpserver.WithDefaults(endpoint, h.Log(), h.Listen)
	return e.Serve(ctx, controlapi.Authenticated(h, router.ActionPprof, s.QueryToken, Handler()), controlapi.Announce(h))
}

// Handler returns the profiles, without authentication, below /debug/pprof/.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/{$}", index)
	mux.HandleFunc("GET /debug/pprof/profile", profile)
	mux.HandleFunc("GET /debug/pprof/trace", traced)
	mux.HandleFunc("GET /debug/pprof/{name}", named)
	return mux
}

var indexPage = template.Must(template.New("index").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Profiles</title>
<h1>Profiles</h1>
<ul>
<li><a href="profile?seconds=30">profile</a> (CPU, 30 seconds)</li>
<li><a href="trace?seconds=5">trace</a> (5 seconds)</li>
{{range .}}<li><a href="{{.Name}}?debug=1">{{.Name}}</a> ({{.Count}})</li>
{{end}}</ul>
</html>
`))

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = indexPage.Execute(w, pprof.Profiles())
}

// named serves a profile by its name. ?debug=1 makes it readable, ?gc=1 runs the
// garbage collector before.
func named(w http.ResponseWriter, r *http.Request) {
	p := pprof.Lookup(r.PathValue("name"))
	if p == nil {
		http.Error(w, "unknown profile", http.StatusNotFound)
		return
	}
	debug, _ := strconv.Atoi(r.FormValue("debug"))
	if p.Name() == "heap" && r.FormValue("gc") != "" {
		runtime.GC()
	}
	head(w, p.Name(), debug > 0)
	_ = p.WriteTo(w, debug)
}

func head(w http.ResponseWriter, name string, text bool) {
	if text {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename=%q`, name))
}

func profile(w http.ResponseWriter, r *http.Request) {
	d, ok := duration(w, r, 30)
	if !ok {
		return
	}
	head(w, "profile", false)
	if err := pprof.StartCPUProfile(w); err != nil {
		refuse(w, err)
		return
	}
	defer pprof.StopCPUProfile()
	wait(r.Context(), d)
}

func traced(w http.ResponseWriter, r *http.Request) {
	d, ok := duration(w, r, 1)
	if !ok {
		return
	}
	head(w, "trace", false)
	if err := trace.Start(w); err != nil {
		refuse(w, err)
		return
	}
	defer trace.Stop()
	wait(r.Context(), d)
}

// refuse answers when another profile is being made.
func refuse(w http.ResponseWriter, err error) {
	w.Header().Del("Content-Disposition")
	http.Error(w, err.Error(), http.StatusConflict)
}

func duration(w http.ResponseWriter, r *http.Request, def float64) (time.Duration, bool) {
	s := def
	if v := r.FormValue("seconds"); v != "" {
		var err error
		if s, err = strconv.ParseFloat(v, 64); err != nil || !(s > 0 && s <= maxSeconds) {
			http.Error(w, fmt.Sprintf("seconds must be a number of at most %d", maxSeconds), http.StatusBadRequest)
			return 0, false
		}
	}
	return time.Duration(s * float64(time.Second)), true
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

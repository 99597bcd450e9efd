package controlapi

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

// kind is a kind of sessions of the router.
type kind struct {
	name     string // as in the registry
	protocol string // which has them
	plural   string // in URLs
	typ      string // of the answers
	byPath   bool   // they are known by the path, not by an id
	kick     bool
}

func kinds() []kind {
	return []kind{
		{name: "hlsMuxer", protocol: "hls", plural: "hlsmuxers", typ: "HLSMuxer", byPath: true},
		{name: "rtspConn", protocol: "rtsp", plural: "rtspconns", typ: "RTSPConn"},
		{name: "rtspSession", protocol: "rtsp", plural: "rtspsessions", typ: "RTSPSession", kick: true},
		{name: "rtspsConn", protocol: "rtsps", plural: "rtspsconns", typ: "RTSPConn"},
		{name: "rtspsSession", protocol: "rtsps", plural: "rtspssessions", typ: "RTSPSession", kick: true},
		{name: "rtmpConn", protocol: "rtmp", plural: "rtmpconns", typ: "RTMPConn", kick: true},
		{name: "rtmpsConn", protocol: "rtmps", plural: "rtmpsconns", typ: "RTMPConn", kick: true},
		{name: "srtConn", protocol: "srt", plural: "srtconns", typ: "SRTConn", kick: true},
		{name: "webRTCSession", protocol: "webrtc", plural: "webrtcsessions", typ: "WebRTCSession", kick: true},
	}
}

func (a *api) sessionRoutes(k kind) []route {
	on := func() bool { return slices.Contains(a.router.Protocols(), k.protocol) }
	param, get := "{id}", a.getSession(k)
	if k.byPath {
		param, get = "{name}", a.getMuxer(k)
	}
	rs := []route{
		{method: "GET", pattern: "/v3/" + k.plural + "/list", enabled: on, answer: k.typ + "List", handle: a.listSessions(k), summary: "returns all of them."},
		{method: "GET", pattern: "/v3/" + k.plural + "/get/" + param, enabled: on, answer: k.typ, handle: get, summary: "returns one."},
	}
	if k.kick {
		rs = append(rs, route{
			method: "POST", pattern: "/v3/" + k.plural + "/kick/{id}", enabled: on, handle: a.kick(k), summary: "sends a client away.",
		})
	}
	return rs
}

func (a *api) listSessions(k kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		all := []any{}
		infos := slices.Collect(a.router.Sessions(k.name))
		if k.byPath {
			slices.SortFunc(infos, func(x, y router.SessionInfo) int { return compare(x.Path, y.Path) })
		}
		for i := range infos {
			all = append(all, shown(infos[i].Details))
		}
		writePage(w, r, all)
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (a *api) getSession(k kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := parseID(r)
		if err != nil {
			writeError(w, http.StatusBadRequest, err)
			return
		}
		info, err := a.router.Session(k.name, id)
		if err != nil {
			writeError(w, http.StatusNotFound, err)
			return
		}
		writeJSON(w, shown(info.Details))
	}
}

// shown returns details without the credentials that their query may hold.
func shown(details any) any {
	v := reflect.Indirect(reflect.ValueOf(details))
	if v.Kind() != reflect.Struct {
		return details
	}
	query := v.FieldByName("Query")
	if !query.IsValid() || query.Kind() != reflect.String || query.String() == "" {
		return details
	}
	c := reflect.New(v.Type())
	c.Elem().Set(v)
	c.Elem().FieldByName("Query").SetString(httpserver.RedactQuery(query.String()))
	return c.Interface()
}

func (a *api) getMuxer(k kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := chi.URLParam(r, "*")
		if err := router.ValidatePathName(name); err != nil {
			writeError(w, http.StatusBadRequest, err)
			return
		}
		for i := range a.router.Sessions(k.name) {
			if i.Path == name {
				writeJSON(w, i.Details)
				return
			}
		}
		writeError(w, http.StatusNotFound, errors.New("muxer not found"))
	}
}

func (a *api) kick(k kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := parseID(r)
		if err != nil {
			writeError(w, http.StatusBadRequest, err)
			return
		}
		switch err := a.router.Kick(k.name, id); {
		case errors.Is(err, router.ErrSessionNotFound):
			writeError(w, http.StatusNotFound, err)
		case err != nil:
			writeError(w, http.StatusInternalServerError, err)
		default:
			writeOK(w)
		}
	}
}

func parseID(r *http.Request) (string, error) {
	s := chi.URLParam(r, "id")
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return "", fmt.Errorf("id %q: must be a UUID", s)
	}
	return id.String(), nil
}

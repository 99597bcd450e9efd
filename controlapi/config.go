package controlapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// maxBody bounds documents, in bytes.
const maxBody = 10 << 20

func (a *api) configRoutes() []route {
	on := func() bool { return !isNil(a.Store) }
	rs := []route{
		{method: "GET", pattern: "/v3/config/global/get", answer: "GlobalConf", handle: a.readConfig(func(ctx context.Context) (json.RawMessage, error) { return a.Store.Global(ctx) }), summary: "returns the global configuration."},
		{method: "PATCH", pattern: "/v3/config/global/patch", body: "GlobalConf", handle: a.changeConfig(func(ctx context.Context, _ string, doc json.RawMessage) error { return a.Store.PatchGlobal(ctx, doc) }), summary: "changes keys of the global configuration."},
		{method: "GET", pattern: "/v3/config/pathdefaults/get", answer: "PathConf", handle: a.readConfig(func(ctx context.Context) (json.RawMessage, error) { return a.Store.PathDefaults(ctx) }), summary: "returns the values of keys that paths do not set."},
		{method: "PATCH", pattern: "/v3/config/pathdefaults/patch", body: "PathConf", handle: a.changeConfig(func(ctx context.Context, _ string, doc json.RawMessage) error {
			return a.Store.PatchPathDefaults(ctx, doc)
		}), summary: "changes the values of keys that paths do not set."},
		{method: "GET", pattern: "/v3/config/paths/list", answer: "PathConfList", handle: a.listConfig, summary: "returns the configurations of all paths."},
		{method: "GET", pattern: "/v3/config/paths/get/{name}", answer: "PathConf", handle: a.getConfig, summary: "returns the configuration of a path."},
		{method: "POST", pattern: "/v3/config/paths/add/{name}", body: "PathConf", handle: a.changeConfig(func(ctx context.Context, name string, doc json.RawMessage) error {
			return a.Store.AddPath(ctx, name, doc)
		}), summary: "adds a path."},
		{method: "PATCH", pattern: "/v3/config/paths/patch/{name}", body: "PathConf", handle: a.changeConfig(func(ctx context.Context, name string, doc json.RawMessage) error {
			return a.Store.PatchPath(ctx, name, doc)
		}), summary: "changes keys of a path."},
		{method: "POST", pattern: "/v3/config/paths/replace/{name}", body: "PathConf", handle: a.changeConfig(func(ctx context.Context, name string, doc json.RawMessage) error {
			return a.Store.ReplacePath(ctx, name, doc)
		}), summary: "replaces all keys of a path."},
		{method: "DELETE", pattern: "/v3/config/paths/delete/{name}", handle: a.deleteConfig, summary: "removes a path."},
		{method: "GET", pattern: "/v3/config/export", answer: "YAML", handle: a.exportConfig, summary: "returns the whole configuration as YAML, without secrets."},
	}
	for i := range rs {
		rs[i].enabled = on
	}
	return rs
}

func (a *api) readConfig(get func(context.Context) (json.RawMessage, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		doc, err := get(r.Context())
		if err != nil {
			writeError(w, http.StatusInternalServerError, err)
			return
		}
		writeJSON(w, doc)
	}
}

// changeConfig serves changes that come with a document.
func (a *api) changeConfig(change func(ctx context.Context, name string, doc json.RawMessage) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := chi.URLParam(r, "*")
		if len(chi.RouteContext(r.Context()).URLParams.Keys) > 0 && name == "" {
			writeError(w, http.StatusBadRequest, errors.New("the name of the path is empty"))
			return
		}
		doc, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
		case tooLarge:
			writeError(w, http.StatusBadRequest, fmt.Errorf("the body is larger than %d bytes", maxBody))
		case err != nil:
			writeError(w, http.StatusBadRequest, errors.New("the body cannot be read"))
		default:
			writeOutcome(w, change(r.Context(), name, doc))
		}
	}
}

// writeOutcome answers a change.
func writeOutcome(w http.ResponseWriter, err error) {
	switch {
	case err == nil, errors.Is(err, ErrUnderWay):
		writeOK(w)
	case errors.Is(err, ErrPathNotFound):
		writeError(w, http.StatusNotFound, ErrPathNotFound)
	case errors.Is(err, ErrEnding):
		writeError(w, http.StatusInternalServerError, err)
	default:
		writeError(w, http.StatusBadRequest, err)
	}
}

func (a *api) listConfig(w http.ResponseWriter, r *http.Request) {
	paths, err := a.Store.Paths(r.Context())
	if err != nil {
		writeError(w, http.StatusInternalServerError, err)
		return
	}
	writePage(w, r, paths)
}

func (a *api) getConfig(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "*")
	if name == "" {
		writeError(w, http.StatusBadRequest, errors.New("the name of the path is empty"))
		return
	}
	doc, err := a.Store.Path(r.Context(), name)
	switch {
	case errors.Is(err, ErrPathNotFound):
		writeError(w, http.StatusNotFound, errors.New("path configuration not found"))
	case err != nil:
		writeError(w, http.StatusInternalServerError, err)
	default:
		writeJSON(w, doc)
	}
}

func (a *api) deleteConfig(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "*")
	if name == "" {
		writeError(w, http.StatusBadRequest, errors.New("the name of the path is empty"))
		return
	}
	writeOutcome(w, a.Store.DeletePath(r.Context(), name))
}

func (a *api) exportConfig(w http.ResponseWriter, r *http.Request) {
	doc, err := a.Store.Export(r.Context())
	if err != nil {
		writeError(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(doc)
}

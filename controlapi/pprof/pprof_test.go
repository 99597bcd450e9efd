package pprof_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/org/mtx/controlapi/pprof"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	pprof.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/debug/pprof/"+path, http.NoBody))
	return w
}

func TestProfiles(t *testing.T) {
	for _, c := range []struct {
		path   string
		status int
		want   string // at the beginning
	}{
		{"", 200, "<!DOCTYPE html>"},
		{"goroutine?debug=1", 200, "goroutine profile: total"},
		{"heap?gc=1", 200, "\x1f\x8b"},
		{"profile?seconds=0.1", 200, "\x1f\x8b"},
		{"trace?seconds=0.1", 200, "go 1."},
		{"zz", 404, "unknown profile"},
		{"profile?seconds=zz", 400, "seconds must be a number"},
		{"profile?seconds=1e9", 400, "seconds must be a number"},
		{"trace?seconds=-1", 400, "seconds must be a number"},
	} {
		if w := get(c.path); w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.want) {
			t.Errorf("%s: %d %.40q", c.path, w.Code, w.Body)
		}
	}
}

// Programs that import the package get nothing that they did not ask for.
func TestDefaultMuxIsUntouched(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(w, httptest.NewRequest("GET", "/debug/pprof/", http.NoBody))
	if w.Code != http.StatusNotFound {
		t.Error(w.Code)
	}
}

func TestServer(t *testing.T) {
	routertest.TestProtocol(t, func() router.Protocol {
		return &pprof.Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}}
	})
}

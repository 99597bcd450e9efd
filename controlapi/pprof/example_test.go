package pprof_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/org/mtx/controlapi/pprof"
)

// A program serves its profiles from a mux of its own, which should not be public.
func Example() {
	mux := http.NewServeMux()
	mux.Handle("/debug/pprof/", pprof.Handler())

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/pprof/goroutine?debug=1", http.NoBody))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/plain; charset=utf-8
}

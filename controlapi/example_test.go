package controlapi_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/router"
)

// A program that has a HTTP server of its own puts the API into it, behind its own
// authentication.
func Example() {
	r, err := router.New(router.Config{Paths: []router.PathConfig{{Name: router.AllOthers}}})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", controlapi.Handler(r, controlapi.Options{Version: "v1"})))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v3/paths/list", http.NoBody))
	fmt.Println(w.Code, w.Body)
	// Output: 200 {"pageCount":0,"itemCount":0,"items":[]}
}

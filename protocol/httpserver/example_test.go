package httpserver_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/org/mtx/protocol/httpserver"
)

// A component below a path of a server that the program owns.
func ExampleMount() {
	mount := &httpserver.Mount{Prefix: "/video"}
	mux := http.NewServeMux() // or chi, or any other router
	mux.Handle("/video/", mount)
	srv := httptest.NewServer(mux)
	defer srv.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready, done := make(chan struct{}), make(chan error)
	component := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, httpserver.Prefix(r), " ", r.URL.Path)
	})
	go func() { done <- mount.Serve(ctx, component, func(net.Addr) { close(ready) }) }()
	<-ready

	res, err := http.Get(srv.URL + "/video/cam")
	if err != nil {
		fmt.Println(err)
		return
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	fmt.Println(string(body))

	cancel()
	fmt.Println(<-done)
	// Output:
	// /video /cam
	// <nil>
}

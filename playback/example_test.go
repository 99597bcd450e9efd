package playback_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/org/mtx/playback"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
)

// A server for what was recorded, and what it says of a path that was not.
func Example() {
	dir, err := os.MkdirTemp("", "recordings")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	pattern, err := record.ParsePattern(filepath.Join(dir, "%path", "%Y-%m-%d_%H-%M-%S-%f"), record.FMP4)
	if err != nil {
		fmt.Println(err)
		return
	}

	r, err := router.New(router.Config{Protocols: []router.Protocol{&playback.Server{
		HTTP:       httpserver.Listen{Addr: "127.0.0.1:0"},
		Recordings: []playback.Recording{{Name: "all_others", Pattern: pattern}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()

	res, err := http.Get(fmt.Sprintf("http://%s/list?path=cam", r.ProtocolAddrs("playback")[0]))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	fmt.Print(res.StatusCode, " ", string(body), err)
	// Output:
	// 404 {"status":"error","error":"the path was never recorded"}
	// <nil>
}

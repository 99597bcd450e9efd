package webrtc_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// A program publishes a stream of its own, and shows it in browsers.
func ExampleServer() {
	ctx := context.Background()
	r, err := router.New(router.Config{
		Protocols: []router.Protocol{&webrtc.Server{
			HTTP:    httpserver.Listen{Addr: "127.0.0.1:0"},
			UDPAddr: "127.0.0.1:0",
			ICEServers: []webrtc.ICEServer{
				{URL: "turn:turn.example.com:3478", Username: webrtc.AuthSecret, Password: "shared with it"},
			},
		}},
		Paths: []router.PathConfig{{Name: "cam"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()
	pub, err := r.Publish(ctx, "cam", []media.Track{{Codec: &media.H264{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pub.Close()

	res, err := http.Get("http://" + r.ProtocolAddrs("webrtc")[0].String() + "/cam/")
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	fmt.Println(res.Status, res.Header.Get("Content-Type"))
	// Output: 200 OK text/html; charset=utf-8
}

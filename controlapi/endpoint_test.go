package controlapi_test

import (
	"testing"

	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// What the endpoint refuses before the API sees it is told in the form of the API.
func TestAnswersOfTheEndpoint(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, router.Config{
		Protocols: []router.Protocol{&controlapi.Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}}},
	})
	b := &bench{t: t, router: r, url: "http://" + r.ProtocolAddrs("api")[0].String()}
	for _, path := range []string{"/v3/paths/get/..%2f..", "/v3/paths/get/a%0ab", "/v3/paths/get/%ff"} {
		if status, body := b.do("GET", path, ""); status != 400 || body != `{"status":"error","error":"invalid path"}` {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

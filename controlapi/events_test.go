package controlapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
	"github.com/org/mtx/router/routertest"
)

// listenTo opens /v3/events; the body must be closed.
func listenTo(t *testing.T, b *bench) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", b.url+"/v3/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.(*http.Transport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// The number of listeners is bounded, and places become free again.
func TestManyListeners(t *testing.T) {
	t.Parallel()
	b := newBench(t, controlapi.Options{})
	var open []io.Closer
	for range 100 {
		res := listenTo(t, b)
		if res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		open = append(open, res.Body)
	}
	res := listenTo(t, b)
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 503 || !strings.Contains(string(body), "too many clients listen to events") {
		t.Errorf("%s %s", res.Status, body)
	}
	for _, c := range open {
		c.Close()
	}
	routertest.Eventually(t, "a place", func() bool {
		res := listenTo(t, b)
		defer res.Body.Close()
		return res.StatusCode == 200
	})
}

// A listener that does not keep up gets what was kept for it, and then the end: it
// knows that something is missing, and memory is bounded.
func TestSlowListener(t *testing.T) {
	t.Parallel()
	feed := controlapi.NewFeed()
	b := newBench(t, controlapi.Options{Feed: feed})
	res := listenTo(t, b)
	defer res.Body.Close()
	const many = 200_000
	e := hook.New(hook.PathCreated)
	for n := range many {
		e.Path = fmt.Sprint("path", n)
		feed.Emit(e)
	}
	got, last := 0, ""
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			got++
			_, last, _ = strings.Cut(data, `"path":"`)
		}
	}
	if want := fmt.Sprintf("path%d", got-1); got < 20_000 || got == many || !strings.HasPrefix(last, want+`"`) {
		t.Errorf("%d events, the last one is %s", got, last)
	}
}

// Listeners leave with the router.
func TestListenersLeave(t *testing.T) {
	t.Parallel()
	b := newBench(t, controlapi.Options{})
	res := listenTo(t, b)
	defer res.Body.Close()
	b.router.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Error(err)
	}
}

// Who may listen for a time only hears no more when it is over.
func TestListenerExpires(t *testing.T) {
	t.Parallel()
	expires := time.Now().Add(500 * time.Millisecond)
	r := routertest.New(t, router.Config{
		Protocols: []router.Protocol{&controlapi.Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}}},
		Auth: router.AuthenticatorFunc(func(context.Context, *router.AccessRequest) (router.Identity, error) {
			return router.Identity{Expires: expires}, nil
		}),
	})
	res := listenTo(t, &bench{t: t, url: "http://" + r.ProtocolAddrs("api")[0].String()})
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = io.Copy(io.Discard, res.Body) }()
	select {
	case <-ended:
		if time.Now().Before(expires) {
			t.Error("it ended too early")
		}
	case <-time.After(patience):
		t.Error("it goes on")
	}
}

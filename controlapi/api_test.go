package controlapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
	"github.com/org/mtx/router/routertest"
)

func TestPaths(t *testing.T) {
	t.Parallel()
	b := newBench(t, controlapi.Options{})
	b.publish("some/path")
	rd, err := b.router.Read(t.Context(), "some/path", router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	var l controlapi.List[map[string]any]
	b.get("/v3/paths/list", &l)
	if l.ItemCount != 2 || l.PageCount != 1 || l.Items[0]["name"] != "cam" || l.Items[1]["name"] != "some/path" {
		t.Fatalf("%+v", l)
	}
	idle, live := l.Items[0], l.Items[1]
	for k, want := range map[string]any{"source": nil, "ready": false, "readyTime": nil, "available": false, "online": false, "confName": "cam"} {
		if v, ok := idle[k]; !ok || v != want {
			t.Errorf("%s is %v, want %v", k, v, want)
		}
	}
	for _, k := range []string{"tracks", "tracks2", "readers"} {
		if v, ok := idle[k].([]any); !ok || len(v) != 0 {
			t.Errorf("%s is %v, want an empty list", k, idle[k])
		}
	}
	var p controlapi.Path
	b.get("/v3/paths/get/some/path", &p)
	if p.Source == nil || p.Source.Type != "rtspSession" || p.Source.ID != "id1" || !p.Ready || p.ReadyTime == nil || p.ConfName != "all_others" {
		t.Errorf("%+v", p)
	}
	if len(p.Readers) != 1 || strings.Join(p.Tracks, " ") != "Opus VP8" || p.Tracks2[0].CodecProps == nil || p.Tracks2[1].CodecProps != nil {
		t.Errorf("%+v", p)
	}
	if live["ready"] != true {
		t.Error(live)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	b := newBench(t, controlapi.Options{})
	s := &session{kicked: make(chan struct{}), info: router.SessionInfo{
		ID: uuid.NewString(), Kind: "rtspSession", Details: &details{ID: "details"},
	}}
	remove := b.host.AddSession(s)
	var l controlapi.List[details]
	b.get("/v3/rtspsessions/list", &l)
	if l.ItemCount != 1 || l.Items[0].ID != "details" {
		t.Errorf("%+v", l)
	}
	var d details
	b.get("/v3/rtspsessions/get/"+s.info.ID, &d)
	if d.ID != "details" {
		t.Errorf("%+v", d)
	}
	if status, body := b.do("POST", "/v3/rtspsessions/kick/"+s.info.ID, ""); status != 200 || body != `{"status":"ok"}` {
		t.Error(status, body)
	}
	select {
	case <-s.kicked:
	case <-time.After(patience):
		t.Error("not kicked")
	}
	remove()
	b.get("/v3/rtspconns/list", &l)
	if l.ItemCount != 0 || l.PageCount != 0 || l.Items == nil {
		t.Errorf("%+v", l)
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	st := &store{}
	b := newBench(t, controlapi.Options{Store: st, Recordings: fakeRecordings{time.Unix(1700000000, 0)}})
	id := uuid.NewString()
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v3/nothing", "", 404, "not found"},
		{"GET", "/", "", 404, "not found"},
		{"POST", "/v3/paths/list", "", 404, "not found"},
		{"GET", "/v3/paths/get/none", "", 404, "path not found"},
		{"GET", "/v3/paths/get/", "", 400, "cannot be empty"},
		{"GET", "/v3/paths/get/..%2f..%2fetc", "", 400, "cannot contain the segment"},
		{"GET", "/v3/paths/get/a%00b", "", 400, "can contain only"},
		{"GET", "/v3/paths/list?itemsPerPage=0", "", 400, `itemsPerPage \"0\": must be a number of at least 1`},
		{"GET", "/v3/paths/list?itemsPerPage=x", "", 400, "must be a number"},
		{"GET", "/v3/paths/list?itemsPerPage=", "", 400, "must be a number"},
		{"GET", "/v3/paths/list?page=-1", "", 400, `page \"-1\": must be a number of at least 0`},
		{"GET", "/v3/paths/list?page=7", "", 200, `"items":[]`},
		{"GET", "/v3/paths/list?page=2147483647&itemsPerPage=2147483647", "", 200, `"items":[]`},
		{"GET", "/v3/paths/list?page=99999999999999999999&itemsPerPage=99999999999999999999", "", 200, `"items":[]`},
		{"GET", "/v3/rtspsessions/get/zz", "", 400, "must be a UUID"},
		{"GET", "/v3/rtspsessions/get/" + id, "", 404, "session not found"},
		{"POST", "/v3/rtspsessions/kick/zz", "", 400, "must be a UUID"},
		{"POST", "/v3/rtspsessions/kick/" + id, "", 404, "session not found"},
		{"GET", "/v3/rtmpconns/list", "", 404, "not found"}, // its server is off
		{"GET", "/v3/hlsmuxers/list", "", 404, "not found"},
		{"POST", "/v3/auth/jwks/refresh", "", 200, "ok"},
		{"GET", "/v3/info", "", 200, `"started":"`},
		{"GET", "/healthz", "", 200, `{"status":"ok"}`},
		{"GET", "/readyz", "", 200, `{"status":"ok"}`},
		{"HEAD", "/healthz", "", 200, ""},
		{"HEAD", "/readyz", "", 200, ""},

		{"GET", "/v3/config/global/get", "", 200, `{"rtsp":true}`},
		{"GET", "/v3/config/pathdefaults/get", "", 200, `{"name":""}`},
		{"GET", "/v3/config/paths/list", "", 200, `{"pageCount":1,"itemCount":1,"items":[{"name":"a/b"}]}`},
		{"GET", "/v3/config/paths/get/a/b", "", 200, `{"name":"a/b"}`},
		{"GET", "/v3/config/paths/get/zz", "", 404, "path configuration not found"},
		{"GET", "/v3/config/export", "", 200, "rtsp: true"},
		{"POST", "/v3/config/paths/add/", "{}", 400, "the name of the path is empty"},
		{"DELETE", "/v3/config/paths/delete/", "", 400, "the name of the path is empty"},
		{"PATCH", "/v3/config/global/patch", strings.Repeat(" ", 10<<20+1), 400, "the body is larger than"},

		{"GET", "/v3/recordings/list", "", 200, `"name":"cam"`},
		{"GET", "/v3/recordings/get/none", "", 200, `{"name":"none","segments":[]}`},
		{"GET", "/v3/recordings/get/../x", "", 400, "cannot contain"},
		{"DELETE", "/v3/recordings/deletesegment?path=cam&start=2023-11-14T22:13:20Z", "", 200, "ok"},
		{"DELETE", "/v3/recordings/deletesegment?path=cam&start=zz", "", 400, "start: must be a time"},
		{"DELETE", "/v3/recordings/deletesegment?path=cam&start=2023-11-14T22:13:21Z", "", 400, "segment not found"},
		{"DELETE", "/v3/recordings/deletesegment?path=..&start=2023-11-14T22:13:21Z", "", 400, "path: "},
	} {
		status, body := b.do(c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.want)
		}
		var e controlapi.Error
		if status != 200 && (json.Unmarshal([]byte(body), &e) != nil || e.Status != "error" || e.Error == "") {
			t.Errorf("%s %s: the body is %s", c.method, c.path, body)
		}
	}
}

func TestConfigChanges(t *testing.T) {
	t.Parallel()
	st := &store{}
	b := newBench(t, controlapi.Options{Store: st})
	for _, c := range []struct{ method, path, want string }{
		{"PATCH", "/v3/config/global/patch", `global {"x":1}`},
		{"PATCH", "/v3/config/pathdefaults/patch", `defaults {"x":1}`},
		{"POST", "/v3/config/paths/add/a%2Fb", `add a/b {"x":1}`},
		{"PATCH", "/v3/config/paths/patch/~%5Ea(.*)$", `patch ~^a(.*)$ {"x":1}`},
		{"POST", "/v3/config/paths/replace/a/b", `replace a/b {"x":1}`},
		{"DELETE", "/v3/config/paths/delete/a/b", `delete a/b`},
	} {
		for err, want := range map[error]int{
			nil: 200, controlapi.ErrUnderWay: 200, controlapi.ErrPathNotFound: 404, controlapi.ErrPathExists: 400,
			errors.New("bad"): 400, context.Canceled: 400, controlapi.ErrEnding: 500,
		} {
			st.fail(err)
			if status, body := b.do(c.method, c.path, `{"x":1}`); status != want || st.last() != c.want {
				t.Errorf("%s %s: %v gave %d %s, the store got %s", c.method, c.path, err, status, body, st.last())
			}
		}
	}
}

// A page of another site, which an operator visits, changes nothing.
func TestPagesOfOthers(t *testing.T) {
	t.Parallel()
	st := &store{}
	b := newBench(t, controlapi.Options{Store: st, TrustedOrigins: []string{"*", "https://admin.example.com"}})
	add := func(header ...string) int {
		status, _ := b.do("POST", "/v3/config/paths/add/x", "{}", header...)
		return status
	}
	for _, c := range []struct {
		want   int
		header []string
	}{
		{200, nil}, // no browser
		{200, []string{"Origin", "https://admin.example.com", "Sec-Fetch-Site", "cross-site"}},
		{200, []string{"Sec-Fetch-Site", "same-origin"}},
		{200, []string{"Sec-Fetch-Site", "same-origin", "Host", "[::1]:9997"}},
		{200, []string{"Sec-Fetch-Site", "same-origin", "Host", "[::1]"}},
		{200, []string{"Sec-Fetch-Site", "same-origin", "Host", "server:9997"}},
		{200, []string{"Sec-Fetch-Site", "same-origin", "Host", "Admin.example.com"}},
		{200, []string{"Host", "api.example.com:9997"}}, // no browser
		{403, []string{"Sec-Fetch-Site", "same-origin", "Host", "evil.example.com:9997"}},
		{403, []string{"Origin", "http://evil.example.com:9997", "Host", "evil.example.com:9997"}},
		{403, []string{"Origin", "https://evil.example.com", "Sec-Fetch-Site", "cross-site"}},
		{403, []string{"Origin", "https://evil.example.com"}}, // an older browser
		{403, []string{"Origin", "null"}},
	} {
		if got := add(c.header...); got != c.want {
			t.Errorf("%v: %d, want %d", c.header, got, c.want)
		}
	}
	if status, _ := b.do("GET", "/v3/paths/list", "", "Origin", "https://evil.example.com"); status != 200 {
		t.Error(status)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	feed := controlapi.NewFeed()
	b := newBench(t, controlapi.Options{Feed: feed})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", b.url+"/v3/events?type=pathReady,pathNotReady,configRefused", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.(*http.Transport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Error(ct)
	}
	b.publish("x").Close()
	refused := hook.New(hook.ConfigRefused)
	refused.Error = "why"
	lines := bufio.NewScanner(res.Body)
	var got []string
	for lines.Scan() && len(got) < 3 {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e hook.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Type+" "+e.Path+e.Error)
		if len(got) == 2 {
			feed.Emit(refused)
		}
	}
	if s := strings.Join(got, ", "); s != "pathReady x, pathNotReady x, configRefused why" {
		t.Error(s)
	}
	if status, body := b.do("GET", "/v3/events?type=zz", ""); status != 400 || !strings.Contains(body, "must be one of pathCreated") {
		t.Error(status, body)
	}
}

// A server is ready when all of its parts run; alive it is before.
func TestReadiness(t *testing.T) {
	t.Parallel()
	r, err := router.New(router.Config{Protocols: []router.Protocol{&routertest.Protocol{Label: "rtsp"}}})
	if err != nil {
		t.Fatal(err)
	}
	h := controlapi.Handler(r, controlapi.Options{})
	status := func(path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, http.NoBody))
		return w.Code
	}
	for _, step := range []struct {
		do   func()
		want int
	}{
		{func() {}, 503},
		{func() {
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, 200},
		{func() { _ = r.Close() }, 503},
	} {
		step.do()
		if got := status("/readyz"); got != step.want || status("/healthz") != 200 {
			t.Errorf("ready: %d, want %d", got, step.want)
		}
	}
}

func TestServer(t *testing.T) {
	routertest.TestProtocol(t, func() router.Protocol {
		return &controlapi.Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}}
	})
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, router.Config{
		AuthPause: -1,
		Protocols: []router.Protocol{&controlapi.Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}}},
		Auth: router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
			if q.Action == router.ActionAPI && q.Pass == "right" {
				return router.Identity{}, nil
			}
			return router.Identity{}, &router.AuthError{AskCredentials: !q.HasCredentials()}
		}),
	})
	b := &bench{t: t, router: r, url: "http://" + r.ProtocolAddrs("api")[0].String()}
	basic := func(pass string) string {
		req := &http.Request{Header: http.Header{}}
		req.SetBasicAuth("u", pass)
		return req.Header.Get("Authorization")
	}
	for _, c := range []struct {
		path, auth string
		want       int
	}{
		{"/v3/paths/list", "", 401},
		{"/v3/paths/list", basic("wrong"), 401},
		{"/v3/paths/list", basic("right"), 200},
		{"/v3/nothing", "", 401},
		{"/healthz", "", 200},
		{"/readyz", "", 200},
	} {
		if status, body := b.do("GET", c.path, "", "Authorization", c.auth); status != c.want {
			t.Errorf("%s %s: %d %s", c.path, c.auth, status, body)
		} else if status == 401 && body != `{"status":"error","error":"authentication error"}` {
			t.Errorf("%s %s: %s", c.path, c.auth, body)
		}
	}
}

// Tokens and passwords that clients sent in their query are not shown to those
// who look.
func TestQueriesOfSessions(t *testing.T) {
	t.Parallel()
	type details struct {
		ID    string `json:"id"`
		Query string `json:"query"`
	}
	b := newBench(t, controlapi.Options{})
	id := uuid.NewString()
	d := &details{id, "a=b&jwt=SECRET&pass=SECRET&c"}
	defer b.host.AddSession(&session{info: router.SessionInfo{ID: id, Kind: "rtspSession", Details: d}})()
	for _, path := range []string{"list", "get/" + id} {
		_, body := b.do("GET", "/v3/rtspsessions/"+path, "")
		if strings.Contains(body, "SECRET") || !strings.Contains(body, `"query":"a=b\u0026jwt=***\u0026pass=***\u0026c"`) {
			t.Errorf("%s: %s", path, body)
		}
	}
	if !strings.Contains(d.Query, "SECRET") {
		t.Error("the session itself was changed")
	}
}

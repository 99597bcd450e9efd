package controlapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits of tests that fail.
const patience = 20 * time.Second

// session is a client of the registry.
type session struct {
	info   router.SessionInfo
	kicked chan struct{}
}

func (s *session) Info() router.SessionInfo { return s.info }
func (s *session) Close() error             { close(s.kicked); return nil }

type details struct {
	ID string `json:"id"`
}

// bench is a router behind the API.
type bench struct {
	t      *testing.T
	router *router.Router
	host   *router.Host
	url    string
}

func newBench(t *testing.T, o controlapi.Options) *bench {
	t.Helper()
	hosts := make(chan *router.Host, 1)
	r := routertest.New(t, router.Config{
		Paths: []router.PathConfig{{Name: router.AllOthers}, {Name: "cam"}},
		Protocols: []router.Protocol{&routertest.Protocol{Label: "rtsp", ServeFunc: func(ctx context.Context, h *router.Host) error {
			h.Ready()
			hosts <- h
			<-ctx.Done()
			return nil
		}}},
	})
	srv := httptest.NewServer(controlapi.Handler(r, o))
	t.Cleanup(srv.Close)
	return &bench{t, r, <-hosts, srv.URL}
}

// do sends a request and returns the status and the body.
func (b *bench) do(method, path, body string, header ...string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	res, err := http.DefaultTransport.(*http.Transport).RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// get decodes an answer with status 200.
func (b *bench) get(path string, v any) {
	b.t.Helper()
	status, body := b.do("GET", path, "")
	if status != 200 {
		b.t.Fatalf("%s: %d %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		b.t.Fatalf("%s: %v in %s", path, err, body)
	}
}

func (b *bench) publish(path string) *router.Publisher {
	b.t.Helper()
	pub, err := b.router.Publish(b.t.Context(), path, []media.Track{{Codec: &media.Opus{ChannelCount: 2}}, {Codec: &media.VP8{}}},
		router.PublishOptions{Peer: router.Peer{Type: "rtspSession", ID: "id1"}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(pub.Close)
	return pub
}

// store is a ConfigStore that knows one path.
type store struct {
	mu    sync.Mutex
	calls []string
	err   error // of changes
}

func (s *store) call(format string, a ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, fmt.Sprintf(format, a...))
	return s.err
}

func (s *store) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) == 0 {
		return ""
	}
	return s.calls[len(s.calls)-1]
}

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *store) Global(context.Context) (json.RawMessage, error) { return []byte(`{"rtsp":true}`), nil }
func (s *store) PatchGlobal(_ context.Context, d json.RawMessage) error {
	return s.call("global %s", d)
}

func (s *store) PathDefaults(context.Context) (json.RawMessage, error) {
	return []byte(`{"name":""}`), nil
}

func (s *store) PatchPathDefaults(_ context.Context, d json.RawMessage) error {
	return s.call("defaults %s", d)
}

func (s *store) Paths(context.Context) ([]json.RawMessage, error) {
	return []json.RawMessage{[]byte(`{"name":"a/b"}`)}, nil
}

func (s *store) Path(_ context.Context, name string) (json.RawMessage, error) {
	if name != "a/b" {
		return nil, controlapi.ErrPathNotFound
	}
	return []byte(`{"name":"a/b"}`), nil
}

func (s *store) AddPath(_ context.Context, n string, d json.RawMessage) error {
	return s.call("add %s %s", n, d)
}

func (s *store) PatchPath(_ context.Context, n string, d json.RawMessage) error {
	return s.call("patch %s %s", n, d)
}

func (s *store) ReplacePath(_ context.Context, n string, d json.RawMessage) error {
	return s.call("replace %s %s", n, d)
}
func (s *store) DeletePath(_ context.Context, n string) error { return s.call("delete %s", n) }
func (s *store) Export(context.Context) ([]byte, error)       { return []byte("rtsp: true\n"), nil }

// fakeRecordings is a recorded path.
type fakeRecordings struct{ start time.Time }

func (f fakeRecordings) List(ctx context.Context) ([]controlapi.Recording, error) {
	r, err := f.Get(ctx, "cam")
	return []controlapi.Recording{r}, err
}

func (f fakeRecordings) Get(_ context.Context, path string) (controlapi.Recording, error) {
	if path != "cam" {
		return controlapi.Recording{Name: path}, nil
	}
	return controlapi.Recording{Name: path, Segments: []controlapi.Segment{{Start: f.start}}}, nil
}

func (f fakeRecordings) DeleteSegment(_ context.Context, path string, start time.Time) error {
	if path != "cam" || !start.Equal(f.start) {
		return fmt.Errorf("segment not found")
	}
	return nil
}

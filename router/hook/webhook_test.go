package hook_test

import (
	"crypto/hmac"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
	"github.com/org/mtx/router/routertest"
)

// delivery is a request that a webhook got.
type delivery struct {
	header http.Header
	body   []byte
	event  hook.Event
}

// receiver answers with the statuses given, then with 200.
func receiver(t *testing.T, statuses ...int) (string, <-chan delivery) {
	t.Helper()
	got := make(chan delivery, 100)
	next := make(chan int, len(statuses))
	for _, s := range statuses {
		next <- s
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d := delivery{header: r.Header, body: body}
		if err := json.Unmarshal(body, &d.event); err != nil {
			t.Error(err)
		}
		got <- d
		select {
		case s := <-next:
			w.WriteHeader(s)
		default:
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

func take(t *testing.T, ch <-chan delivery) delivery {
	t.Helper()
	select {
	case d := <-ch:
		return d
	case <-time.After(patience):
		t.Fatal("the webhook was not called")
		return delivery{}
	}
}

func newWebhooks(t *testing.T, hooks ...hook.Webhook) *hook.Webhooks {
	t.Helper()
	w := hook.NewWebhooks(slog.New(slog.DiscardHandler))
	t.Cleanup(w.Close)
	w.Set(hooks)
	return w
}

func TestWebhookTellsOfAPath(t *testing.T) {
	t.Parallel()
	u, got := receiver(t)
	w := newWebhooks(t, hook.Webhook{URL: u, Secret: "s3cret", Events: []string{hook.PathReady, hook.PathNotReady}})
	r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "cam"}}}, router.WithHooks(w.Hooks()))
	publish(t, r, "cam").Close()
	for _, want := range []string{hook.PathReady, hook.PathNotReady} {
		d := take(t, got)
		if d.event.Type != want || d.event.Path != "cam" || d.event.Source == nil || d.event.Source.Type != "testConn" {
			t.Errorf("%s", d.body)
		}
		sign, ok := strings.CutPrefix(d.header.Get("Mtx-Signature"), "sha256=")
		if !ok || !hmac.Equal([]byte(sign), []byte(hook.Sign("s3cret", d.header.Get("Mtx-Timestamp"), d.body))) {
			t.Error("wrong signature")
		}
		if d.header.Get("Mtx-Event") != want || d.header.Get("Content-Type") != "application/json" {
			t.Error(d.header)
		}
	}
}

func TestWebhookTriesAgain(t *testing.T) {
	t.Parallel()
	u, got := receiver(t, 500, 429, 200, 400, 302)
	w := newWebhooks(t, hook.Webhook{URL: u, Pause: time.Millisecond})
	for _, path := range []string{"a", "b", "c", "d"} {
		e := hook.New(hook.PathCreated)
		e.Path = path
		w.Emit(e)
	}
	var order []string
	for range 6 {
		order = append(order, take(t, got).event.Path)
	}
	if s := strings.Join(order, ""); s != "aaabcd" {
		t.Errorf("got %s: what was refused must not be sent again, and order must be kept", s)
	}
}

// A connection that breaks is no answer, and tries end at last.
func TestWebhookIsGivenUp(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if tries.Add(1) != 6 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer srv.Close()
	var log routertest.Log
	w := hook.NewWebhooks(log.Logger())
	w.Set([]hook.Webhook{{URL: strings.Replace(srv.URL, "http://", "http://u:topsecret@", 1), Pause: time.Millisecond, Tries: 3}})
	for range 2 { // the first one is given up, the second one arrives with its third try
		w.Emit(hook.New(hook.PathCreated))
	}
	w.Close()
	if n, s := tries.Load(), log.String(); n != 6 || strings.Count(s, "webhook was not told") != 1 || strings.Contains(s, "topsecret") {
		t.Errorf("%d tries; %s", n, s)
	}
}

// Pauses between tries double.
func TestWebhookBacksOff(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var times []time.Time
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Now())
		if len(times) < 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	const pause = 20 * time.Millisecond
	w := newWebhooks(t, hook.Webhook{URL: srv.URL, Pause: pause})
	w.Emit(hook.New(hook.PathCreated))
	w.Close()
	if len(times) != 4 {
		t.Fatalf("%d tries", len(times))
	}
	for i, least := range []time.Duration{pause, 2 * pause, 4 * pause} {
		if d := times[i+1].Sub(times[i]); d < least {
			t.Errorf("pause %d took %v, at least %v are wanted", i, d, least)
		}
	}
}

func TestSlowWebhookDelaysNobody(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block }))
	defer slow.Close()
	defer close(block)
	u, got := receiver(t)
	w := newWebhooks(t, hook.Webhook{URL: slow.URL, QueueSize: 2, Timeout: time.Hour}, hook.Webhook{URL: u})
	for range 50 {
		w.Emit(hook.New(hook.PathCreated))
	}
	for range 50 {
		take(t, got)
	}
}

func TestWebhooksAreReplaced(t *testing.T) {
	t.Parallel()
	u1, got1 := receiver(t)
	u2, got2 := receiver(t)
	w := newWebhooks(t, hook.Webhook{URL: u1})
	w.Emit(hook.New(hook.PathCreated))
	take(t, got1)
	w.Set([]hook.Webhook{{URL: u2}})
	w.Emit(hook.New(hook.PathRemoved))
	if d := take(t, got2); d.event.Type != hook.PathRemoved {
		t.Error(d.event)
	}
	if len(got1) != 0 {
		t.Error("the old webhook was called")
	}
}

func TestWebhookThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hook hook.Webhook
		want string
	}{
		{hook.Webhook{URL: "ftp://x"}, "the URL of a webhook must be an absolute http or https URL"},
		{hook.Webhook{URL: "http://x", Events: []string{"zz"}}, `unknown event "zz" of a webhook: it must be one of pathCreated`},
	} {
		if err := c.hook.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// Without a logger, what fails is told to nobody, and does no harm.
func TestNoLogger(t *testing.T) {
	t.Parallel()
	webhooks, runner := hook.NewWebhooks(nil), hook.NewRunner(nil)
	webhooks.Set([]hook.Webhook{{URL: "http://" + routertest.FreeAddr(t), Tries: 1}})
	webhooks.Emit(hook.Event{Type: "pathReady"})
	runner.SetConnections(hook.Connections{Connect: hook.Command{Line: "./there-is-no-such-program"}})
	runner.Hooks().SessionOpened(router.SessionEvent{Kind: "rtspConn"})
	webhooks.Close()
	runner.Close()
}

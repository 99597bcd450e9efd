package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/org/mtx/router"
)

// drainTimeout bounds how long Close waits for events that are under way.
const drainTimeout = 3 * time.Second

// Webhooks call webhooks. Each has its queue and its goroutine, so that a slow
// one delays nobody; its events arrive in order. All methods are safe for
// concurrent use.
type Webhooks struct {
	log    *slog.Logger
	client *http.Client

	mu      sync.Mutex
	closed  bool
	targets []*target
	wg      sync.WaitGroup
}

type target struct {
	hook   Webhook
	queue  chan Event
	cancel context.CancelFunc
	lost   int // since the last log entry; guarded by the lock of Webhooks
}

// NewWebhooks returns a caller without webhooks. It must be closed. A logger that is
// nil discards.
func NewWebhooks(log *slog.Logger) *Webhooks {
	return &Webhooks{log: orDiscard(log), client: &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Set replaces the webhooks. Those that stay keep their queue; what waits for
// the others is lost.
func (w *Webhooks) Set(hooks []Webhook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	old := w.targets
	w.targets = nil
	for _, h := range hooks {
		h.setDefaults()
		w.targets = append(w.targets, w.reuse(&old, h))
	}
	for _, t := range old {
		t.cancel()
	}
}

// reuse takes the target of a webhook that did not change, or makes one.
func (w *Webhooks) reuse(old *[]*target, h Webhook) *target {
	for i, t := range *old {
		if reflect.DeepEqual(t.hook, h) {
			*old = append((*old)[:i:i], (*old)[i+1:]...)
			return t
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &target{hook: h, queue: make(chan Event, h.QueueSize), cancel: cancel}
	w.wg.Go(func() {
		defer cancel()
		w.serve(ctx, t)
	})
	return t
}

// Hooks returns the hooks of a router.
func (w *Webhooks) Hooks() router.Hooks { return Events(w.Emit) }

// Emit tells the webhooks about an event. It does not block.
func (w *Webhooks) Emit(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	for _, t := range w.targets {
		if !t.hook.wants(e.Type) {
			continue
		}
		select {
		case t.queue <- e:
			if t.lost > 0 {
				w.log.Warn("webhook lost events: its queue was full", "host", t.hook.host(), "events", t.lost)
				t.lost = 0
			}
		default:
			t.lost++
		}
	}
}

// Close delivers what waits, for a few seconds at most, and stops.
func (w *Webhooks) Close() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	targets := w.targets
	w.mu.Unlock()
	for _, t := range targets {
		close(t.queue)
	}
	stop := time.AfterFunc(drainTimeout, func() {
		for _, t := range targets {
			t.cancel()
		}
	})
	w.wg.Wait()
	stop.Stop()
	w.client.CloseIdleConnections()
}

func (w *Webhooks) serve(ctx context.Context, t *target) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-t.queue:
			if !ok {
				return
			}
			if err := w.deliver(ctx, &t.hook, &e); err != nil && ctx.Err() == nil {
				w.log.Warn("webhook was not told", "host", t.hook.host(), "event", e.Type, "path", e.Path, "error", err)
			}
		}
	}
}

// deliver sends an event until it is accepted.
func (w *Webhooks) deliver(ctx context.Context, h *Webhook, e *Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	pause := h.Pause
	for try := 1; ; try++ {
		again, err := w.post(ctx, h, e.Type, body)
		if err == nil || !again || try == h.Tries || !sleep(ctx, pause) {
			return err
		}
		pause *= 2
	}
}

// post tries once; again tells whether another try makes sense.
func (w *Webhooks) post(ctx context.Context, h *Webhook, typ string, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the URL is invalid")
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "mtx")
	req.Header.Set("Mtx-Event", typ)
	req.Header.Set("Mtx-Timestamp", now)
	if h.Secret != "" {
		req.Header.Set("Mtx-Signature", "sha256="+Sign(h.Secret, now, body))
	}
	res, err := w.client.Do(req)
	if err != nil {
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err // without the URL
		}
		return true, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	switch c := res.StatusCode; {
	case c >= 200 && c < 300:
		return false, nil
	default:
		return c == http.StatusRequestTimeout || c == http.StatusTooManyRequests || c >= 500, fmt.Errorf("status %d", c)
	}
}

// Sign returns what a webhook must find in Mtx-Signature, without "sha256=".
// Compare in constant time (hmac.Equal).
func Sign(secret, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(timestamp + "."))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/org/mtx/router/hook"
)

// listener collects what /v3/events tells.
type listener struct {
	mu     sync.Mutex
	events []hook.Event
}

// listen listens to the events of a server until the end of the test.
func listen(t *testing.T, in *instance, query string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+in.addr("api")+"/v3/events"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	l, done := &listener{}, make(chan struct{})
	go func() {
		defer close(done)
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		typ := ""
		for lines.Scan() {
			if s, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				typ = s
			}
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var e hook.Event
			if err := json.Unmarshal([]byte(data), &e); err != nil || e.Type != typ || e.ID == "" || e.Time.IsZero() {
				t.Errorf("%s: %v", data, err)
			}
			l.mu.Lock()
			l.events = append(l.events, e)
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// brief is an event in one line, with what can be known before.
func brief(e *hook.Event) string {
	out := []string{e.Type, e.Path}
	for _, p := range []*hook.Peer{e.Source, e.Reader, e.Session} {
		if p != nil {
			out = append(out, p.Type)
		}
	}
	return strings.Join(slices.DeleteFunc(out, func(s string) bool { return s == "" }), " ")
}

// has tells whether an event came that looks like this, and fits.
func (l *listener) has(want string, fits func(*hook.Event) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.events, func(e hook.Event) bool { return brief(&e) == want && (fits == nil || fits(&e)) })
}

// order returns the events about a path, without those that the test does not
// determine the place of.
func (l *listener) order(path string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for i := range l.events {
		if e := &l.events[i]; e.Path == path && e.Segment == nil {
			out = append(out, e.Type)
		}
	}
	return strings.Join(out, " ")
}

// What happens in the server is told to who listens, with the ids that the
// Control API shows.
func TestEventsOfTheServer(t *testing.T) {
	t.Parallel()
	text := localServer + operated + "rtmp: no\nhls: no\nsrt: no\nwebrtc: no\npaths:\n  all_others: {}\n" +
		"  cam: {record: yes, recordPartDuration: 100ms, recordPath: " + filepath.ToSlash(t.TempDir()) + "/%path/%s-%f}\n"
	in := start(t, text, Options{})
	until(t, "servers", in.out, func() bool { return in.serves("rtsp") && in.serves("api") })
	l, some := listen(t, in, ""), listen(t, in, "?type=configRefused")
	want := func(want string, fits func(*hook.Event) bool) {
		t.Helper()
		until(t, "event "+want, in.out, func() bool { return l.has(want, fits) })
	}
	p := newPeer(t, in, "")
	p.push("rtsp://" + in.addr("rtsp") + "/cam?token=secret")
	want("pathReady cam rtspSession", nil)
	p.pull("reader", "rtsp", "cam", "", "")
	p.waitFor("reader")
	ids := map[string]bool{}
	for _, kind := range []string{"rtspsessions", "rtspconns"} {
		var list anyList
		if _, body := in.call(t, "api", "GET", "/v3/"+kind+"/list", ""); json.Unmarshal(body, &list) != nil || len(list.Items) != 2 {
			t.Fatalf("%s: %s", kind, body)
		}
		for _, i := range list.Items {
			ids[i["id"].(string)] = true
		}
	}
	known := func(p *hook.Peer) bool { return p != nil && ids[p.ID] }
	want("pathReady cam rtspSession", func(e *hook.Event) bool { return known(e.Source) })
	want("pathOnline cam rtspSession", func(e *hook.Event) bool { return known(e.Source) })
	want("readerAttached cam rtspSession", func(e *hook.Event) bool { return known(e.Reader) })
	want("sessionOpened rtspConn", func(e *hook.Event) bool { return known(e.Session) })
	want("sessionOpened rtspSession", func(e *hook.Event) bool { return known(e.Session) })
	want("segmentCreated cam", func(e *hook.Event) bool { return strings.Contains(e.Segment.Path, "cam") })

	if err := p.RemovePath(t.Context(), "reader"); err != nil {
		t.Fatal(err)
	}
	want("readerDetached cam rtspSession", nil)
	p.push() // nobody publishes
	for _, w := range []string{"pathOffline cam rtspSession", "pathNotReady cam rtspSession", "sessionClosed rtspSession", "sessionClosed rtspConn"} {
		want(w, nil)
	}
	want("segmentCompleted cam", func(e *hook.Event) bool { return e.Segment.Duration > 0 })
	if s := l.order("cam"); s != "pathReady pathOnline readerAttached readerDetached pathOffline pathNotReady" {
		t.Error(s)
	}

	in.call(t, "api", "POST", "/v3/config/paths/add/new", "{}")
	want("pathCreated new", nil)
	want("configApplied", func(e *hook.Event) bool { return fmt.Sprint(e.Changes.PathsAdded) == "[new]" })
	in.call(t, "api", "PATCH", "/v3/config/global/patch", `{"rtspAddress":"zz"}`)
	want("configRefused", func(e *hook.Event) bool { return strings.Contains(e.Error, "rtspAddress") })
	writeFile(t, in.file, text+"nonsense: 1\n")
	want("configRefused", func(e *hook.Event) bool { return strings.Contains(e.Error, "nonsense") })
	writeFile(t, in.file, text+"  other: {}\n")
	want("pathRemoved new", nil) // changes of the API are forgotten with another file
	want("pathCreated other", nil)
	until(t, "selected events", in.out, func() bool { some.mu.Lock(); defer some.mu.Unlock(); return len(some.events) == 2 })
	for i := range l.events {
		if b, _ := json.Marshal(l.events[i]); strings.Contains(string(b), "secret") {
			t.Errorf("%s", b)
		}
	}
}

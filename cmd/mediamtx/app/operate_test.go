package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// Changes by the API and by the file, readers of both, clients and publishers,
// all at once: nothing gets stuck, and the last word of everybody counts.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	base := localServer + operated + noServers
	in := start(t, base+"paths:\n  all_others: {}\n", Options{})
	ctx := t.Context()
	var wg sync.WaitGroup
	var changes atomic.Int64
	began := time.Now()
	enough := func() bool {
		d := time.Since(began)
		return d > 2500*time.Millisecond && changes.Load() >= 20 || d > 30*time.Second
	}
	again := func(f func(n int)) {
		wg.Go(func() {
			for n := 0; !enough(); n++ {
				f(n)
			}
		})
	}
	change := func(method, path, body string) {
		status, data, err := in.try(t.Context(), "api", method, path, body)
		if err == nil && status != 200 && status != 404 {
			t.Errorf("%s %s: %d %s", method, path, status, data)
		}
		if err == nil && status == 200 {
			changes.Add(1)
		}
	}
	for i := range 2 {
		again(func(n int) {
			name := fmt.Sprintf("path%d", i)
			change("POST", "/v3/config/paths/replace/"+name, `{"maxReaders":5}`)
			change("PATCH", "/v3/config/paths/patch/"+name, fmt.Sprintf(`{"maxReaders":%d}`, n%7))
			change("DELETE", "/v3/config/paths/delete/"+name, "")
		})
	}
	again(func(n int) {
		change("PATCH", "/v3/config/global/patch", fmt.Sprintf(`{"logLevel":%q,"webhooks":[]}`, []string{"info", "debug"}[n%2]))
		change("PATCH", "/v3/config/pathdefaults/patch", fmt.Sprintf(`{"maxReaders":%d}`, n%5))
	})
	again(func(n int) {
		writeFile(t, in.file+".next", fmt.Sprintf("%spaths:\n  all_others: {}\n  file%d: {}\n", base, n))
		if err := os.Rename(in.file+".next", in.file); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Millisecond) // an editor is slower
	})
	again(func(int) {
		for _, path := range []string{"/v3/paths/list", "/v3/config/paths/list", "/v3/config/export", "/v3/rtspconns/list", "/v3/rtspsessions/list"} {
			_, _, _ = in.try(t.Context(), "api", "GET", path, "")
		}
		_, _, _ = in.try(t.Context(), "metrics", "GET", "/metrics", "")
	})
	again(func(n int) {
		for _, path := range []string{"path0", "path1", "other"} {
			pub, err := in.router.Publish(ctx, path, []media.Track{{Codec: &media.KLV{}}})
			if err != nil {
				continue
			}
			if rd, err := in.router.Read(ctx, path, router.SubscribeOptions{}); err == nil {
				pub.Write(0, &media.Unit{PTS: int64(n), Payload: [][]byte{{1}}})
				rd.Close()
			}
			pub.Close()
		}
	})
	again(func(int) { rtspClient(t, in.addr("rtsp"), "OPTIONS", "DESCRIBE") })
	wg.Wait()
	if changes.Load() < 20 {
		t.Errorf("only %d changes", changes.Load())
	}
	last := base + "paths:\n  all_others: {}\n  last: {}\n"
	writeFile(t, in.file, last)
	until(t, "the last reload", in.out, func() bool {
		_, body := in.call(t, "api", "GET", "/v3/config/paths/list", "")
		var l anyList
		_ = json.Unmarshal(body, &l)
		return len(l.Items) == 2 && l.Items[1]["name"] == "last"
	})
	until(t, "what was added is gone", in.out, func() bool {
		_, body := in.call(t, "api", "GET", "/v3/paths/list", "")
		var l anyList
		_ = json.Unmarshal(body, &l)
		return len(l.Items) == 1
	})
	if s := in.out.String(); strings.Contains(s, "panic") {
		t.Error(s)
	}
}

// rtspClient sends requests one after another and returns the statuses.
func rtspClient(t *testing.T, addr string, methods ...string) (statuses []string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	r := bufio.NewReader(conn)
	for i, m := range methods {
		if _, err := fmt.Fprintf(conn, "%s rtsp://%s/cam RTSP/1.0\r\nCSeq: %d\r\n\r\n", m, addr, i+1); err != nil {
			return statuses
		}
		status, length := "", 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return statuses
			}
			if status == "" {
				status = strings.TrimSpace(strings.TrimPrefix(line, "RTSP/1.0 "))
			}
			_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
			if line == "\r\n" {
				break
			}
		}
		if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
			t.Error(err)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// A change that restarts the API is answered by it, truthfully.
func TestChangesOfTheAPIItself(t *testing.T) {
	t.Parallel()
	in := start(t, localServer+operated+noServers, Options{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	patch := func(doc string, want int) string {
		t.Helper()
		status, body := in.call(t, "api", "PATCH", "/v3/config/global/patch", doc)
		if status != want {
			t.Errorf("%s: %d %s, want %d", doc, status, body, want)
		}
		until(t, "the API is back", in.out, func() bool {
			status, _, err := in.try(t.Context(), "api", "GET", "/readyz", "")
			return err == nil && status == 200
		})
		return string(body)
	}
	before := in.addr("api")
	if body := patch(`{"apiAddress":"`+taken.Addr().String()+`"}`, 400); !strings.Contains(body, "apiAddress") || in.addr("api") != before {
		t.Error(body)
	}
	if body := patch(`{"apiEncryption":true,"apiServerCert":"/nothing","apiServerKey":"/nothing"}`, 400); !strings.Contains(body, "apiServerCert") || in.addr("api") != before {
		t.Error(body)
	}
	// what else is wrong with the change is known before the API ends
	moved := `"apiAddress":"localhost:0"`
	for _, c := range []struct{ doc, want string }{
		{`{"apiAddress":"` + in.addr("metrics") + `"}`, "apiAddress"}, // of a server that stays
		{`{` + moved + `,"metricsAddress":"` + taken.Addr().String() + `"}`, "metrics"},
		{`{` + moved + `,"rtspAddress":"` + taken.Addr().String() + `","pprof":false}`, "rtsp"},
		{`{"readTimeout":"4s","rtmp":true,"rtmpAddress":"` + taken.Addr().String() + `"}`, "rtmp"},
		{`{"api":false,"metricsAddress":"` + taken.Addr().String() + `"}`, "metrics"},
		{`{` + moved + `,"metricsEncryption":true,"metricsServerCert":"/nothing","metricsServerKey":"/nothing"}`, "metrics"},
		{`{"logDestinations":["file"],"logFile":"/nothing/x.log"}`, "logFile"},
	} {
		_, old := in.call(t, "api", "GET", "/v3/config/global/get", "")
		if body := patch(c.doc, 400); !strings.Contains(body, c.want) || in.addr("api") != before {
			t.Errorf("%s: %s", c.doc, body)
		}
		if _, now := in.call(t, "api", "GET", "/v3/config/global/get", ""); !bytes.Equal(now, old) {
			t.Errorf("%s changed something", c.doc)
		}
		if !in.serves("metrics") || !in.serves("pprof") || !in.serves("rtsp") {
			t.Errorf("%s: a server is gone", c.doc)
		}
	}
	patch(`{"readTimeout":"3s"}`, 200)
	patch(`{"apiAddress":"localhost:0"}`, 200)
	until(t, "another address", in.out, func() bool { return in.addr("api") != before && in.serves("api") })
	var doc struct{ APIAddress, ReadTimeout string }
	if _, body := in.call(t, "api", "GET", "/v3/config/global/get", ""); json.Unmarshal(body, &doc) != nil || doc.APIAddress != "localhost:0" || doc.ReadTimeout != "3s" {
		t.Errorf("%+v", doc)
	}
}

// What has the right type and cannot work is refused, and changes nothing.
func TestValuesThatCannotWork(t *testing.T) {
	t.Parallel()
	in := start(t, localServer+operated+noServers+"paths: {cam: {}}\n", Options{})
	_, before := in.call(t, "api", "GET", "/v3/config/export", "")
	for _, c := range []struct{ method, path, body, want string }{
		{"PATCH", "global/patch", `{"rtspAddress":"zz"}`, "rtspAddress"},
		{"PATCH", "global/patch", `{"rtpAddress":":99999"}`, "rtpAddress"},
		{"PATCH", "global/patch", `{"multicastIPRange":"zz"}`, "multicastIPRange"},
		{"PATCH", "global/patch", `{"udpMaxPayloadSize":-1}`, "udpMaxPayloadSize"},
		{"PATCH", "global/patch", `{"writeQueueSize":4611686018427387904}`, "writeQueueSize"},
		{"PATCH", "global/patch", `{"readTimeout":10}`, "readTimeout: must be a string"},
		{"PATCH", "global/patch", `{"rtsp":"yes"}`, "rtsp: must be true or false"},
		{"PATCH", "global/patch", `{"rtspTransports":null}`, "rtspTransports: must be a list"},
		{"PATCH", "global/patch", `{"zz":1}`, "zz"},
		{"PATCH", "global/patch", `{"paths":{}}`, "paths"},
		{"PATCH", "global/patch", `{"pathDefaults":{}}`, "pathDefaults"},
		{"PATCH", "global/patch", `[]`, "must be a JSON object"},
		{"PATCH", "global/patch", `{} {}`, "one JSON object"},
		{"PATCH", "global/patch", `{`, "not valid JSON"},
		{"PATCH", "global/patch", ``, "not valid JSON"},
		{"PATCH", "pathdefaults/patch", `{"maxReaders":-1}`, "maxReaders"},
		{"POST", "paths/add/cam", `{}`, "path already exists"},
		{"POST", "paths/add/..%2fetc", `{}`, ""},
		{"POST", "paths/add/a//b", `{}`, "empty segment"},
		{"POST", "paths/add/~(", `{}`, "regular expression"},
		{"POST", "paths/add/x", `{"name":"y"}`, "name"},
		{"POST", "paths/add/x", `{"source":"zz://h"}`, "source"},
		{"POST", "paths/add/x", `{"runOnReady":"'"}`, "runOnReady"},
		{"POST", "paths/add/x", `{"zz":1}`, "zz"},
		{"POST", "paths/add/x", `{"maxReaders":"5"}`, "maxReaders: must be a number"},
		{"PATCH", "paths/patch/cam", `{"recordPath":"zz"}`, "recordPath"},
		{"POST", "paths/replace/~%5E.*$", `{"source":"rtsp://h/x"}`, "source"},
	} {
		status, body := in.call(t, "api", c.method, "/v3/config/"+c.path, c.body)
		if status != 400 || !strings.Contains(string(body), c.want) {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, body)
		}
	}
	if _, after := in.call(t, "api", "GET", "/v3/config/export", ""); !bytes.Equal(after, before) {
		t.Errorf("%s\nbecame\n%s", before, after)
	}
	// old keys that are null are not set, as in the description
	if status, body := in.call(t, "api", "PATCH", "/v3/config/global/patch", `{"apiAllowOrigin":null,"readBufferCount":null}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	for range 20 {
		in.call(t, "api", "POST", "/v3/config/paths/add/x", `{}`)
		in.call(t, "api", "DELETE", "/v3/config/paths/delete/x", "")
	}
	if _, body := in.call(t, "api", "GET", "/v3/paths/list", ""); strings.Contains(string(body), `"x"`) {
		t.Errorf("the path is still there: %s", body)
	}
}

// Thousands of clients that never finish their requests keep nobody from using
// the API, and are sent away.
func TestSlowClientsOfTheAPI(t *testing.T) {
	t.Parallel()
	const clients = 2000
	in := start(t, localServer+operated+noServers+"readTimeout: 2s\n", Options{})
	conns := make([]net.Conn, 0, clients)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range clients {
		c, err := net.Dial("tcp", in.addr("api"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		request := "GET /v3/paths/list HT"
		if i%2 == 0 {
			request = "PATCH /v3/config/global/patch HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{"
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
	}
	if status, _ := in.call(t, "api", "GET", "/v3/paths/list", ""); status != 200 {
		t.Error(status)
	}
	if status, body := in.call(t, "api", "PATCH", "/v3/config/global/patch", `{"logLevel":"debug"}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	for i, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Fatalf("client %d was not sent away: %v", i, err)
		}
	}
}

// Sessions that come and go leave nothing behind.
func TestSessionsLeaveNothing(t *testing.T) {
	sessions := 10_000
	if raceEnabled {
		sessions = 2000
	}
	in := start(t, localServer+operated+noServers+"paths: {all_others: {}}\n", Options{})
	pub, err := in.router.Publish(t.Context(), "cam", []media.Track{{Codec: &media.Opus{ChannelCount: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	come := func(n int) {
		var wg sync.WaitGroup
		var next atomic.Int64
		for range 32 {
			wg.Go(func() {
				for next.Add(1) <= int64(n) {
					session(t, in.addr("rtsp"))
				}
			})
		}
		wg.Wait()
		until(t, "they leave", in.out, func() bool { return len(slices.Collect(in.router.Sessions(""))) == 0 })
	}
	come(200)
	heap, goroutines := used()
	come(sessions)
	until(t, "goroutines end", in.out, func() bool { return runtime.NumGoroutine() <= goroutines+20 })
	if after, _ := used(); after > heap+8<<20 {
		t.Errorf("the heap grew from %d to %d bytes", heap, after)
	}
	for _, path := range []string{"/v3/rtspconns/list", "/v3/rtspsessions/list"} {
		if _, body := in.call(t, "api", "GET", path, ""); !strings.Contains(string(body), `"itemCount":0`) {
			t.Errorf("%s: %s", path, body)
		}
	}
	_, body := in.call(t, "metrics", "GET", "/metrics", "")
	for _, want := range []string{"\nrtsp_conns 0\n", "\nrtsp_sessions 0\n", `paths_readers{name="cam",state="ready"} 0`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%q is not among the metrics", want)
		}
	}
	if strings.Contains(string(body), "id=") || len(body) > 100<<10 {
		t.Errorf("%s", body)
	}
	_, body = in.call(t, "api", "GET", "/v3/paths/list", "")
	var l anyList
	if err := json.Unmarshal(body, &l); err != nil || len(l.Items) != 1 {
		t.Errorf("%s", body)
	}
}

func used() (heap uint64, goroutines int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// session is a reader that plays and leaves without a word.
func session(t *testing.T, addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	r := bufio.NewReader(conn)
	id := ""
	for i, request := range []string{
		"SETUP rtsp://%s/cam/trackID=0 RTSP/1.0\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
		"PLAY rtsp://%s/cam RTSP/1.0\r\n",
	} {
		request = fmt.Sprintf(request, addr) + fmt.Sprintf("CSeq: %d\r\n", i+1)
		if id != "" {
			request += "Session: " + id + "\r\n"
		}
		if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
			t.Error(err)
			return
		}
		head, err := http.ReadResponse(bufio.NewReader(&rtspHead{r: r}), nil)
		if err != nil || head.StatusCode != 200 {
			t.Errorf("%v %v", err, head)
			return
		}
		_ = head.Body.Close()
		id, _, _ = strings.Cut(head.Header.Get("Session"), ";")
	}
}

// rtspHead reads the head of an answer as if it were one of HTTP.
type rtspHead struct {
	r    *bufio.Reader
	rest string
	done bool
}

func (h *rtspHead) Read(p []byte) (int, error) {
	if h.rest == "" {
		if h.done {
			return 0, io.EOF
		}
		line, err := h.r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		h.done = line == "\r\n"
		h.rest = strings.Replace(line, "RTSP/1.0", "HTTP/1.0", 1)
	}
	n := copy(p, h.rest)
	h.rest = h.rest[n:]
	return n, nil
}

// Servers can exchange their ports in one change.
func TestServersExchangePorts(t *testing.T) {
	t.Parallel()
	// ports that stay free: nobody else uses this address
	free := func() string {
		ln, err := net.Listen("tcp", "127.77.5.1:0")
		if err != nil {
			t.Skip("there is one loopback address only: ", err)
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	a, m := free(), free()
	in := start(t, strings.NewReplacer("apiAddress: 127.0.0.1:0", "apiAddress: "+a, "metricsAddress: 127.0.0.1:0", "metricsAddress: "+m).
		Replace(localServer+operated+noServers), Options{})
	until(t, "servers", in.out, func() bool { return in.serves("api") && in.serves("metrics") })
	patch := func(doc string, want int) {
		t.Helper()
		if status, body := in.call(t, "api", "PATCH", "/v3/config/global/patch", doc); status != want {
			t.Errorf("%s: %d %s, want %d", doc, status, body, want)
		}
	}
	exchange := `"apiAddress":"` + m + `","metricsAddress":"` + a + `"`
	patch(`{`+exchange+`,"metricsEncryption":true,"metricsServerCert":"/nothing","metricsServerKey":"/nothing"}`, 400)
	if in.addr("api") != a || in.addr("metrics") != m {
		t.Error("what was refused has happened")
	}
	patch(`{`+exchange+`}`, 200)
	until(t, "exchange", in.out, func() bool { return in.addr("api") == m && in.addr("metrics") == a })
	patch(`{"apiAddress":"`+a+`","metrics":false}`, 200) // the place of one that goes
	until(t, "move", in.out, func() bool { return in.addr("api") == a && !in.serves("metrics") })
	patch(`{"apiAddress":"`+m+`","metrics":true,"metricsAddress":"`+a+`"}`, 200) // and one that comes
	until(t, "way back", in.out, func() bool { return in.addr("api") == m && in.addr("metrics") == a })
}

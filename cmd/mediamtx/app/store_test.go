package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router/routertest"
)

// startStore starts a server and gives access to its configuration as the
// Control API has it.
func startStore(t *testing.T, text string) (*instance, *configuration) {
	t.Helper()
	var store *configuration
	in := start(t, text, Options{store: func(c *configuration) { store = c }})
	return in, store
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestStoreChanges(t *testing.T) {
	t.Parallel()
	in, c := startStore(t, localServer+noServers+"paths: {old: {}}\n")
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.AddPath(ctx, "cam", raw(`{"maxReaders": 3}`)))
	if err := c.AddPath(ctx, "cam", raw(`{}`)); !errors.Is(err, controlapi.ErrPathExists) {
		t.Error(err)
	}
	must(c.PatchPath(ctx, "cam", raw(`{"overridePublisher": false}`)))
	doc, err := c.Path(ctx, "cam")
	must(err)
	if s := string(doc); !strings.Contains(s, `"maxReaders":3`) || !strings.Contains(s, `"overridePublisher":false`) {
		t.Error(s)
	}
	must(c.ReplacePath(ctx, "cam", raw(`{}`)))
	if doc, _ := c.Path(ctx, "cam"); !strings.Contains(string(doc), `"maxReaders":0`) {
		t.Errorf("%s", doc)
	}
	must(c.DeletePath(ctx, "old"))
	for _, err := range []error{c.DeletePath(ctx, "old"), c.PatchPath(ctx, "old", raw(`{}`))} {
		if !errors.Is(err, controlapi.ErrPathNotFound) {
			t.Error(err)
		}
	}
	if _, err := c.Path(ctx, "old"); !errors.Is(err, controlapi.ErrPathNotFound) {
		t.Error(err)
	}
	must(c.PatchPathDefaults(ctx, raw(`{"maxReaders": 8}`)))
	must(c.PatchGlobal(ctx, raw(`{"logLevel": "debug"}`)))
	if n := len(in.router.Config().Paths); n != 1 || in.router.Config().Paths[0].MaxReaders != 8 {
		t.Errorf("%+v", in.router.Config().Paths)
	}
	paths, err := c.Paths(ctx)
	must(err)
	if len(paths) != 1 {
		t.Errorf("%s", paths)
	}
	y, err := c.Export(ctx)
	must(err)
	if !strings.Contains(string(y), "logLevel: debug") || !strings.Contains(string(y), "cam:") {
		t.Errorf("%s", y)
	}
}

// What cannot work is refused, and nothing has changed.
// A program that adds a path for each of its clients leaves nothing behind, while
// paths of the file stay removed.
func TestRemovedPathsAreForgotten(t *testing.T) {
	t.Parallel()
	_, c := startStore(t, localServer+noServers+"paths: {old: {}, kept: {}}\n")
	ctx := t.Context()
	for _, n := range []string{"old", "a", "b", "c"} {
		if n != "old" {
			if err := c.AddPath(ctx, n, raw(`{}`)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.DeletePath(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.lock(ctx); err != nil {
		t.Fatal(err)
	}
	defer c.unlock()
	if h := c.edits.Hidden; !slices.Equal(h, []string{"old"}) {
		t.Errorf("remembered as removed: %q", h)
	}
	if len(c.edits.Paths) != 0 || len(c.doc.Paths) != 1 {
		t.Errorf("paths: %v, edits %v", c.doc.Paths, c.edits.Paths)
	}
}

func TestStoreRefuses(t *testing.T) {
	t.Parallel()
	in, c := startStore(t, localServer+noServers+"paths: {cam: {}}\n")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := in.router.Config()
	addr := in.router.ProtocolAddrs("rtsp")[0].String()
	for _, err := range []error{
		c.PatchGlobal(t.Context(), raw(`{"rtspAddress": "zz"}`)),
		c.PatchGlobal(t.Context(), raw(`{"rtspAddress": "`+taken.Addr().String()+`"}`)),
		c.PatchGlobal(t.Context(), raw(`{"logLevel": "debug", "zz": 1}`)),
		c.AddPath(t.Context(), "../x", raw(`{}`)),
		c.AddPath(t.Context(), "~(", raw(`{}`)),
		c.PatchPath(t.Context(), "cam", raw(`{"source": "zz://"}`)),
		c.PatchPath(t.Context(), "cam", raw(`{"name": "other"}`)),
	} {
		if err == nil {
			t.Error("no error")
		}
	}
	if got := in.router.Config(); len(got.Paths) != len(before.Paths) || len(got.Protocols) != len(before.Protocols) {
		t.Errorf("%+v", got)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal("the old listener is gone: ", err)
	}
	conn.Close()
}

// A change that is refused disconnects nobody, whatever else is in it.
func TestRefusedChangeDisturbsNobody(t *testing.T) {
	t.Parallel()
	in, c := startStore(t, localServer+noServers+"paths: {cam: {}}\n")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	takenUDP, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer takenUDP.Close()
	port := takenUDP.LocalAddr().(*net.UDPAddr).Port &^ 1 // RTP has an even one
	rtp, rtcp := "127.0.0.1:"+strconv.Itoa(port), "127.0.0.1:"+strconv.Itoa(port+1)
	conn, err := net.Dial("tcp", in.router.ProtocolAddrs("rtsp")[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	lines := bufio.NewReader(conn)
	answered := func() error {
		if _, err := conn.Write([]byte("OPTIONS rtsp://localhost/cam RTSP/1.0\r\nCSeq: 7\r\n\r\n")); err != nil {
			return err
		}
		for {
			if l, err := lines.ReadString('\n'); err != nil || l == "\r\n" {
				return err
			}
		}
	}
	for _, doc := range []string{
		`{"rtspAddress": "` + taken.Addr().String() + `"}`,
		`{"readTimeout": "7s", "rtmp": true, "rtmpAddress": "` + taken.Addr().String() + `"}`,
		`{"readTimeout": "7s", "srt": true, "srtAddress": "` + takenUDP.LocalAddr().String() + `"}`,
		`{"rtspTransports": ["udp", "tcp"], "rtpAddress": "` + rtp + `", "rtcpAddress": "` + rtcp + `"}`,
		`{"readTimeout": "7s", "hls": true, "hlsEncryption": true, "hlsServerCert": "/nothing"}`,
		`{"rtspEncryption": "optional", "rtspServerCert": "/nothing"}`,
		`{"readTimeout": "7s", "api": true, "apiAddress": "` + taken.Addr().String() + `"}`,
	} {
		if err := c.PatchGlobal(t.Context(), raw(doc)); err == nil || !strings.Contains(err.Error(), "Address: ") && !strings.Contains(err.Error(), "ServerCert") {
			t.Errorf("%s: %v", doc, err)
		}
		if err := answered(); err != nil {
			t.Fatalf("%s: a client is gone: %v", doc, err)
		}
	}
	writeFile(t, in.file, localServer+noServers+"readTimeout: 7s\nmetrics: yes\nmetricsAddress: "+taken.Addr().String()+"\n")
	until(t, "reload", in.out, func() bool { return strings.Contains(in.out.String(), "is not used") })
	if err := answered(); err != nil {
		t.Error("a client is gone: ", err)
	}
}

func TestStoreKeepsChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kept.yml")
	text := localServer + noServers + "apiPersist: " + file + "\npaths: {old: {}}\n"
	in, c := startStore(t, text)
	if err := errors.Join(c.AddPath(t.Context(), "cam", raw(`{"maxReaders": 3}`)), c.DeletePath(t.Context(), "old")); err != nil {
		t.Fatal(err)
	}
	in.stop()
	in, _ = startStore(t, text)
	if p := in.router.Config().Paths; len(p) != 1 || p[0].Name != "cam" || p[0].MaxReaders != 3 {
		t.Errorf("%+v", p)
	}
	// a change of the file leaves them alone
	writeFile(t, in.file, text+"logLevel: debug\n")
	until(t, "reload", in.out, func() bool { return strings.Contains(in.out.String(), "nothing to change") })
	if p := in.router.Config().Paths; len(p) != 1 {
		t.Errorf("%+v", p)
	}
	if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
		t.Errorf("files are left: %v", entries)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
}

// Who edits the file with what was kept is heard: at the next change by the API
// and at the next reload.
func TestKeptChangesAreEdited(t *testing.T) {
	t.Parallel()
	kept := filepath.Join(t.TempDir(), "kept.yml")
	text := localServer + noServers + "apiPersist: " + kept + "\n"
	in, c := startStore(t, text)
	names := func() (out string) {
		for _, p := range in.router.Config().Paths {
			out += p.Name + " "
		}
		return out
	}
	add := func(name string) error { return c.AddPath(t.Context(), name, raw(`{}`)) }
	if err := add("one"); err != nil {
		t.Fatal(err)
	}
	writeFile(t, kept, "# mine\npaths: {one: {}, two: {}}\n")
	if err := add("three"); err != nil || names() != "one three two " {
		t.Error(err, names())
	}
	writeFile(t, kept, "paths: [\n")
	if err := add("four"); err == nil || !strings.Contains(err.Error(), "kept.yml") || names() != "one three two " {
		t.Error(err, names())
	}
	if b, _ := os.ReadFile(kept); string(b) != "paths: [\n" {
		t.Errorf("what somebody is editing was replaced by %q", b)
	}
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	if err := add("four"); err != nil || names() != "four one three two " {
		t.Error(err, names())
	}
	const mine = "paths: {five: {}} # mine\n"
	writeFile(t, kept, mine)
	writeFile(t, in.file, text+"readTimeout: 9s\n")
	until(t, "reload", in.out, func() bool { return names() == "five " })
	// switched off, it is left alone, and counts again when it is switched on
	writeFile(t, in.file, strings.Replace(text, "apiPersist", "#", 1)+"paths: {own: {}}\n")
	until(t, "apiPersist off", in.out, func() bool { return names() == "own " })
	writeFile(t, in.file, text)
	until(t, "apiPersist on", in.out, func() bool { return names() == "five " })
	if b, _ := os.ReadFile(kept); string(b) != mine {
		t.Errorf("the file was changed: %q", b)
	}
}

// What was kept and cannot be used keeps the server from starting, with the reason.
func TestKeptChangesThatCannotWork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, kept := filepath.Join(dir, "mediamtx.yml"), filepath.Join(dir, "kept.yml")
	writeFile(t, file, localServer+noServers+"apiPersist: "+kept+"\n")
	for text, want := range map[string]string{
		"{":                           "the file is damaged",
		"global: {rtspAddress: zz}":   "rtspAddress",
		"global: {apiPersist: {}}":    "apiPersist",
		"paths: {cam: {nonsense: 1}}": "nonsense",
	} {
		writeFile(t, kept, text)
		var out routertest.Log
		if code := Run(t.Context(), Options{Args: []string{file}, Stdout: &out, Stderr: &out}); code != 1 || !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "kept.yml") {
			t.Errorf("%s: exit code %d, %s", text, code, &out)
		}
	}
}

func TestReloadForgetsChanges(t *testing.T) {
	t.Parallel()
	in, c := startStore(t, localServer+noServers+"paths: {old: {}}\n")
	if err := c.AddPath(t.Context(), "cam", raw(`{}`)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, in.file, localServer+noServers+"paths: {old: {}, new: {}}\n")
	until(t, "reload", in.out, func() bool { return len(in.router.Config().Paths) == 2 && in.router.Config().Paths[0].Name == "new" })
}

// Who waits for the change of another when the API ends is told that nothing was
// changed, and nothing is.
func TestChangeIsWithdrawn(t *testing.T) {
	t.Parallel()
	in, c := startStore(t, localServer+noServers)
	if err := c.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- c.AddPath(ctx, "cam", raw(`{}`)) }()
	cancel()
	if err := <-result; !errors.Is(err, controlapi.ErrEnding) {
		t.Error(err)
	}
	c.unlock()
	if err := c.AddPath(t.Context(), "other", raw(`{}`)); err != nil {
		t.Error(err)
	}
	if p := in.router.Config().Paths; len(p) != 1 || p[0].Name != "other" {
		t.Errorf("%+v", p)
	}
}

// brittle is an endpoint that does not start with a certain timeout.
type brittle struct{ httpserver.Listen }

func (e brittle) Serve(ctx context.Context, h http.Handler, ready func(net.Addr)) error {
	if e.ReadTimeout == 3*time.Second {
		return errors.New("broken")
	}
	return e.Listen.Serve(ctx, h, ready)
}

// If the API does not come back in spite of everything, all is as it was.
func TestChangeIsTakenBack(t *testing.T) {
	t.Parallel()
	var c *configuration
	in := start(t, localServer+operated+noServers, Options{store: func(s *configuration) { c = s }, Extend: []func(*mtx.Config){func(cfg *mtx.Config) {
		for _, p := range cfg.Protocols {
			if api, ok := p.(*controlapi.Server); ok {
				api.HTTP = brittle{api.HTTP.(httpserver.Listen)}
			}
		}
	}}})
	until(t, "servers", in.out, func() bool { return len(in.router.Protocols()) == 4 })
	err := c.PatchGlobal(t.Context(), raw(`{"readTimeout":"3s"}`))
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Error(err)
	}
	if _, body := in.call(t, "api", "GET", "/v3/config/global/get", ""); !strings.Contains(string(body), `"readTimeout":"10s"`) {
		t.Errorf("%s", body)
	}
	if status, _ := in.call(t, "api", "GET", "/readyz", ""); status != 200 || !strings.Contains(in.out.String(), "the change is taken back") {
		t.Errorf("%d\n%s", status, in.out)
	}
	if err := c.PatchGlobal(t.Context(), raw(`{"readTimeout":"4s"}`)); err != nil {
		t.Error(err)
	}
}

// Changes from everywhere at once neither block each other nor get lost.
func TestStoreUnderLoad(t *testing.T) {
	t.Parallel()
	in, c := startStore(t, localServer+noServers)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for range 25 {
				if err := c.ReplacePath(context.Background(), name, raw(`{"maxReaders": 1}`)); err != nil {
					t.Error(err)
				}
				if err := c.PatchPath(context.Background(), name, raw(`{"maxReaders": 2}`)); err != nil {
					t.Error(err)
				}
				if _, err := c.Paths(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(in.router.Config().Paths); n != 4 {
		t.Errorf("%d paths", n)
	}
}

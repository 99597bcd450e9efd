package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router/routertest"
)

// childEnv makes a process of this test a command of a hook.
const childEnv = "MTX_TEST_CHILD"

// child writes its arguments or its variables to a file, publishes to a URL until
// it is interrupted, or is the command itself.
func child(what string, args []string) int {
	switch what {
	case "main":
		os.Args = append([]string{"mediamtx"}, args...)
		return Main()
	case "env":
		return tell(args[0], append(args[1:], ownVariables()...))
	case "args":
		return tell(args[0], append(args[1:], os.Getenv("MTX_QUERY")))
	case "publish":
		r, err := mtx.New(mtx.Config{Paths: []mtx.PathConfig{{Name: "out", Sinks: []mtx.Sink{rtsp.Forward{URL: args[0], Transport: rtsp.TCP}}}}})
		if err != nil || r.Start(context.Background()) != nil {
			return 1
		}
		pub, err := r.Publish(context.Background(), "out", routertest.SampleTracks())
		if err != nil {
			return 1
		}
		for n := range 3000 {
			for i := range 2 {
				pub.Write(i, routertest.SampleUnit(i, n))
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return 1
}

// tell appends a line to a file.
func tell(file string, words []string) int {
	b, err := json.Marshal(words)
	f, err2 := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil || err2 != nil {
		return 1
	}
	defer f.Close()
	_, _ = f.Write(append(b, '\n'))
	return 0
}

// ownVariables are those that a command gets from us.
func ownVariables() []string {
	var out []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if (strings.HasPrefix(name, "MTX_") || name == "RTSP_PORT" || name == "G1" || name == "G2") && name != childEnv {
			out = append(out, e)
		}
	}
	slices.Sort(out)
	return out
}

// childLine is the beginning of a command line of a hook.
func childLine(t *testing.T, what string) string {
	t.Helper()
	bin, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("env"); err != nil {
		t.Skip("there is no env")
	}
	return "env GORACE=atexit_sleep_ms=0 " + childEnv + "=" + what + " " + bin + " " // the race detector would hold up its end
}

// calls returns the arguments with which a child was called.
func calls(file string) (out [][]string) {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		var args []string
		if json.Unmarshal([]byte(line), &args) == nil {
			out = append(out, args)
		}
	}
	return out
}

// hostile are queries that would do harm if anything took them for more than
// text.
func hostile(dir string) []string {
	return []string{
		"a=$(touch${IFS}" + dir + "/pwned)&b=`touch${IFS}" + dir + "/pwned`",
		`x='";touch<>` + dir + `/pwned;"'`,
		"x=%20%0atouch%20" + dir + "/pwned%0a",
		"$MTX_PATH=${HOME}&$G1|&&",
		`\$(id)\\'\"`,
	}
}

// Queries of clients arrive in commands as text, in one argument.
func TestQueriesInCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "calls")
	quoted := strings.ReplaceAll(childLine(t, "args"), "'", "")
	line := quoted + file + " one $MTX_QUERY \"two $MTX_PATH\" ${MTX_QUERY}"
	shell := `sh -c 'printf "%s\n" "$MTX_QUERY" >> ` + dir + `/shell; echo $MTX_QUERY >> ` + dir + `/words'`
	doc, err := json.Marshal(map[string]any{"runOnRead": line, "runOnUnread": shell})
	if err != nil {
		t.Fatal(err)
	}
	in := start(t, localServer+operated+noServers+"paths: {all_others: {}}\n", Options{})
	if status, body := in.call(t, "api", "POST", "/v3/config/paths/add/cam", string(doc)); status != 200 {
		t.Fatalf("%s", body)
	}
	sample(t, in, "cam")
	for i, query := range hostile(dir) {
		conn, err := net.Dial("tcp", in.addr("rtsp"))
		if err != nil {
			t.Fatal(err)
		}
		if err := play(conn, in.addr("rtsp"), query); err != nil {
			conn.Close()
			t.Errorf("%s: %v", query, err)
			continue
		}
		until(t, "runOnRead", in.out, func() bool { return len(calls(file)) == i+1 })
		conn.Close()
		got := calls(file)[i]
		if len(got) != 5 || got[0] != "one" || got[1] != got[3] || got[1] != got[4] || got[2] != "two cam" || decoded(got[1]) != decoded(query) {
			t.Errorf("%s: the command got %q", query, got)
		}
	}
	until(t, "runOnUnread", in.out, func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "words"))
		return strings.Count(string(b), "\n") == len(hostile(dir))
	})
	if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
		t.Error("a query was executed")
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "shell")); strings.Count(string(b), "\n") != len(hostile(dir)) {
		t.Errorf("%s", b)
	}
}

// decoded removes percent-encoding, as far as there is.
func decoded(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// play reads cam with a query.
func play(conn net.Conn, addr, query string) error {
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	r := bufio.NewReader(conn)
	session := ""
	for i, method := range []string{"SETUP", "PLAY"} {
		target, more := "rtsp://"+addr+"/cam/trackID=0?"+query, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
		if method == "PLAY" {
			target, more = "rtsp://"+addr+"/cam?"+query, "Session: "+session+"\r\n"
		}
		if _, err := fmt.Fprintf(conn, "%s %s RTSP/1.0\r\nCSeq: %d\r\n%s\r\n", method, target, i+1, more); err != nil {
			return err
		}
		for first := true; ; first = false {
			line, err := r.ReadString('\n')
			switch {
			case err != nil:
				return err
			case first && !strings.HasPrefix(line, "RTSP/1.0 200"):
				return fmt.Errorf("%s: %s", method, line)
			}
			if v, ok := strings.CutPrefix(line, "Session: "); ok {
				session, _, _ = strings.Cut(strings.TrimSpace(v), ";")
			}
			if line == "\r\n" {
				break
			}
		}
	}
	return nil
}

// A command publishes when somebody wants to read, and ends when nobody does;
// names that match a regular expression are given to it.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "calls")
	in := start(t, strings.Replace(localServer, "rtmpAddress", "rtmp: yes\nrtmpAddress", 1)+operated+"hls: no\nsrt: no\nwebrtc: no\n"+
		"paths:\n  moved: {source: redirect, sourceRedirect: /made/7}\n  empty: {fallback: /made/7}\n", Options{})
	until(t, "servers", in.out, func() bool { return in.serves("rtmp") && in.serves("api") })
	add := func(name string, doc map[string]any) {
		t.Helper()
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := in.call(t, "api", "POST", "/v3/config/paths/add/"+url.PathEscape(name), string(b)); status != 200 {
			t.Fatalf("%s", body)
		}
	}
	at := "rtsp://" + in.addr("rtsp")
	add("~^made/([0-9]+)$", map[string]any{
		"runOnDemand": childLine(t, "publish") + at + "/$MTX_PATH", "runOnDemandCloseAfter": "300ms",
		"runOnUnDemand": childLine(t, "args") + file + " undemand $MTX_PATH $G1",
	})
	add("~^pulled/([0-9]+)$", map[string]any{
		"source": at + "/made/$G1", "sourceOnDemand": true, "sourceOnDemandCloseAfter": "300ms", "rtspTransport": "tcp",
	})
	p := newPeer(t, in, "")
	p.pull("pulled", "rtsp", "pulled/5", "", "") // from a source that reads what a command publishes
	p.pull("moved", "rtmp", "moved", "", "")
	p.pull("fallback", "rtmp", "empty", "", "")
	for _, name := range []string{"pulled", "moved", "fallback"} {
		p.waitFor(name)
	}
	var l struct {
		Items []struct {
			Name, ConfName string
			Ready          bool
			Source         *struct{ Type string }
			Readers        []struct{ Type string }
		}
	}
	_, body := in.call(t, "api", "GET", "/v3/paths/list", "")
	if err := json.Unmarshal(body, &l); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range l.Items {
		source := ""
		if i.Source != nil {
			source = i.Source.Type
		}
		got = append(got, fmt.Sprintf("%s %s %v %s %d", i.Name, i.ConfName, i.Ready, source, len(i.Readers)))
	}
	want := "empty empty false  0, made/5 ~^made/([0-9]+)$ true rtspSession 1, made/7 ~^made/([0-9]+)$ true rtspSession 2, " +
		"moved moved false redirect 0, pulled/5 ~^pulled/([0-9]+)$ true rtspSource 1"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	for _, name := range []string{"pulled", "moved", "fallback"} {
		if err := p.RemovePath(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "runOnUnDemand", in.out, func() bool { return len(calls(file)) == 2 })
	seen := fmt.Sprint(calls(file))
	if !strings.Contains(seen, "[undemand made/5 5 ]") || !strings.Contains(seen, "[undemand made/7 7 ]") {
		t.Error(seen)
	}
	until(t, "paths are gone", in.out, func() bool {
		_, body := in.call(t, "api", "GET", "/v3/paths/list", "")
		return !strings.Contains(string(body), "made/") && !strings.Contains(string(body), "pulled/")
	})
}

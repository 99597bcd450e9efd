package app

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// uuids and segments are what a test cannot know before.
var (
	uuids    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
	segments = regexp.MustCompile(`(PATH=)\S*/rec/\S+|(DURATION=)[0-9]+\.[0-9]+`)
)

// Every command of a file runs, with the variables of what it is about and no
// others.
func TestEveryHook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "calls")
	line := childLine(t, "env") + file + " "
	text := localServer + operated + "rtmp: no\nhls: no\nsrt: no\nwebrtc: no\nrunOnConnect: " + line + "connect\nrunOnDisconnect: " + line + "disconnect\n" +
		"paths:\n  ~^live/(.+)/(.+)$:\n    record: yes\n    recordPartDuration: 100ms\n    recordPath: " + dir + "/rec/%path/%s-%f\n"
	for _, name := range []string{
		"Ready", "NotReady", "Online", "Offline", "Read", "Unread", "RecordSegmentCreate", "RecordSegmentComplete",
	} {
		text += "    runOn" + name + ": " + line + name + " ${MTX_PATH} $G2/$G1\n"
	}
	text += "  pulled:\n    source: rtsp://127.0.0.1:1/x\n    rtspTransport: tcp\n    runOnInit: " + line + "Init\n    runOnAvailable: " + line + "Available $MTX_SOURCE_TYPE\n    runOnUnavailable: " + line + "Unavailable\n"
	in := start(t, text, Options{})
	until(t, "servers", in.out, func() bool { return in.serves("rtsp") })
	p := newPeer(t, in, "")
	got := func() (out []string) {
		for _, c := range calls(file) {
			s := strings.Join(c, " ")
			out = append(out, segments.ReplaceAllString(uuids.ReplaceAllString(s, "UUID"), "$1${2}X"))
		}
		slices.Sort(out)
		return out
	}
	has := func(begin string) func() bool {
		return func() bool {
			return slices.ContainsFunc(got(), func(s string) bool { return strings.HasPrefix(s, begin+" ") })
		}
	}
	p.push("rtsp://" + in.addr("rtsp") + "/live/a/b?x=1")
	until(t, "publisher", in.out, has("Ready"))
	p.pull("reader", "rtsp", "live/a/b", "", "?y=$(z)")
	until(t, "reader", in.out, has("Read"))
	until(t, "recording", in.out, has("RecordSegmentCreate"))
	if status, body := in.call(t, "api", "PATCH", "/v3/config/paths/patch/pulled", `{"source":"rtsp://`+in.addr("rtsp")+`/live/a/b"}`); status != 200 {
		t.Fatalf("%s", body)
	}
	until(t, "source", in.out, has("Available"))
	if err := p.RemovePath(t.Context(), "reader"); err != nil {
		t.Fatal(err)
	}
	until(t, "end of the reader", in.out, has("Unread"))
	p.push()
	for _, name := range []string{"NotReady", "Unavailable", "Offline", "RecordSegmentComplete", "disconnect"} {
		until(t, name, in.out, has(name))
	}
	in.stop()
	const path, source = " live/a/b b/a G1=a G2=b MTX_PATH=live/a/b", " MTX_SOURCE_ID=UUID MTX_SOURCE_TYPE=rtspSession RTSP_PORT=0"
	conn := " MTX_CONN_ID=UUID MTX_CONN_TYPE=rtspConn RTSP_PORT=0"
	reader := func(query string) string {
		return path + " MTX_QUERY=" + query + " MTX_READER_ID=UUID MTX_READER_TYPE=rtspSession RTSP_PORT=0"
	}
	want := []string{
		"Init MTX_PATH=pulled RTSP_PORT=0",
		"Ready" + path + " MTX_QUERY=x=1" + source, "NotReady" + path + " MTX_QUERY=x=1" + source,
		"Online" + path + " MTX_QUERY=x=1" + source, "Offline" + path + " MTX_QUERY=x=1" + source,
		"Read" + reader("y=%24%28z%29"), "Unread" + reader("y=%24%28z%29"), "Read" + reader(""), "Unread" + reader(""),
		"RecordSegmentCreate" + path + " MTX_SEGMENT_PATH=X RTSP_PORT=0",
		"RecordSegmentComplete" + path + " MTX_SEGMENT_DURATION=X MTX_SEGMENT_PATH=X RTSP_PORT=0",
		"connect" + conn, "disconnect" + conn,
		"Available rtspSource MTX_PATH=pulled MTX_QUERY= MTX_SOURCE_ID= MTX_SOURCE_TYPE=rtspSource RTSP_PORT=0",
		"Unavailable MTX_PATH=pulled MTX_QUERY= MTX_SOURCE_ID= MTX_SOURCE_TYPE=rtspSource RTSP_PORT=0",
	}
	slices.Sort(want)
	have := slices.Compact(got()) // there are several connections, and perhaps segments
	if !slices.Equal(have, want) {
		t.Errorf("commands were called with\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/org/mtx/router"
)

// operated has the servers for operators.
const operated = "api: yes\napiAddress: 127.0.0.1:0\nmetrics: yes\nmetricsAddress: 127.0.0.1:0\npprof: yes\npprofAddress: 127.0.0.1:0\n"

// live is a server with a publisher and a reader of every protocol.
type live struct {
	*instance
	t *testing.T
	p *peer
	c *contract
}

func startLive(t *testing.T) *live {
	t.Helper()
	cert, key, fingerprint := certificate(t)
	in := start(t, localServer+operated+
		"rtspEncryption: optional\nrtspsAddress: 127.0.0.1:0\nrtspServerCert: "+cert+"\nrtspServerKey: "+key+"\n"+
		"rtmpEncryption: optional\nrtmpsAddress: 127.0.0.1:0\nrtmpServerCert: "+cert+"\nrtmpServerKey: "+key+"\n"+
		"hlsSegmentDuration: 500ms\nhlsVariant: fmp4\npaths:\n  all_others: {}\n  rtmps: {record: yes, recordPartDuration: 100ms, recordPath: "+filepath.ToSlash(t.TempDir())+"/%path/%s-%f}\n"+
		"  idle: {source: 'rtsp://user:secret@127.0.0.1:1/x'}\n", Options{})
	l := &live{in, t, newPeer(t, in, fingerprint), theContract(t)}
	until(t, "servers", in.out, func() bool { return len(in.router.Protocols()) == 11 })
	l.p.push("rtsp://"+in.addr("rtsp")+"/rtsp", "rtsps://"+in.addr("rtsps")+"/rtsps", "rtmp://"+in.addr("rtmp")+"/rtmp", "rtmps://"+in.addr("rtmps")+"/rtmps",
		"srt://"+in.addr("srt")+"?streamid=publish:srt", "whip://"+in.addr("webrtc")+"/webrtc/whip")
	for _, name := range []string{"rtsp", "rtsps", "rtmp", "rtmps", "srt", "webrtc"} {
		until(t, "publisher of "+name, in.out, func() bool { return in.ready(name) })
	}
	for _, protocol := range []string{"rtsp", "rtsps", "rtmp", "rtmps", "srt", "hls", "webrtc"} {
		l.p.pull("from-"+protocol, protocol, "rtsp", "", "")
	}
	for _, protocol := range []string{"rtsp", "rtsps", "rtmp", "rtmps", "srt", "hls", "webrtc"} {
		l.p.waitFor("from-" + protocol)
	}
	return l
}

// get asks the API and checks the answer against the contract.
func (l *live) get(pattern, path string) []byte {
	l.t.Helper()
	s, err := l.c.answer(pattern, "GET")
	if err != nil {
		l.t.Fatal(err)
	}
	status, body := l.call(l.t, "api", "GET", path, "")
	if status != 200 {
		l.t.Errorf("%s: %d %s", path, status, body)
		return nil
	}
	for _, e := range l.c.check(s, body) {
		l.t.Errorf("%s: %s", path, e)
	}
	return body
}

type anyList struct {
	ItemCount, PageCount int
	Items                []map[string]any
}

func (l *live) list(pattern string) anyList {
	l.t.Helper()
	var out anyList
	if body := l.get(pattern, pattern+"?itemsPerPage=1000"); body != nil {
		if err := json.Unmarshal(body, &out); err != nil || out.ItemCount != len(out.Items) {
			l.t.Errorf("%s: %v in %s", pattern, err, body)
		}
	}
	return out
}

// Every endpoint, while every protocol has a publisher and a reader, answers what
// the contract says; metrics show the same; kick ends the client of each protocol.
func TestLive(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	until(t, "recording", l.out, func() bool {
		_, body := l.call(t, "api", "GET", "/v3/recordings/list", "")
		return strings.Contains(string(body), `"start"`)
	})
	lists := map[string]anyList{}
	for _, pattern := range slices.Sorted(maps.Keys(l.c.Paths)) {
		if l.c.Paths[pattern]["get"] == nil {
			continue
		}
		switch {
		case strings.HasSuffix(pattern, "/list"):
			lists[pattern] = l.list(pattern)
		case !strings.Contains(pattern, "{"):
			l.get(pattern, pattern)
		}
	}
	for pattern := range l.c.Paths {
		base, param, ok := strings.Cut(pattern, "/get/{")
		if !ok {
			continue
		}
		items := lists[base+"/list"].Items
		if len(items) == 0 {
			t.Errorf("%s: nothing is there", base)
		}
		for _, item := range items {
			key := strings.TrimSuffix(param, "}")
			if base == "/v3/hlsmuxers" {
				key = "path"
			}
			l.get(pattern, base+"/get/"+url.PathEscape(item[key].(string)))
		}
	}
	l.checkLists(lists)
	l.checkSecrets()
	l.checkMetrics(lists)
	l.checkEcho()
	l.checkKick()
	l.checkRecordings()
}

// checkRecordings removes what was recorded.
func (l *live) checkRecordings() {
	l.t.Helper()
	var rec struct{ Segments []struct{ Start string } }
	if err := json.Unmarshal(l.get("/v3/recordings/get/{name}", "/v3/recordings/get/rtmps"), &rec); err != nil || len(rec.Segments) == 0 {
		l.t.Fatal(err, rec)
	}
	for _, want := range []int{200, 400} { // it is gone then
		query := url.Values{"path": {"rtmps"}, "start": {rec.Segments[0].Start}}
		if status, body := l.call(l.t, "api", "DELETE", "/v3/recordings/deletesegment?"+query.Encode(), ""); status != want {
			l.t.Errorf("deletesegment: %d %s, want %d", status, body, want)
		}
	}
}

// checkLists looks at what the lists show.
func (l *live) checkLists(lists map[string]anyList) {
	l.t.Helper()
	count := func(pattern, state string) (n int) {
		for _, i := range lists[pattern].Items {
			if i["state"] == state {
				n++
			}
		}
		return n
	}
	for _, pattern := range []string{"/v3/rtspsessions/list", "/v3/rtspssessions/list", "/v3/rtmpconns/list", "/v3/rtmpsconns/list", "/v3/srtconns/list", "/v3/webrtcsessions/list"} {
		if count(pattern, "publish") != 1 || count(pattern, "read") != 1 {
			l.t.Errorf("%s: %v", pattern, lists[pattern].Items)
		}
	}
	for _, i := range lists["/v3/paths/list"].Items {
		source, _ := i["source"].(map[string]any)
		switch i["name"] {
		case "rtsp":
			if i["ready"] != true || i["confName"] != "all_others" || source["type"] != "rtspSession" || len(i["readers"].([]any)) != 7 ||
				fmt.Sprint(i["tracks"]) != "[H264 Opus]" || i["inboundBytes"] != i["bytesReceived"] || i["inboundBytes"].(float64) == 0 {
				l.t.Errorf("%v", i)
			}
		case "idle":
			if i["ready"] != false || i["readyTime"] != nil || source["type"] != "rtspSource" || source["id"] != "" {
				l.t.Errorf("%v", i)
			}
		}
	}
}

// checkSecrets looks for what must not be shown.
func (l *live) checkSecrets() {
	l.t.Helper()
	for _, path := range []string{"/v3/config/paths/get/idle", "/v3/config/paths/list", "/v3/config/export", "/v3/paths/list"} {
		if _, body := l.call(l.t, "api", "GET", path, ""); strings.Contains(string(body), "secret") {
			l.t.Errorf("%s: %s", path, body)
		}
	}
}

func (l *live) metrics(query string) map[string]*dto.MetricFamily {
	l.t.Helper()
	status, body := l.call(l.t, "metrics", "GET", "/metrics"+query, "")
	p := expfmt.NewTextParser(model.LegacyValidation)
	fs, err := p.TextToMetricFamilies(strings.NewReader(string(body)))
	if status != 200 || err != nil {
		l.t.Fatalf("%d %v %s", status, err, body)
	}
	return fs
}

// checkMetrics compares the metrics with the lists of the API.
func (l *live) checkMetrics(lists map[string]anyList) {
	l.t.Helper()
	fs := l.metrics("")
	for family, pattern := range map[string]string{
		"paths": "/v3/paths/list", "hls_muxers": "/v3/hlsmuxers/list", "rtsp_conns": "/v3/rtspconns/list", "rtsps_conns": "/v3/rtspsconns/list",
		"rtsp_sessions": "/v3/rtspsessions/list", "rtsps_sessions": "/v3/rtspssessions/list", "rtmp_conns": "/v3/rtmpconns/list",
		"rtmps_conns": "/v3/rtmpsconns/list", "srt_conns": "/v3/srtconns/list", "webrtc_sessions": "/v3/webrtcsessions/list",
	} {
		var want, got []string
		for _, i := range lists[pattern].Items {
			for _, key := range []string{"name", "id", "path"} {
				if v, ok := i[key].(string); ok {
					want = append(want, v)
					break
				}
			}
		}
		for _, m := range fs[family].GetMetric() {
			for _, p := range m.GetLabel() {
				if p.GetName() == "name" || p.GetName() == "id" {
					got = append(got, p.GetValue())
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			l.t.Errorf("%s: %v, the API has %v", family, got, want)
		}
	}
	for _, name := range []string{
		"paths_bytes_received", "paths_bytes_sent", "paths_inbound_bytes", "paths_outbound_bytes", "paths_readers", "hls_muxers_bytes_sent",
		"rtsp_conns_bytes_received", "rtsp_conns_bytes_sent", "rtsp_sessions_bytes_received", "rtsp_sessions_bytes_sent",
		"rtsp_sessions_rtp_packets_received", "rtsp_sessions_rtp_packets_sent", "rtsp_sessions_rtp_packets_lost", "rtsp_sessions_rtp_packets_in_error",
		"rtsp_sessions_rtp_packets_jitter", "rtsp_sessions_rtcp_packets_received", "rtsp_sessions_rtcp_packets_sent",
		"rtsp_sessions_rtcp_packets_in_error", "rtsps_sessions_bytes_sent", "rtmp_conns_bytes_received", "rtmp_conns_bytes_sent", "rtmps_conns_bytes_sent",
		"srt_conns_packets_sent", "srt_conns_bytes_received_unique", "srt_conns_us_snd_duration", "srt_conns_ms_rtt", "srt_conns_mbps_send_rate",
		"srt_conns_bytes_mss", "webrtc_sessions_bytes_received", "webrtc_sessions_rtp_packets_sent", "webrtc_sessions_rtcp_packets_received",
		"rtsp_sessions_inbound_rtp_packets_lost", "webrtc_sessions_outbound_frames_discarded", "go_goroutines", "process_open_fds",
	} {
		if len(fs[name].GetMetric()) == 0 {
			l.t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"rtsp_sessions_bytes_sent", "rtmp_conns_bytes_sent", "srt_conns_bytes_sent", "webrtc_sessions_bytes_sent", "hls_muxers_bytes_sent", "paths_bytes_sent"} {
		sum := 0.0
		for _, m := range fs[name].GetMetric() {
			sum += m.GetCounter().GetValue()
		}
		if sum == 0 {
			l.t.Errorf("%s: nothing is counted", name)
		}
	}
	id := lists["/v3/srtconns/list"].Items[0]["id"].(string)
	if fs := l.metrics("?srt_conn=" + id); len(fs["srt_conns"].GetMetric()) != 1 || fs["paths"] != nil {
		l.t.Error(fs)
	}
}

// checkEcho patches every document with what was got: nothing changes.
func (l *live) checkEcho() {
	l.t.Helper()
	before := l.router.Config()
	for get, patch := range map[string]string{
		"/v3/config/global/get": "/v3/config/global/patch", "/v3/config/pathdefaults/get": "/v3/config/pathdefaults/patch",
		"/v3/config/paths/get/idle": "/v3/config/paths/patch/idle",
	} {
		_, doc := l.call(l.t, "api", "GET", get, "")
		if status, body := l.call(l.t, "api", "PATCH", patch, string(doc)); status != 200 {
			l.t.Errorf("%s: %d %s", patch, status, body)
		}
		if _, after := l.call(l.t, "api", "GET", get, ""); !bytes.Equal(after, doc) {
			l.t.Errorf("%s: %s\nbecame %s", patch, doc, after)
		}
	}
	after := l.router.Config()
	if ch := router.Diff(&before, &after); !ch.Empty() {
		l.t.Errorf("this has changed: %+v", ch)
	}
}

// checkKick sends every reader and then every publisher away.
func (l *live) checkKick() {
	l.t.Helper()
	kinds := []string{"rtspsessions", "rtspssessions", "rtmpconns", "rtmpsconns", "srtconns", "webrtcsessions"}
	for _, state := range []string{"read", "publish"} {
		for _, kind := range kinds {
			if n := l.kickAll(kind, state); n != 1 {
				l.t.Errorf("%s, %s: %d were there", kind, state, n)
			}
		}
		for _, protocol := range []string{"rtsp", "rtsps", "rtmp", "rtmps", "srt", "webrtc"} {
			if state == "read" {
				until(l.t, "the reader of "+protocol+" notices", l.out, func() bool { return !l.p.has("from-" + protocol) })
			} else {
				until(l.t, "the publisher of "+protocol+" is gone", l.out, func() bool { return !l.ready(protocol) })
			}
		}
	}
}

func (l *live) kickAll(kind, state string) (n int) {
	l.t.Helper()
	for _, item := range l.list("/v3/" + kind + "/list").Items {
		if item["state"] != state {
			continue
		}
		n++
		id := item["id"].(string)
		if status, body := l.call(l.t, "api", "POST", "/v3/"+kind+"/kick/"+id, ""); status != 200 || string(body) != `{"status":"ok"}` {
			l.t.Errorf("%s: %d %s", kind, status, body)
		}
		until(l.t, "kick of "+kind, l.out, func() bool {
			status, _ := l.call(l.t, "api", "GET", "/v3/"+kind+"/get/"+id, "")
			return status == 404
		})
		if status, _ := l.call(l.t, "api", "POST", "/v3/"+kind+"/kick/"+id, ""); status != 404 {
			l.t.Errorf("%s: the second kick answers %d", kind, status)
		}
	}
	return n
}

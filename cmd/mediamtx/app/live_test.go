package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
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
	// called are the endpoints whose answers were checked
	called map[string]bool
}

func startLive(t *testing.T) *live {
	t.Helper()
	cert, key, fingerprint := certificate(t)
	in := start(t, localServer+operated+
		"rtspEncryption: optional\nrtspsAddress: 127.0.0.1:0\nrtspServerCert: "+cert+"\nrtspServerKey: "+key+"\n"+
		"rtmpEncryption: optional\nrtmpsAddress: 127.0.0.1:0\nrtmpServerCert: "+cert+"\nrtmpServerKey: "+key+"\n"+
		"hlsSegmentDuration: 500ms\nhlsVariant: fmp4\npaths:\n  all_others: {}\n  rtmps: {record: yes, recordPartDuration: 100ms, recordPath: "+filepath.ToSlash(t.TempDir())+"/%path/%s-%f}\n"+
		"  idle: {source: 'rtsp://user:secret@127.0.0.1:1/x', forward: ['rtmp://127.0.0.1:1/x?pass=secret']}\n", Options{})
	l := &live{in, t, newPeer(t, in, fingerprint), theContract(t), map[string]bool{}}
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
	return l.ask("GET", pattern, path, "")
}

// ask sends a request that must succeed and checks the answer against the contract.
func (l *live) ask(method, pattern, path, body string) []byte {
	l.t.Helper()
	s, err := l.c.answer(pattern, method)
	if err != nil {
		l.t.Fatal(err)
	}
	status, answer := l.call(l.t, "api", method, path, body)
	if status != 200 {
		l.t.Errorf("%s: %d %s", path, status, answer)
		return nil
	}
	for _, e := range l.c.check(s, answer) {
		l.t.Errorf("%s: %s", path, e)
	}
	l.called[method+" "+pattern] = true
	return answer
}

// checkChanges adds, changes, replaces and removes a path, while clients of all
// protocols are there, and does what else changes something.
func (l *live) checkChanges() {
	l.t.Helper()
	const config = "/v3/config/paths/"
	for _, c := range []struct{ method, pattern, path, body string }{
		{"POST", "/v3/auth/jwks/refresh", "", ""},
		{"PATCH", "/v3/config/global/patch", "", `{"logLevel":"debug"}`},
		{"PATCH", "/v3/config/pathdefaults/patch", "", `{"maxReaders":50}`},
		{"POST", config + "add/{name}", config + "add/a/new", `{"maxReaders":3}`},
		{"PATCH", config + "patch/{name}", config + "patch/a/new", `{"maxReaders":4}`},
		{"POST", config + "replace/{name}", config + "replace/a/new", `{"source":"rtsp://user:secret@127.0.0.1:1/y"}`},
		{"GET", config + "get/{name}", config + "get/a/new", ""},
		{"GET", "/v3/paths/get/{name}", "/v3/paths/get/a/new", ""},
		{"DELETE", config + "delete/{name}", config + "delete/a/new", ""},
	} {
		path := c.path
		if path == "" {
			path = c.pattern
		}
		l.ask(c.method, c.pattern, path, c.body)
	}
}

// checkAllCalled reports endpoints of the contract that were left out.
func (l *live) checkAllCalled() {
	l.t.Helper()
	for pattern, operations := range l.c.Paths {
		for method := range operations {
			if call := strings.ToUpper(method) + " " + pattern; !l.called[call] {
				l.t.Errorf("%s was not called", call)
			}
		}
	}
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
	l.checkChanges()
	l.checkEcho()
	l.checkMuxer()
	l.checkKick()
	l.checkRecordings()
	l.checkAllCalled()
}

// checkRecordings removes what was recorded.
func (l *live) checkRecordings() {
	l.t.Helper()
	var rec struct{ Segments []struct{ Start string } }
	if err := json.Unmarshal(l.get("/v3/recordings/get/{name}", "/v3/recordings/get/rtmps"), &rec); err != nil || len(rec.Segments) == 0 {
		l.t.Fatal(err, rec)
	}
	const pattern = "/v3/recordings/deletesegment"
	path := pattern + "?" + url.Values{"path": {"rtmps"}, "start": {rec.Segments[0].Start}}.Encode()
	l.ask("DELETE", pattern, path, "")
	_, text := l.call(l.t, "metrics", "GET", "/metrics", "")
	for _, name := range []string{"record_segments_total", "record_parts_total", "record_bytes_total"} {
		if !regexp.MustCompile(`(?m)^` + name + ` [1-9]`).Match(text) {
			l.t.Errorf("%s is missing or zero", name)
		}
	}
	if status, body := l.call(l.t, "api", "DELETE", path, ""); status != 400 {
		l.t.Errorf("what is gone was removed: %d %s", status, body)
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
	for family, suffixes := range contractMetrics() {
		for _, suffix := range strings.Fields(suffixes) {
			if len(fs[family+"_"+suffix].GetMetric()) == 0 {
				l.t.Errorf("%s_%s is missing", family, suffix)
			}
		}
	}
	for family, labels := range map[string]string{
		"paths": "name state", "hls_muxers": "name", "rtsp_conns": "id", "rtsps_conns": "id", "rtsp_sessions": "id path remoteAddr state",
		"rtsps_sessions": "id path remoteAddr state", "rtmp_conns": "id path remoteAddr state", "rtmps_conns": "id path remoteAddr state",
		"srt_conns": "id path remoteAddr state", "webrtc_sessions": "id path remoteAddr state", "forward_dests": "id path pos protocol state type",
		"hls_sessions": "id path remoteAddr",
	} {
		for _, m := range fs[family].GetMetric() {
			var have []string
			for _, p := range m.GetLabel() {
				have = append(have, p.GetName())
			}
			slices.Sort(have)
			if s := strings.Join(have, " "); s != labels {
				l.t.Errorf("%s has the labels %s, want %s", family, s, labels)
			}
		}
		if len(fs[family].GetMetric()) == 0 {
			l.t.Errorf("%s is missing", family)
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

// contractMetrics are what the metrics of a family end with, those of the first
// releases and the newer names.
func contractMetrics() map[string]string {
	const (
		bytes   = "bytes_received bytes_sent inbound_bytes outbound_bytes "
		rtpOld  = "rtp_packets_received rtp_packets_sent rtp_packets_lost rtp_packets_jitter rtcp_packets_received rtcp_packets_sent "
		rtp     = "inbound_rtp_packets inbound_rtp_packets_lost inbound_rtp_packets_jitter inbound_rtcp_packets outbound_rtp_packets outbound_rtcp_packets "
		rtsp    = bytes + rtpOld + rtp + "rtp_packets_in_error rtcp_packets_in_error inbound_rtp_packets_in_error inbound_rtcp_packets_in_error outbound_rtp_packets_reported_lost outbound_rtp_packets_discarded"
		dropped = "outbound_frames_discarded"
	)
	return map[string]string{
		"paths": bytes + "readers inbound_frames_in_error", "hls_muxers": "bytes_sent outbound_bytes " + dropped,
		"hls_sessions": "bytes_sent outbound_bytes",
		"rtsp_conns":   bytes, "rtsps_conns": bytes, "rtsp_sessions": rtsp, "rtsps_sessions": rtsp,
		"rtmp_conns": bytes + dropped, "rtmps_conns": bytes + dropped, "webrtc_sessions": bytes + rtpOld + rtp + dropped,
		"srt_conns": dropped + ` packets_sent packets_received packets_sent_unique packets_received_unique packets_send_loss packets_received_loss
			packets_retrans packets_received_retrans packets_sent_ack packets_received_ack packets_sent_nak packets_received_nak packets_sent_km
			packets_received_km us_snd_duration packets_received_belated packets_send_drop packets_received_drop packets_received_undecrypt bytes_sent
			bytes_received bytes_sent_unique bytes_received_unique bytes_received_loss bytes_retrans bytes_received_retrans bytes_received_belated
			bytes_send_drop bytes_received_drop bytes_received_undecrypt us_packets_send_period packets_flow_window packets_flight_size ms_rtt
			mbps_send_rate mbps_receive_rate mbps_link_capacity bytes_avail_send_buf bytes_avail_receive_buf mbps_max_bw bytes_mss packets_send_buf
			bytes_send_buf ms_send_buf ms_send_tsb_pd_delay packets_receive_buf bytes_receive_buf ms_receive_buf ms_receive_tsb_pd_delay
			packets_reorder_tolerance packets_received_avg_belated_time packets_send_loss_rate packets_received_loss_rate`,
		"go": "goroutines memstats_heap_alloc_bytes", "process": "open_fds resident_memory_bytes",
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

// checkMuxer kicks a muxer, of which the Control API has no way to. Its viewers get
// another one.
func (l *live) checkMuxer() {
	l.t.Helper()
	for s := range l.router.Sessions("hlsMuxer") {
		if err := l.router.Kick(s.Kind, s.ID); err != nil {
			l.t.Error(err)
		}
		until(l.t, "the muxer is gone", l.out, func() bool {
			_, err := l.router.Session(s.Kind, s.ID)
			return err != nil
		})
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
		l.ask("POST", "/v3/"+kind+"/kick/{id}", "/v3/"+kind+"/kick/"+id, "")
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

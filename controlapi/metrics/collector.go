package metrics

import (
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/org/mtx/router"
)

// Collector is a prometheus.Collector of a router. Names and labels depend on
// what there is, so it is an unchecked one.
type Collector struct {
	router *router.Router
	filter filter
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns the collector of a router.
func NewCollector(r *router.Router) *Collector { return &Collector{router: r} }

// Describe implements prometheus.Collector.
func (*Collector) Describe(chan<- *prometheus.Desc) {}

// family is a kind of objects.
type family struct {
	name     string // of the metrics
	filter   string // parameter of the query; empty: none
	kind     string // of the sessions; empty: they are not sessions
	viewers  bool   // not the sessions themselves are shown but who watches, see watched
	protocol string // that must run; empty: always
	labels   []string
}

func families() []family {
	id, session := []string{"id"}, []string{"id", "path", "remoteAddr", "state"}
	return []family{
		{name: "paths", filter: "path", labels: []string{"name", "state"}},
		{name: "forward_dests", labels: []string{"id", "path", "pos", "type", "protocol", "state"}},
		{name: "hls_sessions", filter: "hls_session", kind: "hlsMuxer", viewers: true, protocol: "hls", labels: []string{"id", "path", "remoteAddr"}},
		{name: "hls_muxers", filter: "hls_muxer", kind: "hlsMuxer", protocol: "hls", labels: []string{"name"}},
		{name: "rtsp_conns", filter: "rtsp_conn", kind: "rtspConn", protocol: "rtsp", labels: id},
		{name: "rtsp_sessions", filter: "rtsp_session", kind: "rtspSession", protocol: "rtsp", labels: session},
		{name: "rtsps_conns", filter: "rtsps_conn", kind: "rtspsConn", protocol: "rtsps", labels: id},
		{name: "rtsps_sessions", filter: "rtsps_session", kind: "rtspsSession", protocol: "rtsps", labels: session},
		{name: "rtmp_conns", filter: "rtmp_conn", kind: "rtmpConn", protocol: "rtmp", labels: session},
		{name: "rtmps_conns", filter: "rtmps_conn", kind: "rtmpsConn", protocol: "rtmps", labels: session},
		{name: "srt_conns", filter: "srt_conn", kind: "srtConn", protocol: "srt", labels: session},
		{name: "webrtc_sessions", filter: "webrtc_session", kind: "webRTCSession", protocol: "webrtc", labels: session},
	}
}

// filter selects what is shown.
type filter struct {
	typ    string
	object map[string]string // by the name of the parameter
}

func filterOf(q url.Values) filter {
	f := filter{typ: q.Get("type"), object: map[string]string{}}
	for _, fam := range families() {
		if v := q.Get(fam.filter); fam.filter != "" && v != "" {
			f.object[fam.filter] = v
		}
	}
	return f
}

func (f filter) all() bool { return f.typ == "" && len(f.object) == 0 }

// selects tells whether a family is shown: all of them, the one that is named, or
// those of which an object is named.
func (f filter) selects(fam family) bool {
	switch {
	case f.typ != "":
		return f.typ == fam.name
	case len(f.object) > 0:
		return f.object[fam.filter] != ""
	}
	return true
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	running := c.router.Protocols()
	for _, fam := range families() {
		if !c.filter.selects(fam) || fam.protocol != "" && !slices.Contains(running, fam.protocol) {
			continue
		}
		e := emitter{out: out, family: fam, only: c.filter.object[fam.filter]}
		switch {
		case fam.kind != "":
			e.sessions(c.router)
		case fam.name == "forward_dests":
			e.forwards(c.router)
		default:
			e.paths(c.router)
		}
		if e.count == 0 {
			e.emit("", nil, nil, prometheus.UntypedValue, 0)
		}
	}
}

// emitter sends the samples of a family.
type emitter struct {
	out    chan<- prometheus.Metric
	family family
	only   string // name or id of the object that is asked for; empty: all
	count  int
}

func (e *emitter) emit(suffix string, labels, values []string, typ prometheus.ValueType, v float64) {
	for i := range values {
		values[i] = strings.ToValidUTF8(values[i], "\uFFFD")
	}
	name := e.family.name + suffix
	m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help(name), labels, nil), typ, v, values...)
	if err == nil {
		e.out <- m
	}
}

func help(name string) string {
	return "See the Control API: " + strings.ReplaceAll(name, "_", " ") + "."
}

func (e *emitter) paths(r *router.Router) {
	for p := range r.Paths() {
		if e.only != "" && e.only != p.Name {
			continue
		}
		e.count++
		state := "notReady"
		if p.Ready {
			state = "ready"
		}
		values := []string{p.Name, state}
		e.emit("", e.family.labels, values, prometheus.UntypedValue, 1)
		for _, s := range []struct {
			suffix string
			n      uint64
		}{
			{"_bytes_received", p.In},
			{"_bytes_sent", p.Out},
			{"_inbound_bytes", p.In},
			{"_outbound_bytes", p.Out},
			{"_inbound_frames_in_error", p.InErrors},
			{"_outbound_frames_discarded", p.Dropped},
		} {
			e.emit(s.suffix, e.family.labels, values, prometheus.CounterValue, float64(s.n))
		}
		e.emit("_readers", e.family.labels, values, prometheus.GaugeValue, float64(len(p.Readers)))
		byType := map[string]int{}
		for _, rd := range p.Readers {
			byType[rd.Type]++
		}
		for t, n := range byType {
			e.emit("_readers", []string{"name", "state", "readerType"}, []string{p.Name, state, t}, prometheus.GaugeValue, float64(n))
		}
	}
}

// forwards shows the sinks that send a path elsewhere. Their ids are made of what
// they are, so that series outlive a restart.
func (e *emitter) forwards(r *router.Router) {
	states := map[string]string{"idle": "idle", "running": "forwarding", "failed": "error"}
	for p := range r.Paths() {
		pos := 0
		for _, s := range p.Sinks {
			if !slices.Contains([]string{"rtsp", "rtmp", "srt", "webrtc"}, s.Type) {
				continue
			}
			pos++
			e.count++
			at := strconv.Itoa(pos)
			id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(p.Name+" "+at+" "+s.Type)).String()
			// the type was called protocol before
			e.emit("", e.family.labels, []string{id, p.Name, at, s.Type, s.Type, states[s.State]}, prometheus.UntypedValue, 1)
		}
	}
}

// watched are details of a session that serves many viewers, who have no sessions.
type watched interface{ Viewers() []router.SessionInfo }

func (e *emitter) sessions(r *router.Router) {
	for s := range r.Sessions(e.family.kind) {
		if !e.family.viewers {
			e.session(&s)
			continue
		}
		if w, ok := s.Details.(watched); ok {
			for _, v := range w.Viewers() {
				e.session(&v)
			}
		}
	}
}

func (e *emitter) session(s *router.SessionInfo) {
	values := []string{s.ID, s.Path, s.RemoteAddr, s.State}[:len(e.family.labels)]
	if e.family.labels[0] == "name" {
		values = []string{s.Path}
	}
	if e.only != "" && e.only != values[0] {
		return
	}
	e.count++
	e.emit("", e.family.labels, values, prometheus.UntypedValue, 1)
	v := reflect.Indirect(reflect.ValueOf(s.Details))
	if v.Kind() == reflect.Struct {
		e.numbers(v, values)
	}
}

// numbers sends every number of a struct, under its JSON name.
func (e *emitter) numbers(v reflect.Value, values []string) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" || tag == "-" || f.Anonymous {
			continue
		}
		fv := v.FieldByIndex(f.Index)
		if fv.Kind() == reflect.Pointer {
			fv = fv.Elem() // invalid if it is nil
		}
		var n float64
		typ := prometheus.GaugeValue
		switch {
		case !fv.IsValid():
			continue
		case fv.CanUint():
			n, typ = float64(fv.Uint()), typeOf(tag)
		case fv.CanInt():
			n, typ = float64(fv.Int()), typeOf(tag)
		case fv.CanFloat():
			n = fv.Float()
		default:
			continue
		}
		e.emit("_"+metricName(tag), e.family.labels, values, typ, n)
	}
}

// typeOf tells counters, which only grow, by what they count.
func typeOf(tag string) prometheus.ValueType {
	lower := strings.ToLower(tag)
	for _, s := range []string{"flight", "buf", "window", "mss", "avail", "period", "jitter", "rate", "tolerance", "avg", "us", "ms"} {
		if strings.HasPrefix(lower, s) || s != "us" && s != "ms" && strings.Contains(lower, s) {
			return prometheus.GaugeValue
		}
	}
	if strings.Contains(lower, "bytes") || strings.Contains(lower, "packets") || strings.Contains(lower, "frames") {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}

// metricName is the name of a number, after that of its family.
func metricName(tag string) string {
	if tag == "byteMSS" {
		return "bytes_mss" // the only one whose name is not that of the Control API
	}
	return snake(tag)
}

// snake turns "inboundRTPPacketsLost" into "inbound_rtp_packets_lost".
func snake(s string) string {
	var out strings.Builder
	rs := []rune(s)
	for i, c := range rs {
		upper := unicode.IsUpper(c)
		if upper && i > 0 && (!unicode.IsUpper(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(c))
	}
	return out.String()
}

package controlapi

import (
	"encoding"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/org/mtx/router/hook"
	"github.com/org/mtx/router/media"
)

// Types are what [OpenAPI] needs to know about types of other packages.
type Types struct {
	// Schemas are structs with JSON tags, and texts with a method
	// Values() []string, by the names of their schemas: GlobalConf, PathConf,
	// RTSPConn...
	Schemas map[string]reflect.Type

	// Deprecated are keys that are accepted and not shown, by the name of the
	// schema.
	Deprecated map[string]map[string]reflect.Type
}

// OpenAPI describes the API as an OpenAPI 3.0 document in YAML. It is made of the
// routes and of the Go types of the answers.
func OpenAPI(t Types) ([]byte, error) {
	d := &describer{Types: Types{Schemas: maps.Clone(ownSchemas()), Deprecated: t.Deprecated}, names: map[reflect.Type]string{}, out: map[string]yaml.MapSlice{}}
	maps.Copy(d.Schemas, t.Schemas)
	for name, typ := range d.Schemas {
		d.names[typ] = name
	}
	d.texts()
	routes := (&api{}).routes()
	paths := map[string]yaml.MapSlice{}
	for i := range routes {
		op, err := d.operation(&routes[i])
		if err != nil {
			return nil, err
		}
		paths[routes[i].pattern] = append(paths[routes[i].pattern], yaml.MapItem{Key: strings.ToLower(routes[i].method), Value: op})
	}
	for _, name := range slices.Sorted(maps.Keys(d.Schemas)) {
		d.schema(name)
	}
	return yaml.Marshal(yaml.MapSlice{
		{Key: "openapi", Value: "3.0.0"},
		{Key: "info", Value: yaml.MapSlice{
			{Key: "title", Value: "Control API"}, {Key: "version", Value: "3"},
			{Key: "description", Value: "What a media router does, and what it shall do."},
		}},
		{Key: "servers", Value: []any{yaml.MapSlice{{Key: "url", Value: "http://localhost:9997"}}}},
		{Key: "security", Value: []any{
			yaml.MapSlice{}, yaml.MapSlice{{Key: "basic", Value: []string{}}}, yaml.MapSlice{{Key: "bearer", Value: []string{}}},
		}},
		{Key: "paths", Value: sorted(paths)},
		{Key: "components", Value: yaml.MapSlice{
			{Key: "securitySchemes", Value: yaml.MapSlice{
				{Key: "basic", Value: yaml.MapSlice{{Key: "type", Value: "http"}, {Key: "scheme", Value: "basic"}}},
				{Key: "bearer", Value: yaml.MapSlice{{Key: "type", Value: "http"}, {Key: "scheme", Value: "bearer"}}},
			}},
			{Key: "schemas", Value: sorted(d.out)},
		}},
	})
}

func ownSchemas() map[string]reflect.Type {
	return map[string]reflect.Type{
		"OK": reflect.TypeFor[OK](), "Error": reflect.TypeFor[Error](), "Info": reflect.TypeFor[Info](),
		"Path": reflect.TypeFor[Path](), "PathSource": reflect.TypeFor[PathPeer](), "PathReader": reflect.TypeFor[PathPeer](),
		"PathTrack": reflect.TypeFor[Track](),
		"Recording": reflect.TypeFor[Recording](), "RecordingSegment": reflect.TypeFor[Segment](),
		"Event": reflect.TypeFor[hook.Event](), "EventPeer": reflect.TypeFor[hook.Peer](), "EventSegment": reflect.TypeFor[hook.Segment](),
		"PathTrackCodecPropsAV1": reflect.TypeFor[media.AV1Props](), "PathTrackCodecPropsVP9": reflect.TypeFor[media.VP9Props](),
		"PathTrackCodecPropsH265": reflect.TypeFor[media.H265Props](), "PathTrackCodecPropsH264": reflect.TypeFor[media.H264Props](),
		"PathTrackCodecPropsOpus": reflect.TypeFor[media.OpusProps](), "PathTrackCodecPropsMPEG4Audio": reflect.TypeFor[media.MPEG4AudioProps](),
		"PathTrackCodecPropsAC3": reflect.TypeFor[media.AC3Props](), "PathTrackCodecPropsG711": reflect.TypeFor[media.G711Props](),
		"PathTrackCodecPropsLPCM": reflect.TypeFor[media.LPCMProps](),
	}
}

// ownTexts are the texts of the API that have few values, by their schemas.
func ownTexts() map[string][]string {
	states := []string{"idle", "read", "publish"}
	return map[string][]string{
		"OKStatus": {"ok"}, "ErrorStatus": {"error"}, "EventType": hook.Types(),
		"RTSPSessionState": states, "RTMPConnState": states, "SRTConnState": states, "WebRTCSessionState": {"read", "publish"},
		"PathSourceType": {
			"command", "hlsSource", "mpegtsSource", "program", "redirect", "rpiCameraSource", "rtmpConn", "rtmpSource", "rtmpsConn",
			"rtpSource", "rtspSession", "rtspSource", "rtspsSession", "srtConn", "srtSource", "webRTCSession", "webRTCSource",
		},
		"PathReaderType": {
			"hlsMuxer", "program", "rpiCameraSecondary", "rtmpConn", "rtmpsConn", "rtspConn", "rtspSession", "rtspsConn",
			"rtspsSession", "srtConn", "webRTCSession",
		},
		"PathTrackCodec": {
			"AV1", "VP9", "VP8", "H265", "H264", "MPEG-4 Video", "MPEG-1/2 Video", "MPEG-1 Video", "M-JPEG", "MJPEG", "Opus", "Vorbis",
			"MPEG-4 Audio", "MPEG-4 Audio LATM", "MPEG-1/2 Audio", "MPEG-1 Audio", "AC3", "FLAC", "Speex", "G726", "G722", "G711", "LPCM",
			"MPEG-TS", "KLV", "Generic",
		},
	}
}

// ownRefs are the schemas of properties whose Go type says less.
func ownRefs() map[string]string {
	return map[string]string{
		"OK.status": "OKStatus", "Error.status": "ErrorStatus", "Event.type": "EventType",
		"Path.source": "PathSource", "Path.readers": "PathReader", "Path.tracks": "PathTrackCodec",
		"PathSource.type": "PathSourceType", "PathReader.type": "PathReaderType",
		"PathTrack.codec": "PathTrackCodec", "PathTrack.codecProps": "PathTrackCodecProps",
		"RTSPSession.state": "RTSPSessionState", "RTMPConn.state": "RTMPConnState", "SRTConn.state": "SRTConnState",
		"WebRTCSession.state": "WebRTCSessionState",
	}
}

// isOld tells the properties that repeat newer ones.
func isOld(schema, property string) bool {
	switch schema {
	case "Path":
		return slices.Contains([]string{"ready", "readyTime", "tracks", "bytesReceived", "bytesSent"}, property)
	case "RTSPConn", "RTSPSession", "RTMPConn", "WebRTCSession", "HLSMuxer":
		return property == "bytesReceived" || property == "bytesSent" || strings.HasPrefix(property, "rtpPackets") || strings.HasPrefix(property, "rtcpPackets")
	case "PathConf":
		return property == "fallback"
	}
	return false
}

// describer makes schemas of types.
type describer struct {
	Types
	names map[reflect.Type]string
	out   map[string]yaml.MapSlice
}

// texts describes what is a text with few values, and what has several forms.
func (d *describer) texts() {
	for name, values := range ownTexts() {
		d.out[name] = yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "enum", Value: values}}
	}
	var forms []any
	for name := range ownSchemas() {
		if strings.HasPrefix(name, "PathTrackCodecProps") {
			forms = append(forms, name)
		}
	}
	slices.SortFunc(forms, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	for i, f := range forms {
		forms[i] = ref(f.(string))
	}
	d.out["PathTrackCodecProps"] = yaml.MapSlice{{Key: "oneOf", Value: forms}}
}

// schema describes a type, and returns false if it is unknown.
func (d *describer) schema(name string) bool {
	if _, ok := d.out[name]; ok {
		return true
	}
	if item, ok := strings.CutSuffix(name, "List"); ok && d.Schemas[name] == nil {
		if !d.schema(item) {
			return false
		}
		number := yaml.MapSlice{{Key: "type", Value: "integer"}, {Key: "format", Value: "int64"}}
		d.out[name] = object(yaml.MapSlice{
			{Key: "pageCount", Value: number}, {Key: "itemCount", Value: number},
			{Key: "items", Value: list(ref(item))},
		})
		return true
	}
	t := d.Schemas[name]
	if t == nil {
		return false
	}
	if v, ok := reflect.Zero(t).Interface().(interface{ Values() []string }); ok {
		d.out[name] = yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "enum", Value: v.Values()}}
		return true
	}
	var properties yaml.MapSlice
	for _, f := range reflect.VisibleFields(t) {
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || key == "" || key == "-" {
			continue
		}
		p := d.property(name+"."+key, f.Type)
		if isOld(name, key) {
			if strings.Contains(options, "omitempty") {
				p = nullable(p)
			}
			p = deprecated(p)
		}
		properties = append(properties, yaml.MapItem{Key: key, Value: p})
	}
	old := d.Deprecated[name]
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if !slices.ContainsFunc(properties, func(i yaml.MapItem) bool { return i.Key == key }) {
			properties = append(properties, yaml.MapItem{Key: key, Value: deprecated(nullable(d.property(name+"."+key, old[key])))})
		}
	}
	d.out[name] = object(properties)
	return true
}

// property describes the type of a property; at is "Schema.property".
func (d *describer) property(at string, t reflect.Type) yaml.MapSlice {
	name, named := ownRefs()[at], true
	if name == "" {
		name, named = d.names[t]
	}
	switch {
	case t.Kind() == reflect.Pointer:
		return nullable(d.property(at, t.Elem()))
	case t.Kind() == reflect.Slice:
		return list(d.property(at, t.Elem()))
	case t.Kind() == reflect.Interface && named:
		return nullable(ref(name))
	case named:
		return ref(name)
	case at == "RTSPConn.session", at == "RTSPSession.conns", strings.HasSuffix(at, ".id") && !strings.HasPrefix(at, "Path"):
		return typed("string", "uuid")
	case t == reflect.TypeFor[time.Time]():
		return typed("string", "date-time")
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return typed("string", "")
	}
	return d.plain(at, t)
}

func (d *describer) plain(at string, t reflect.Type) yaml.MapSlice {
	switch t.Kind() {
	case reflect.Bool:
		return typed("boolean", "")
	case reflect.Int, reflect.Int64:
		return typed("integer", "int64")
	case reflect.Uint, reflect.Uint64:
		return typed("integer", "uint64")
	case reflect.Float64:
		return typed("number", "double")
	case reflect.Array:
		return append(list(d.property(at, t.Elem())), yaml.MapItem{Key: "minItems", Value: t.Len()}, yaml.MapItem{Key: "maxItems", Value: t.Len()})
	case reflect.Struct, reflect.Map, reflect.Interface:
		return typed("object", "")
	default:
		if v, ok := reflect.Zero(t).Interface().(interface{ Values() []string }); ok {
			return append(typed("string", ""), yaml.MapItem{Key: "enum", Value: v.Values()})
		}
		return typed("string", "")
	}
}

// operation describes a route.
func (d *describer) operation(r *route) (yaml.MapSlice, error) {
	segments := strings.FieldsFunc(strings.TrimPrefix(r.pattern, "/v3"), func(c rune) bool { return c == '/' })
	id := ""
	for _, s := range segments {
		if s[0] != '{' {
			id += strings.ToUpper(s[:1]) + s[1:]
		}
	}
	op := yaml.MapSlice{
		{Key: "operationId", Value: strings.ToLower(id[:1]) + id[1:]},
		{Key: "tags", Value: []string{segments[0]}},
		{Key: "summary", Value: r.summary},
	}
	if p := parameters(r); p != nil {
		op = append(op, yaml.MapItem{Key: "parameters", Value: p})
	}
	if r.body != "" {
		op = append(op, yaml.MapItem{Key: "requestBody", Value: yaml.MapSlice{{Key: "required", Value: true}, content("application/json", ref(r.body))}})
	}
	kind, answer := "application/json", r.answer
	switch answer {
	case "":
		answer = "OK"
	case "Event":
		kind = "text/event-stream"
	}
	var schema yaml.MapSlice
	switch {
	case answer == "YAML":
		kind, schema = "application/yaml", typed("string", "")
	case d.schema(answer):
		schema = ref(answer)
	default:
		return nil, fmt.Errorf("%s %s: there is no type for schema %s", r.method, r.pattern, answer)
	}
	if r.body != "" && !d.schema(r.body) {
		return nil, fmt.Errorf("%s %s: there is no type for schema %s", r.method, r.pattern, r.body)
	}
	answers := yaml.MapSlice{{Key: "200", Value: yaml.MapSlice{{Key: "description", Value: "success."}, content(kind, schema)}}}
	for _, e := range failures(r) {
		answers = append(answers, yaml.MapItem{Key: fmt.Sprint(e.status), Value: yaml.MapSlice{
			{Key: "description", Value: e.meaning}, content("application/json", ref("Error")),
		}})
	}
	return append(op, yaml.MapItem{Key: "responses", Value: answers}), nil
}

type failure struct {
	status  int
	meaning string
}

func failures(r *route) []failure {
	out := []failure{}
	if r.pattern != "/healthz" && r.pattern != "/readyz" {
		out = append(out,
			failure{http.StatusBadRequest, "the request is wrong."},
			failure{http.StatusUnauthorized, "credentials are missing or wrong."})
	}
	if r.enabled != nil || strings.Contains(r.pattern, "{") {
		out = append(out, failure{http.StatusNotFound, "there is no such thing, or its server is switched off."})
	}
	out = append(out, failure{http.StatusInternalServerError, "the server failed."})
	if r.pattern == "/readyz" || r.pattern == "/v3/events" {
		out = append(out, failure{http.StatusServiceUnavailable, "not now."})
	}
	return out
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

func parameters(r *route) (out []any) {
	add := func(name, in string, required bool, schema yaml.MapSlice) {
		p := yaml.MapSlice{{Key: "name", Value: name}, {Key: "in", Value: in}}
		if required {
			p = append(p, yaml.MapItem{Key: "required", Value: true})
		}
		out = append(out, append(p, yaml.MapItem{Key: "schema", Value: schema}))
	}
	for _, m := range pathParameter.FindAllStringSubmatch(r.pattern, -1) {
		format := ""
		if m[1] == "id" {
			format = "uuid"
		}
		add(m[1], "path", true, typed("string", format))
	}
	if strings.HasSuffix(r.answer, "List") {
		add("page", "query", false, append(typed("integer", ""), yaml.MapItem{Key: "default", Value: 0}))
		add("itemsPerPage", "query", false, append(typed("integer", ""), yaml.MapItem{Key: "default", Value: defaultItems}))
	}
	for _, q := range r.query {
		add(q, "query", !strings.HasPrefix(r.pattern, "/v3/events"), typed("string", ""))
	}
	return out
}

func ref(name string) yaml.MapSlice {
	return yaml.MapSlice{{Key: "$ref", Value: "#/components/schemas/" + name}}
}

func typed(typ, format string) yaml.MapSlice {
	out := yaml.MapSlice{{Key: "type", Value: typ}}
	if format != "" {
		out = append(out, yaml.MapItem{Key: "format", Value: format})
	}
	return out
}

func list(items yaml.MapSlice) yaml.MapSlice {
	return yaml.MapSlice{{Key: "type", Value: "array"}, {Key: "items", Value: items}}
}

func object(properties yaml.MapSlice) yaml.MapSlice {
	return yaml.MapSlice{{Key: "type", Value: "object"}, {Key: "properties", Value: properties}}
}

func nullable(s yaml.MapSlice) yaml.MapSlice {
	return append(beside(s), yaml.MapItem{Key: "nullable", Value: true})
}

func deprecated(s yaml.MapSlice) yaml.MapSlice {
	return append(beside(s), yaml.MapItem{Key: "deprecated", Value: true})
}

// beside makes room for further keys, which are ignored beside a reference.
func beside(s yaml.MapSlice) yaml.MapSlice {
	if s[0].Key == "$ref" {
		return yaml.MapSlice{{Key: "allOf", Value: []any{s}}}
	}
	return s
}

func content(kind string, schema yaml.MapSlice) yaml.MapItem {
	return yaml.MapItem{Key: "content", Value: yaml.MapSlice{{Key: kind, Value: yaml.MapSlice{{Key: "schema", Value: schema}}}}}
}

func sorted(m map[string]yaml.MapSlice) yaml.MapSlice {
	var out yaml.MapSlice
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, yaml.MapItem{Key: k, Value: m[k]})
	}
	return out
}

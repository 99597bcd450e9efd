package config

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// deprecatedKey is a key of old releases. Its value is checked as it was
// written, then handed to its successor. Only keys whose move is nil reach the
// document.
type deprecatedKey struct {
	key    string
	typ    reflect.Type
	advice string // what to use in its place, as the end of a sentence
	move   func(m *mover, raw any)
}

// mover gives a move access to the map that holds the deprecated key.
type mover struct {
	layer *layer
	tree  map[string]any // the map
	at    keyPath        // its place
	key   string         // the deprecated key
}

// set writes a successor, unless the map sets it itself.
func (m *mover) set(key string, v any) { m.setIn(m.tree, m.at, key, v) }

func (m *mover) setIn(tree map[string]any, at keyPath, key string, v any) {
	if _, ok := tree[key]; ok {
		return
	}
	tree[key] = v
	from, to := m.at.with(m.key), at.with(key)
	m.layer.origins[to.id()] = m.layer.origins[from.id()]
	if l, ok := v.([]any); ok {
		for i := range l {
			n := strconv.Itoa(i)
			if o, ok := m.layer.origins[from.with(n).id()]; ok {
				m.layer.origins[to.with(n).id()] = o
			}
		}
	}
}

// renamed moves the value as it is.
func renamed(to ...string) func(*mover, any) {
	return func(m *mover, raw any) {
		for _, k := range to {
			m.set(k, raw)
		}
	}
}

// negated moves the opposite of a boolean.
func negated(to string) func(*mover, any) {
	return func(m *mover, raw any) {
		s, _ := raw.(string)
		b, _ := parseBool(s)
		m.set(to, strconv.FormatBool(!b))
	}
}

// listed moves a value to a list of one.
func listed(to string) func(*mover, any) {
	return func(m *mover, raw any) { m.set(to, []any{raw}) }
}

// toPathDefaults moves a global key to the defaults of paths.
func toPathDefaults(key string) func(*mover, any) {
	return func(m *mover, raw any) {
		if m.tree["pathDefaults"] == nil {
			m.tree["pathDefaults"] = map[string]any{}
		}
		if defaults, ok := m.tree["pathDefaults"].(map[string]any); ok {
			m.setIn(defaults, keyPath{"pathDefaults"}, key, raw)
		}
	}
}

func dropped(*mover, any) {}

// iceServers moves URLs, or "scheme:user:password:host:port", to maps.
func iceServers(m *mover, raw any) {
	urls, _ := raw.([]any)
	out := make([]any, 0, len(urls))
	for _, u := range urls {
		s, _ := u.(string)
		server := map[string]any{"url": s}
		if parts := strings.Split(s, ":"); len(parts) == 5 {
			server["url"] = parts[0] + ":" + parts[3] + ":" + parts[4]
			server["username"], server["password"] = parts[1], parts[2]
		}
		out = append(out, server)
	}
	m.set("webrtcICEServers2", out)
}

func externalAuth(m *mover, raw any) {
	if raw == "" {
		return
	}
	m.set("authMethod", "http")
	m.set("authHTTPAddress", raw)
}

// deprecatedIn returns the deprecated keys of the map at a place.
func deprecatedIn(p keyPath) []deprecatedKey {
	switch {
	case len(p) == 0:
		return deprecatedGlobal()
	case len(p) == 1 && p[0] == "pathDefaults", len(p) == 2 && p[0] == "paths":
		return deprecatedPath()
	}
	return nil
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

func deprecatedGlobal() []deprecatedKey {
	list := []deprecatedKey{
		{"readBufferCount", typeOf[int](), "use writeQueueSize", renamed("writeQueueSize")},
		{"externalAuthenticationURL", typeOf[string](), "use authMethod: http and authHTTPAddress", externalAuth},
		{"rtspDisable", typeOf[bool](), "use rtsp: no", negated("rtsp")},
		{"rtmpDisable", typeOf[bool](), "use rtmp: no", negated("rtmp")},
		{"hlsDisable", typeOf[bool](), "use hls: no", negated("hls")},
		{"webrtcDisable", typeOf[bool](), "use webrtc: no", negated("webrtc")},
		{"protocols", typeOf[[]Transport](), "use rtspTransports", renamed("rtspTransports")},
		{"encryption", typeOf[Encryption](), "use rtspEncryption", renamed("rtspEncryption")},
		{"authMethods", typeOf[[]RTSPAuthMethod](), "use rtspAuthMethods", renamed("rtspAuthMethods")},
		{"rtspUDPReadBufferSize", typeOf[int](), "use udpReadBufferSize", renamed("udpReadBufferSize")},
		{"webrtcICEUDPMuxAddress", typeOf[string](), "use webrtcLocalUDPAddress", renamed("webrtcLocalUDPAddress")},
		{"webrtcICETCPMuxAddress", typeOf[string](), "use webrtcLocalTCPAddress", renamed("webrtcLocalTCPAddress")},
		{"webrtcICEHostNAT1To1IPs", typeOf[[]string](), "use webrtcAdditionalHosts", renamed("webrtcAdditionalHosts")},
		{"webrtcICEServers", typeOf[[]string](), "use webrtcICEServers2", iceServers},
		{"record", typeOf[bool](), "use record in pathDefaults", toPathDefaults("record")},
		{"recordPath", typeOf[string](), "use recordPath in pathDefaults", toPathDefaults("recordPath")},
		{"recordFormat", typeOf[RecordFormat](), "use recordFormat in pathDefaults", toPathDefaults("recordFormat")},
	}
	for _, k := range []string{"recordPartDuration", "recordSegmentDuration", "recordDeleteAfter"} {
		list = append(list, deprecatedKey{k, typeOf[Duration](), "use " + k + " in pathDefaults", toPathDefaults(k)})
	}
	for _, s := range []string{"api", "metrics", "pprof", "playback", "hls", "webrtc"} {
		list = append(list, deprecatedKey{s + "AllowOrigin", typeOf[string](), "use " + s + "AllowOrigins", listed(s + "AllowOrigins")})
	}
	return list
}

func deprecatedPath() []deprecatedKey {
	const users = "use authInternalUsers"
	return []deprecatedKey{
		{"fallback", typeOf[string](), "use alwaysAvailable", nil},
		{"playback", typeOf[bool](), "it has no effect", dropped},
		{"publishUser", typeOf[string](), users, nil},
		{"publishPass", typeOf[string](), users, nil},
		{"publishIPs", typeOf[[]IPNetwork](), users, nil},
		{"readUser", typeOf[string](), users, nil},
		{"readPass", typeOf[string](), users, nil},
		{"readIPs", typeOf[[]IPNetwork](), users, nil},
		{"disablePublisherOverride", typeOf[bool](), "use overridePublisher: no", negated("overridePublisher")},
		{"sourceProtocol", typeOf[SourceTransport](), "use rtspTransport", renamed("rtspTransport")},
		{"sourceAnyPortEnable", typeOf[bool](), "use rtspAnyPort", renamed("rtspAnyPort")},
		{"rtspUDPReadBufferSize", typeOf[int](), "use udpReadBufferSize", nil},
		{"mpegtsUDPReadBufferSize", typeOf[int](), "use udpReadBufferSize", nil},
		{"rtpUDPReadBufferSize", typeOf[int](), "use udpReadBufferSize", nil},
		{
			"rpiCameraProfile", typeOf[string](), "use rpiCameraH264Profile",
			renamed("rpiCameraHardwareH264Profile", "rpiCameraSoftwareH264Profile"),
		},
		{
			"rpiCameraLevel", typeOf[string](), "use rpiCameraH264Level",
			renamed("rpiCameraHardwareH264Level", "rpiCameraSoftwareH264Level"),
		},
		{"rpiCameraJPEGQuality", typeOf[int](), "use rpiCameraMJPEGQuality", renamed("rpiCameraMJPEGQuality")},
	}
}

// samePairs are two names of the same key of a path. Both are accepted and
// both hold the value afterwards.
var samePairs = [][2]string{
	{"runOnReady", "runOnAvailable"},
	{"runOnReadyRestart", "runOnAvailableRestart"},
	{"runOnNotReady", "runOnUnavailable"},
}

// translator moves the deprecated keys of a layer.
type translator struct {
	layer    *layer
	problems *problems
	warned   map[string]bool
	warnings *[]string
}

// translate turns the deprecated keys of a layer into their successors.
func (t *translator) translate() {
	tree := t.layer.tree
	t.deprecated(tree, nil)
	if m, ok := tree["pathDefaults"].(map[string]any); ok {
		t.deprecated(m, keyPath{"pathDefaults"})
		t.pairs(m, keyPath{"pathDefaults"})
	}
	paths, _ := tree["paths"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		if m, ok := paths[name].(map[string]any); ok {
			t.deprecated(m, keyPath{"paths", name})
			t.pairs(m, keyPath{"paths", name})
		}
	}
}

func (t *translator) deprecated(tree map[string]any, at keyPath) {
	for _, k := range deprecatedIn(at) {
		raw, ok := tree[k.key]
		if !ok {
			continue
		}
		d := decoder{origins: t.layer.origins, problems: &problems{}}
		d.value(reflect.New(k.typ).Elem(), raw, at.with(k.key), &field{key: k.key, secret: secretOf(k.key)})
		t.warn(k, at)
		if k.move == nil {
			continue // checked again when it is decoded
		}
		delete(tree, k.key)
		if len(*d.problems) > 0 {
			*t.problems = append(*t.problems, *d.problems...)
			continue
		}
		k.move(&mover{t.layer, tree, at, k.key}, raw)
	}
}

// secretOf tells how values of deprecated keys are shown.
func secretOf(key string) string {
	switch key {
	case "externalAuthenticationURL":
		return "url"
	case "webrtcICEServers":
		return "true"
	}
	return ""
}

// warn says once that a key is deprecated, even if many paths have it.
func (t *translator) warn(k deprecatedKey, at keyPath) {
	scope := "global"
	if len(at) > 0 {
		scope = "path"
	}
	if t.warned[scope+sep+k.key] {
		return
	}
	t.warned[scope+sep+k.key] = true
	p := problem{t.layer.origins[at.with(k.key).id()], at.with(k.key).String() + " is deprecated, " + k.advice}
	*t.warnings = append(*t.warnings, p.String())
}

func (t *translator) pairs(tree map[string]any, at keyPath) {
	m := mover{layer: t.layer, tree: tree, at: at}
	for _, pair := range samePairs {
		a, okA := tree[pair[0]]
		b, okB := tree[pair[1]]
		switch {
		case okA && okB && !reflect.DeepEqual(a, b):
			t.problems.add(t.layer.origins[at.with(pair[1]).id()],
				"%s: this is the same as %s, so only one of them can be set", at.with(pair[1]), pair[0])
		case okA:
			m.key = pair[0]
			m.set(pair[1], a)
		case okB:
			m.key = pair[1]
			m.set(pair[0], b)
		}
	}
}

// DeprecatedKeys returns the types of the keys of old releases that are accepted
// in a section.
func (s Section) DeprecatedKeys() map[string]reflect.Type {
	keys := deprecatedPath()
	if s == SectionGlobal {
		keys = deprecatedGlobal()
	}
	out := make(map[string]reflect.Type, len(keys))
	for _, k := range keys {
		out[k.key] = k.typ
	}
	return out
}

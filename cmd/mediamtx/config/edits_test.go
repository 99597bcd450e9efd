package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func sources(t *testing.T, text string) *Sources {
	t.Helper()
	return &Sources{File: "test.yml", data: []byte(text)}
}

func edited(t *testing.T, s *Sources, e *Edits) *Document {
	t.Helper()
	d, _, err := s.Document(e)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func tree(t *testing.T, s Section, text string) map[string]any {
	t.Helper()
	m, err := FromJSON(s, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEdits(t *testing.T) {
	t.Parallel()
	src := sources(t, "logLevel: warn\npathDefaults: {maxReaders: 3}\npaths:\n  a: {source: 'rtsp://h/x', maxReaders: 5}\n  b: {maxReaders: 7}\n")
	e := (&Edits{}).Clone()
	e.Global = tree(t, SectionGlobal, `{"readTimeout": "7s", "hlsSegmentCount": 9, "rtspEncryption": true}`)
	e.PathDefaults = tree(t, SectionPath, `{"maxReaders": 4, "overridePublisher": false}`)
	e.SetPath("a", tree(t, SectionPath, `{"rtspTransport": "tcp"}`))
	e.ReplacePath("b", tree(t, SectionPath, `{"record": true}`))
	e.ReplacePath("c", nil)
	data, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := ParseEdits(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*Edits{e, kept} {
		d := edited(t, src, e)
		if d.LogLevel != "warn" || d.ReadTimeout.String() != "7s" || d.HLSSegmentCount != 9 || d.RTSPEncryption != "strict" {
			t.Errorf("global: %+v", d.Global)
		}
		a, b, c := d.Paths["a"], d.Paths["b"], d.Paths["c"]
		if a.Source != "rtsp://h/x" || a.MaxReaders != 5 || a.RTSPTransport != "tcp" || a.OverridePublisher {
			t.Errorf("a: %+v", a)
		}
		if b.MaxReaders != 4 || !b.Record {
			t.Errorf("a path that was replaced keeps keys of the file: %+v", b)
		}
		if c.Name != "c" || c.MaxReaders != 4 {
			t.Errorf("c: %+v", c)
		}
	}
	more := kept.Clone()
	more.RemovePath("a")
	more.RemovePath("c")
	if d := edited(t, src, more); len(d.Paths) != 1 {
		t.Errorf("paths: %v", d.Paths)
	}
	if d := edited(t, src, kept); len(d.Paths) != 3 {
		t.Error("changing a copy changed the original")
	}
	more.SetPath("a", nil) // again, but without what the file says
	if a := edited(t, src, more).Paths["a"]; a.Source != "publisher" {
		t.Errorf("a: %+v", a)
	}
}

func TestEditsThatCannotWork(t *testing.T) {
	t.Parallel()
	src := sources(t, "")
	for text, want := range map[string]string{
		`{"rtspAddress": "zz"}`:                   `rtspAddress "zz": must be an address`,
		`{"rtpAddress": ":99999"}`:                `rtpAddress ":99999": must be an address with a port of at most 65535`,
		`{"multicastIPRange": "zz"}`:              `multicastIPRange "zz": must be a network of IPv4 multicast addresses`,
		`{"udpMaxPayloadSize": -1}`:               `udpMaxPayloadSize "-1": must be between 300 and 1472`,
		`{"writeQueueSize": 4611686018427387904}`: `writeQueueSize "4611686018427387904": must be an integer`,
		`{"nonsense": {"a": null}}`:               `unknown key "nonsense"`,
		`{"paths": {}}`:                           ``,
	} {
		e := (&Edits{}).Clone()
		m, err := FromJSON(SectionGlobal, []byte(text))
		if err == nil {
			e.Global = m
			_, _, err = src.Document(e)
		}
		if want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// A list that is replaced leaves nothing behind of where the old one was written.
func TestOriginOfReplacedList(t *testing.T) {
	t.Parallel()
	src := sources(t, "webrtcICEServers2:\n- {url: 'stun:h:1'}\npaths:\n  a: {alwaysAvailable: yes, alwaysAvailableTracks: [{codec: H264}]}\n")
	const want = `webrtcICEServers2[0].url "zz": must be`
	e := (&Edits{}).Clone()
	e.Global = map[string]any{"webrtcICEServers2": []any{map[string]any{"url": "zz"}}}
	if _, _, err := src.Document(e); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	// what was not replaced is still told by its line
	e = (&Edits{}).Clone()
	e.SetPath("a", map[string]any{"source": "rtsp://h/x"})
	if _, _, err := sources(t, "paths:\n  a:\n    forward:\n    - zz\n").Document(e); err == nil || !strings.HasPrefix(err.Error(), "test.yml:4: ") {
		t.Error(err)
	}
}

func TestFromJSONTypes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                                     "the body is not valid JSON",
		`{`:                                    "the body is not valid JSON",
		`[]`:                                   "the body must be a JSON object, not array",
		`null`:                                 "the body must be a JSON object, not null",
		`{} {}`:                                "the body must hold one JSON object and nothing else",
		`{"rtsp": "yes"}`:                      "rtsp: must be true or false",
		`{"rtspAddress": 5}`:                   "rtspAddress: must be a string",
		`{"readTimeout": 5}`:                   "readTimeout: must be a string",
		`{"hlsSegmentCount": "5"}`:             "hlsSegmentCount: must be a number",
		`{"rtspTransports": "tcp"}`:            "rtspTransports: must be a list",
		`{"rtspTransports": [5]}`:              "rtspTransports[0]: must be a string",
		`{"rtspTransports": null}`:             "rtspTransports: must be a list",
		`{"authInternalUsers": [1]}`:           "authInternalUsers[0]: must be an object",
		`{"authInternalUsers": [{"user": 1}]}`: "authInternalUsers[0].user: must be a string",
		`{"rtsp": true, "rtsp": false}`:        `"rtsp": is set twice`,
		`{"webhooks": [{}, {"url": "http://h", "secret": "a", "\u0073ecret": "b"}]}`: `"secret": is set twice`,
	} {
		if _, err := FromJSON(SectionGlobal, []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

const secrets = `
authInternalUsers:
- {user: admin, pass: hunter2, permissions: [{action: api}]}
- {user: cam, pass: hunter2b, permissions: [{action: publish}]}
authHTTPAddress: http://me:hunter2@h/x
webrtcICEServers2: [{url: 'turn:h:1', username: u, password: hunter2}]
webhooks: [{url: 'http://h/?token=hunter2', secret: hunter2}]
hlsCDNSecret: hunter2
paths:
  a: {source: 'rtsp://me:hunter2@h/x?a=b', forward: ['srt://h:1?passphrase=hunter2hunter2&latency=9', 'rtmp://me:hunter2@h/x'], srtReadPassphrase: hunter2hunter2}
`

func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	d := edited(t, sources(t, secrets), nil)
	b, err := json.Marshal(d.Shown())
	if err != nil {
		t.Fatal(err)
	}
	y, err := d.Export()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{string(b), string(y)} {
		if strings.Contains(s, "hunter2") {
			t.Error("a secret is shown: ", s)
		}
	}
	if !strings.Contains(string(b), `"source":"rtsp://me:***@h/x?a=b"`) || !strings.Contains(string(b), "passphrase=***\\u0026latency=9") {
		t.Errorf("%s", b)
	}
	if d.Paths["a"].Source != "rtsp://me:hunter2@h/x?a=b" || d.AuthInternalUsers[0].Pass != "hunter2" {
		t.Error("showing the document changed it")
	}
}

// What was shown can be sent back: secrets stay what they are.
func TestSecretsAreRestored(t *testing.T) {
	t.Parallel()
	src := sources(t, secrets)
	d := edited(t, src, nil)
	shown := d.Shown()
	shown.AuthInternalUsers[0], shown.AuthInternalUsers[1] = shown.AuthInternalUsers[1], shown.AuthInternalUsers[0]
	e := (&Edits{}).Clone()
	global, err := json.Marshal(shown.Global)
	if err != nil {
		t.Fatal(err)
	}
	e.Global = tree(t, SectionGlobal, string(global))
	SectionGlobal.Restore(e.Global, &d.Global)
	path, err := json.Marshal(shown.Paths["a"])
	if err != nil {
		t.Fatal(err)
	}
	now := d.Paths["a"]
	e.Paths["a"] = tree(t, SectionPath, string(path))
	SectionPath.Restore(e.Paths["a"], &now)
	again := edited(t, src, e)
	u := again.AuthInternalUsers
	if u[0].User != "cam" || u[0].Pass != "hunter2b" || u[1].Pass != "hunter2" {
		t.Errorf("%+v", u)
	}
	again.AuthInternalUsers, d.AuthInternalUsers = nil, nil
	if !reflect.DeepEqual(again, d) {
		t.Errorf("got  %+v\nwant %+v", again, d)
	}
}

func TestExportIsReadBack(t *testing.T) {
	t.Parallel()
	const text = "logLevel: debug\nrtspTransports: [tcp]\nhlsSegmentMaxSize: 10M\npathDefaults: {maxReaders: 3, runOnReady: x}\n" +
		"paths:\n  a: {source: 'rtsp://h/x', runOnRead: \"echo 'a: b'\"}\n  ~^x/(.*)$: {}\n  all_others: {maxReaders: 0}\n"
	d := edited(t, sources(t, text), nil)
	y, err := d.Export()
	if err != nil {
		t.Fatal(err)
	}
	again := edited(t, sources(t, string(y)), nil)
	if !reflect.DeepEqual(again, d) {
		t.Errorf("%s", y)
	}
	if strings.Contains(string(y), "rtmpAddress") {
		t.Errorf("defaults are exported:\n%s", y)
	}
}

// Of elements that look alike, each keeps its own secret.
func TestSecretsOfTwins(t *testing.T) {
	t.Parallel()
	d := edited(t, sources(t, "authInternalUsers:\n- {user: me, pass: one, ips: [10.0.0.1]}\n- {user: me, pass: two, ips: [10.0.0.2]}\n"), nil)
	b, err := json.Marshal(d.Shown().Global)
	if err != nil {
		t.Fatal(err)
	}
	got := tree(t, SectionGlobal, string(b))
	SectionGlobal.Restore(got, &d.Global)
	users, _ := got["authInternalUsers"].([]any)
	for i, want := range []string{"one", "two"} {
		if u, _ := users[i].(map[string]any); u["pass"] != want {
			t.Errorf("user %d has %v", i, u["pass"])
		}
	}
}

func TestGlobalKeysOnly(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`{"paths": {}}`, `{"pathDefaults": {"maxReaders": 1}}`} {
		if _, err := FromJSON(SectionGlobal, []byte(doc)); err == nil {
			t.Errorf("%s is accepted", doc)
		}
	}
	got, err := FromJSON(SectionGlobal, []byte(`{"readBufferCount": null, "apiAllowOrigin": null}`))
	if err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
}

package config

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// contractKey is a line of testdata/config-keys.tsv.
type contractKey struct{ scope, key, typ, def, origin, note string }

func (k contractKey) deprecated() bool { return strings.Contains(k.origin, "deprecated") }

func readContract(t *testing.T) []contractKey {
	t.Helper()
	data, err := os.ReadFile("testdata/config-keys.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var out []contractKey
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		c := strings.Split(line, "\t")
		for len(c) < 6 {
			c = append(c, "")
		}
		if i > 0 {
			out = append(out, contractKey{c[0], c[1], c[2], c[3], c[4], c[5]})
		}
	}
	if len(out) < 250 {
		t.Fatalf("only %d keys in the contract", len(out))
	}
	return out
}

// jsonKinds are the kinds of JSON that the types of the contract print as.
var jsonKinds = map[string]string{
	"string": "string", "boolean": "bool", "integer": "float64", "number": "float64", "array": "[]interface {}",
	"LogLevel": "string", "AuthMethod": "string", "Encryption": "string", "HLSVariant": "string", "RecordFormat": "string",
	"RTSPTransport": "string", "RTSPRangeType": "string",
	"LogDestination": "[]interface {}", "AuthInternalUser": "[]interface {}", "AuthInternalUserPermission": "[]interface {}",
	"RTSPAuthMethod": "[]interface {}", "WebRTCICEServer": "[]interface {}", "AlwaysAvailableTrack": "[]interface {}",
}

// beyond are the keys that the contract does not have.
var beyond = map[string][]string{
	"global": {"webhooks", "authJWTKickOnExpiry", "authHTTPCacheDuration", "apiPersist", "recordMaxTotalSize"},
	"path":   {"publisherGracePeriod", "sources", "sourceStallTimeout", "gopCache", "gopCacheMaxSize", "recordMaxSize", "recordMinFreeSpace"},
}

// The document has exactly the keys of the contract, with their types and
// defaults.
func TestContract(t *testing.T) {
	t.Parallel()
	doc := Default()
	scopes := map[string]struct {
		value      any
		typ        reflect.Type
		deprecated []deprecatedKey
	}{
		"global": {doc.Global, typeOf[Global](), deprecatedGlobal()},
		"path":   {doc.PathDefaults, typeOf[Path](), deprecatedPath()},
	}
	contract := readContract(t)
	for scope, s := range scopes {
		data, err := json.Marshal(s.value)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, k := range contract {
			if k.scope != scope {
				continue
			}
			known[k.key] = true
			dep := slices.IndexFunc(s.deprecated, func(d deprecatedKey) bool { return d.key == k.key })
			if k.deprecated() != (dep >= 0) {
				t.Errorf("%s %s: deprecated = %t, want %t", scope, k.key, dep >= 0, k.deprecated())
			}
			if k.deprecated() {
				continue
			}
			var want any
			if err := json.Unmarshal([]byte(k.def), &want); err != nil {
				t.Fatalf("%s %s: default %s: %v", scope, k.key, k.def, err)
			}
			if !reflect.DeepEqual(got[k.key], want) {
				t.Errorf("%s %s: default is %v, want %v", scope, k.key, got[k.key], want)
			}
			if kind := reflect.TypeOf(got[k.key]).String(); k.typ != "" && jsonKinds[k.typ] != kind {
				t.Errorf("%s %s: prints as %s, want %s", scope, k.key, kind, jsonKinds[k.typ])
			}
			f := schemaOf(s.typ).byKey[k.key]
			if f == nil {
				t.Errorf("%s %s: there is no field with this koanf tag", scope, k.key)
			} else if tag := s.typ.FieldByIndex(f.index).Tag.Get("json"); tag != k.key {
				t.Errorf("%s %s: json tag is %q", scope, k.key, tag)
			}
		}
		for k := range got {
			if !known[k] && !slices.Contains(beyond[scope], k) {
				t.Errorf("%s %s: not in the contract", scope, k)
			}
		}
		for _, d := range s.deprecated {
			if !known[d.key] {
				t.Errorf("%s %s: deprecated, but not in the contract", scope, d.key)
			}
		}
	}
}

// Lists print as [] and not as null, whatever the file says.
func TestNoNulls(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "paths:\n  cam:\n", "authInternalUsers: [{user: a, permissions: [{action: read}]}]",
		"webrtcICEServers: ['stun:host:1']\nauthHTTPExclude:\nrtspTrustedProxies: []",
	} {
		d, _ := parse(t, text)
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "null") {
			t.Errorf("%q: there is a null in %s", text, data)
		}
	}
}

// Every deprecated key works, gives exactly one warning, and reaches a key of
// the document.
func TestEveryDeprecatedKey(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"readBufferCount": "1024", "externalAuthenticationURL": "http://host/auth", "protocols": "[tcp]", "encryption": "strict",
		"authMethods": "[digest]", "rtspUDPReadBufferSize": "4096", "mpegtsUDPReadBufferSize": "4096", "rtpUDPReadBufferSize": "4096",
		"webrtcICEUDPMuxAddress": ":9000", "webrtcICETCPMuxAddress": ":9000", "webrtcICEHostNAT1To1IPs": "[1.2.3.4]",
		"webrtcICEServers": "['turn:user:pass:host:3478']", "recordPath": "./x/%path/%s", "recordFormat": "mpegts",
		"recordPartDuration": "2s", "recordSegmentDuration": "2h", "recordDeleteAfter": "2d",
		"fallback": "/other", "publishUser": "u", "publishPass": "p", "publishIPs": "[1.2.3.4]", "readUser": "u", "readPass": "p",
		"readIPs": "[1.2.3.4]", "sourceProtocol": "tcp", "rpiCameraProfile": "high", "rpiCameraLevel": "'4.2'", "rpiCameraJPEGQuality": "61",
	}
	for _, k := range readContract(t) {
		if !k.deprecated() {
			continue
		}
		v := values[k.key]
		if v == "" {
			v = map[string]string{"boolean": "yes", "string": "'https://site'"}[k.typ]
		}
		text := k.key + ": " + v + "\n"
		switch k.key {
		case "publishPass", "readPass":
			text += strings.Replace(k.key, "Pass", "User", 1) + ": u\n"
		}
		if k.scope == "path" {
			text = "paths:\n  cam:\n    " + strings.ReplaceAll(text, "\n", "\n    ")
		}
		d, info := parse(t, text)
		n := 0
		for _, w := range info.Warnings {
			if strings.Contains(w, k.key+" is deprecated, ") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s %s: warnings %q, want one", k.scope, k.key, info.Warnings)
		}
		def, _ := parse(t, map[string]string{"global": "", "path": "paths:\n  cam:\n"}[k.scope])
		if reflect.DeepEqual(d, def) && k.key != "playback" {
			t.Errorf("%s %s: has no effect", k.scope, k.key)
		}
	}
}

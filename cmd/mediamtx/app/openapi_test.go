package app

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/openapi.yaml")

// ourPaths and ourSchemas are what our description has beyond the contract.
func ourPaths() []string {
	return []string{"/healthz", "/readyz", "/v3/config/export", "/v3/events"}
}

func ourSchemas() []string {
	return []string{"Event", "EventPeer", "EventSegment", "EventType", "Webhook"}
}

// ourProperties are keys of newer releases, and keys that only we have.
func ourProperties() map[string][]string {
	return map[string][]string{
		"GlobalConf": {
			"apiPersist", "authHTTPCacheDuration", "authJWTKickOnExpiry", "hlsCDNSecret", "moq", "moqAllowOrigins", "moqHTTP2Address",
			"moqHTTP3Address", "moqQUICAddress", "moqServerCert", "moqServerKey", "moqTrustedProxies", "rtmpTrustedProxies",
			"recordMaxTotalSize", "rtspTrustedProxies", "webhooks",
		},
		"PathConf": {
			"forward", "gopCache", "gopCacheMaxSize", "moqTransport", "publisherGracePeriod", "recordMaxSize", "recordMinFreeSpace",
			"rpiCameraH264Level", "rpiCameraH264Profile",
			"rtspScale", "runOnAvailable", "runOnAvailableRestart", "runOnOffline", "runOnOnline", "runOnOnlineRestart", "runOnUnavailable",
			"sourceStallTimeout", "sources",
		},
	}
}

// docs/openapi.yaml is what the Go types say, and says all that the contract says.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	got, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "..", "docs", "openapi.yaml")
	got = append([]byte("# Made of the Go types by: go test ./cmd/mediamtx/app -run OpenAPI -update\n"), got...)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil { // documentation
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/openapi.yaml is not what the types say; run this test with -update (%v)", err)
	}
	c, ours := theContract(t), parseContract(t, got)
	for path, operations := range c.Paths {
		for method := range operations {
			if ours.Paths[path][method] == nil {
				t.Errorf("%s %s is missing", method, path)
				continue
			}
			want, err1 := c.answer(path, method)
			have, err2 := ours.answer(path, method)
			if err1 != nil || err2 != nil || want.Ref != have.Ref {
				t.Errorf("%s %s answers %+v, want %+v", method, path, have, want)
			}
		}
	}
	for name, s := range c.Components.Schemas {
		compareShapes(t, c, ours, s, &shape{Ref: "#/components/schemas/" + name}, name)
	}
	beyond(t, "paths", keys(ours.Paths), append(keys(c.Paths), ourPaths()...))
	beyond(t, "schemas", keys(ours.Components.Schemas), append(keys(c.Components.Schemas), ourSchemas()...))
	for name, s := range c.Components.Schemas {
		if o := ours.Components.Schemas[name]; o != nil {
			beyond(t, name, keys(o.Properties), append(keys(s.Properties), ourProperties()[name]...))
		}
	}
}

func keys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// beyond reports what nobody allowed.
func beyond(t *testing.T, what string, have, allowed []string) {
	t.Helper()
	for _, h := range have {
		if !slices.Contains(allowed, h) {
			t.Errorf("%s: %s is neither in the contract nor among our additions", what, h)
		}
	}
}

func compareShapes(t *testing.T, c, ours *contract, want, have *shape, at string) {
	t.Helper()
	want, have = c.resolve(want), ours.resolve(have)
	if have == nil {
		t.Errorf("%s is missing", at)
		return
	}
	if want.Type != have.Type || want.Nullable != have.Nullable || want.Deprecated && !have.Deprecated {
		t.Errorf("%s is %s (null %v, deprecated %v), want %s (null %v, deprecated %v)",
			at, have.Type, have.Nullable, have.Deprecated, want.Type, want.Nullable, want.Deprecated)
	}
	for _, v := range want.Enum {
		if !slices.Contains(have.Enum, v) {
			t.Errorf("%s cannot be %q", at, v)
		}
	}
	for _, v := range have.Enum {
		if len(want.Enum) > 0 && !slices.Contains(want.Enum, v) {
			t.Errorf("%s can be %q, which the contract does not know", at, v)
		}
	}
	if len(want.OneOf) != len(have.OneOf) {
		t.Errorf("%s has %d forms, want %d", at, len(have.OneOf), len(want.OneOf))
	}
	if want.Format == "uuid" && have.Format != "uuid" {
		t.Errorf("%s is no UUID", at)
	}
	if want.Items != nil && have.Items != nil {
		compareShapes(t, c, ours, want.Items, have.Items, at+"[]")
	}
	if strings.Count(at, ".") > 3 {
		return
	}
	for name, p := range want.Properties {
		if have.Properties[name] == nil {
			t.Errorf("%s.%s is missing", at, name)
			continue
		}
		compareShapes(t, c, ours, p, have.Properties[name], at+"."+name)
	}
}

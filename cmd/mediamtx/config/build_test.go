package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/router"
)

var update = flag.Bool("update", false, "write the golden files")

// Each testdata/build/NAME.yml builds what NAME.golden holds.
func TestBuildGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/build/*.yml")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d files (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			d, _, err := Load(file, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			c, err := d.Build()
			if err != nil {
				t.Fatal(err)
			}
			got := printConfig(t, c) + "not in force: " + strings.Join(d.NotInForce(), ", ") + "\n"
			golden := strings.TrimSuffix(file, ".yml") + ".golden"
			if *update {
				write(t, golden, got)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			again, err := d.Build()
			if err != nil {
				t.Fatal(err)
			}
			if ch := router.Diff(&c, &again); !ch.Empty() {
				t.Errorf("building twice gives differences: %+v", ch)
			}
		})
	}
}

// printConfig prints what differs from zero values, one field per line.
func printConfig(t *testing.T, c router.Config) string {
	t.Helper()
	var b bytes.Buffer
	printValue(&b, "", reflect.ValueOf(c))
	return b.String()
}

func printValue(b *bytes.Buffer, at string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			fmt.Fprintf(b, "%s: %s\n", at, v.Elem().Type())
			printValue(b, at, v.Elem())
		}
		return
	case reflect.Pointer:
		if !v.IsNil() {
			printValue(b, at, v.Elem())
		}
		return
	case reflect.Slice:
		for i := range v.Len() {
			if !v.Type().Elem().ConvertibleTo(reflect.TypeFor[string]()) {
				printValue(b, fmt.Sprintf("%s[%d]", at, i), v.Index(i))
			}
		}
		if v.Len() == 0 || !v.Type().Elem().ConvertibleTo(reflect.TypeFor[string]()) {
			return
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[netip.Prefix]() || v.Type() == reflect.TypeFor[auth.User]() {
			break
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				printValue(b, strings.TrimPrefix(at+"."+f.Name, "."), v.Field(i))
			}
		}
		return
	}
	if v.IsZero() {
		return
	}
	fmt.Fprintf(b, "%s = %v\n", at, v.Interface())
}

// A method that this version lacks must not let anybody in.
func TestBuildRefusesOtherAuth(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"authMethod: http\nauthHTTPAddress: http://h", "authMethod: jwt\nauthJWTJWKS: http://h"} {
		d, _ := parse(t, text)
		if _, err := d.Build(); err == nil || !strings.Contains(err.Error(), "supports internal only") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Deprecated credentials guard their path and no other.
func TestPathCredentials(t *testing.T) {
	t.Parallel()
	d, info := parse(t, `
paths:
  cam:
    publishUser: pub
    publishPass: secret1
  "~^cam[0-9]+$":
    readUser: rea
    readPass: secret2
    readIPs: [10.0.0.0/8]
  all_others:
`)
	if len(info.Warnings) != 5 {
		t.Errorf("warnings: %q", info.Warnings)
	}
	c, err := d.Build()
	if err != nil {
		t.Fatal(err)
	}
	allowed := func(action router.Action, path, user, pass, ip string) bool {
		_, err := c.Auth.Authenticate(t.Context(), &router.AccessRequest{
			Action: action, Path: path, User: user, Pass: pass, Addr: netip.MustParseAddr(ip),
		})
		if _, refused := errors.AsType[*router.AuthError](err); err != nil && !refused {
			t.Errorf("%s %s: %v", action, path, err)
		}
		return err == nil
	}
	cases := []struct {
		action               router.Action
		path, user, pass, ip string
		want                 bool
	}{
		{"publish", "cam", "pub", "secret1", "1.1.1.1", true},
		{"publish", "cam", "pub", "wrong", "1.1.1.1", false},
		{"publish", "cam", "", "", "1.1.1.1", false},
		{"read", "cam", "", "", "1.1.1.1", true},
		{"playback", "cam", "", "", "1.1.1.1", true},
		{"read", "cam7", "rea", "secret2", "10.1.1.1", true},
		{"read", "cam7", "rea", "secret2", "1.1.1.1", false},
		{"read", "cam7", "", "", "10.1.1.1", false},
		{"publish", "cam7", "", "", "1.1.1.1", true},
		{"publish", "other", "", "", "1.1.1.1", true},
		{"read", "other", "", "", "1.1.1.1", true},
		{"api", "", "", "", "127.0.0.1", true},
		{"api", "", "", "", "1.1.1.1", false},
	}
	for _, k := range cases {
		if got := allowed(k.action, k.path, k.user, k.pass, k.ip); got != k.want {
			t.Errorf("%+v: %t", k, got)
		}
	}
	same, err := d.Build()
	if err != nil {
		t.Fatal(err)
	}
	if ch := router.Diff(&c, &same); ch.Auth {
		t.Error("the same credentials count as a change")
	}
	p := d.Paths["cam"]
	p.PublishPass = "other"
	d.Paths["cam"] = p
	changed, err := d.Build()
	if err != nil {
		t.Fatal(err)
	}
	if ch := router.Diff(&c, &changed); !ch.Auth {
		t.Error("other credentials do not count as a change")
	}
}

// Credentials of paths do not appear when the document is printed.
func TestDocumentHidesPathCredentials(t *testing.T) {
	t.Parallel()
	d, _ := parse(t, "paths: {a: {readUser: u, readPass: hunter2}}")
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("hunter2")) {
		t.Error("the password is there")
	}
}

func TestNotInForce(t *testing.T) {
	t.Parallel()
	cases := []struct {
		text string
		want []string
	}{
		{"rtmp: no\nhls: no\nsrt: no\nlogLevel: debug", nil},
		{"rtmpTrustedProxies: [10.0.0.0/8]\nhlsTrustedProxies: [10.0.0.0/8]\nhlsCDNSecret: x", []string{"rtmpTrustedProxies", "hlsCDNSecret"}},
		{"webrtc: no\napi: yes", []string{"api", "webrtc"}},
		{"pathDefaults: {record: yes}\npaths: {a: , b: {record: yes}, c: {record: no}}", []string{"pathDefaults: record", `path "c": record`}},
		{
			"paths: {a: {source: 'whep://h/x', forward: ['rtsp://h/x', 'whip://h/x', 'srt://h:1']}, b: {source: rpiCamera}, c: {source: 'srt://h:1'}}",
			[]string{`path "a": source (whep)`, `path "a": forward[1]`, `path "b": source (rpiCamera)`},
		},
		{"paths: {a: {runOnReady: x}}", []string{`path "a": runOnReady`, `path "a": runOnAvailable`}},
	}
	for _, c := range cases {
		d, _ := parse(t, c.text)
		if got := d.NotInForce(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}

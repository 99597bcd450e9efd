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
	"time"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
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

func TestBuildAuth(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]router.Authenticator{
		"authMethod: http\nauthHTTPAddress: http://h\nauthHTTPExclude: [{action: api}]\nauthHTTPCacheDuration: 5s": &auth.HTTP{
			URL: "http://h", Exclude: []auth.Permission{{Action: router.ActionAPI}}, CacheFor: 5 * time.Second,
		},
		"authMethod: jwt\nauthJWTJWKS: http://h\nauthJWTClaimKey: k\nauthJWTIssuer: i\nauthJWTAudience: a\nauthJWTExclude: [{action: read, path: x}]\nauthJWTKickOnExpiry: yes": &auth.JWT{
			JWKS: "http://h", ClaimKey: "k", Issuer: "i", Audience: "a",
			Exclude: []auth.Permission{{Action: router.ActionRead, Path: "x"}}, KickOnExpiry: true,
		},
	} {
		d, _ := parse(t, text)
		c, err := d.Build()
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if ch := router.Diff(&c, &router.Config{Auth: want}); ch.Auth {
			t.Errorf("%s: got %#v", text, c.Auth)
		}
	}
}

func TestBuildHooks(t *testing.T) {
	t.Parallel()
	d, _ := parse(t, "rtspAddress: 127.0.0.1:5555\nrunOnConnect: a\nrunOnConnectRestart: yes\nrunOnDisconnect: b\n"+
		"webhooks: [{url: 'http://h', events: [pathReady], secret: x}]\npaths: {p: {runOnDemand: c, runOnUnDemand: d, "+
		"runOnDemandCloseAfter: 3s, runOnAvailable: e, runOnReadRestart: yes}, q: {runOnReadRestart: yes}}")
	if c := d.Connections(Shared{}); c.Connect != (hook.Command{Line: "a", Restart: true}) || c.Disconnect != "b" || c.Exec.Env[0] != "RTSP_PORT=5555" {
		t.Errorf("%+v", c)
	}
	if w := d.WebhookTargets(); len(w) != 1 || w[0].URL != "http://h" || w[0].Secret != "x" || w[0].Events[0] != hook.PathReady {
		t.Errorf("%+v", w)
	}
	c, err := d.Build()
	if err != nil {
		t.Fatal(err)
	}
	p := c.Paths[0]
	src, ok := p.Source.(hook.OnDemand)
	if !ok || src.Command.Line != "c" || src.UnDemand != "d" || !p.OnDemand.Enabled || p.OnDemand.CloseAfter != 3*time.Second {
		t.Errorf("%+v", p)
	}
	if cmd, ok := router.Extra[hook.Commands](&p); !ok || cmd.Ready.Line != "e" || cmd.Exec.Env[0] != "RTSP_PORT=5555" {
		t.Errorf("%+v", cmd)
	}
	if len(c.Paths[1].Extras) > 0 || c.Paths[1].Source != nil {
		t.Errorf("%+v", c.Paths[1])
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
		{"rtmpTrustedProxies: [10.0.0.0/8]\nhlsTrustedProxies: [10.0.0.0/8]\nhlsCDNSecret: x", nil},
		{"webrtc: no\nmoqQUICAddress: :1", []string{"moqQUICAddress"}},
		{"moq: no\nmoqQUICAddress: :1", []string{}}, // nothing that would be in force
		{"pathDefaults: {moqTransport: webtransport}\npaths: {a: , b: {moqTransport: webtransport}, c: {moqTransport: quic}}", []string{"pathDefaults: moqTransport", `path "c": moqTransport`}},
		{
			"paths: {a: {source: 'whep://h/x', forward: ['rtsp://h/x', 'moqt://h/x', 'srt://h:1']}, b: {source: 'moqt://h/x'}, c: {source: 'srt://h:1'}}",
			[]string{`path "a": forward[1]`, `path "b": source (moq)`},
		},
		{
			"paths: {a: {source: rpiCamera, rpiCameraWidth: 640}, b: {source: rpiCamera, rpiCameraSecondary: yes}}",
			[]string{`path "b": rpiCameraSecondary`},
		},
	}
	for _, c := range cases {
		d, _ := parse(t, c.text)
		if got := d.NotInForce(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}

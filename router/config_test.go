package router_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestValidatePathName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"cam": true, "a/b/c": true, "Cam_1-x.y~z": true, "...": true, "a..b": true, "all_others": true,
		"a:b@c!$&'()*+,;=": true, strings.Repeat("a", 1024): true, "~x": true,
		"": false, "/": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false, "a/..": false,
		"../a": false, "a/./b": false, "a/../b": false, "a b": false, "a\nb": false, "a\x00": false, "a%2fb": false,
		`a\b`: false, "ä": false, "a\xff": false, "a?b": false, "a#b": false, `a"b`: false, "a<b": false, "a\u202eb": false,
		strings.Repeat("a", 1025): false,
	} {
		if err := router.ValidatePathName(name); (err == nil) != ok {
			t.Errorf("%q: got error %v, want valid: %v", name, err, ok)
		}
	}
}

func FuzzValidatePathName(f *testing.F) {
	for _, s := range []string{"", "cam", "a/b", "../x", "a//b", "/a", "a/", "a\x00b", "~^x$", "é", "a/..", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if router.ValidatePathName(name) != nil {
			return
		}
		if name == "" || len(name) > 1024 || name[0] == '/' || name[len(name)-1] == '/' || strings.Contains(name, "//") {
			t.Errorf("%q is accepted", name)
		}
		for seg := range strings.SplitSeq(name, "/") {
			if seg == "" || seg == "." || seg == ".." {
				t.Errorf("%q is accepted, with the segment %q", name, seg)
			}
		}
		for _, c := range []byte(name) {
			if c <= ' ' || c >= 0x7f || strings.IndexByte(`\%?#"<>|`, c) >= 0 {
				t.Errorf("%q is accepted, with the byte %#x", name, c)
			}
		}
	})
}

func TestConfigValidation(t *testing.T) {
	t.Parallel()
	var nilSource *routertest.Source
	paths := func(p ...router.PathConfig) router.Config { return router.Config{Paths: p} }
	for name, c := range map[string]struct {
		cfg  router.Config
		want string // in the error
	}{
		"invalid name":          {paths(router.PathConfig{Name: "a/../b"}), `"a/../b"`},
		"empty name":            {paths(router.PathConfig{}), "empty"},
		"duplicate":             {paths(router.PathConfig{Name: "a"}, router.PathConfig{Name: "a"}), "two paths"},
		"duplicate regexp":      {paths(router.PathConfig{Name: "~a"}, router.PathConfig{Name: "~a"}), "two paths"},
		"catch-alls":            {paths(router.PathConfig{Name: "all"}, router.PathConfig{Name: "all_others"}), "exclude each other"},
		"catch-all regexp":      {paths(router.PathConfig{Name: "all"}, router.PathConfig{Name: "~^.*$"}), "exclude each other"},
		"regexp":                {paths(router.PathConfig{Name: "~("}), "regular expression"},
		"readers":               {paths(router.PathConfig{Name: "a", MaxReaders: -1}), "-1"},
		"on-demand publisher":   {paths(router.PathConfig{Name: "a", OnDemand: router.OnDemand{Enabled: true}}), "needs a source"},
		"dynamic static source": {paths(router.PathConfig{Name: "~a", Source: &routertest.Source{}}), "must be on-demand"},
		"on-demand redirect": {paths(router.PathConfig{
			Name: "a", Source: redirect{"/b"}, OnDemand: router.OnDemand{Enabled: true},
		}), "cannot be on-demand"},
		"nil source pointer": {paths(router.PathConfig{Name: "a", Source: nilSource}), "nil"},
		"nil sink":           {paths(router.PathConfig{Name: "a", Sinks: []router.Sink{nil}}), "nil"},
		"nil protocol":       {router.Config{Protocols: []router.Protocol{nil}}, "nil"},
		"equal protocols":    {router.Config{Protocols: []router.Protocol{&routertest.Protocol{}, &routertest.Protocol{}}}, `"fake"`},
		"queue size":         {router.Config{QueueSize: 1 << 62}, "queue size"},
		"fallback name":      {paths(router.PathConfig{Name: "a", Fallback: "b"}), "fallback"},
		"fallback URL":       {paths(router.PathConfig{Name: "a", Fallback: "rtsp://"}), "fallback"},
		"negative queue":     {router.Config{QueueSize: -1}, "queue size"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.cfg.Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
			if _, err2 := router.New(c.cfg); err2 == nil {
				t.Error("New accepts it")
			}
		})
	}
}

func TestValidateReportsEverything(t *testing.T) {
	t.Parallel()
	cfg := config(router.PathConfig{Name: "/x"}, router.PathConfig{Name: "y/"})
	err := cfg.Validate()
	if err == nil || !strings.Contains(err.Error(), "/x") || !strings.Contains(err.Error(), "y/") {
		t.Errorf("got error %v, want both names in it", err)
	}
}

// A program may keep editing what it handed over, or what it was given.
func TestConfigIsACopy(t *testing.T) {
	t.Parallel()
	cfg := config(router.PathConfig{Name: "a"})
	r := routertest.New(t, cfg)
	cfg.Paths[0].Name = "b"
	got := r.Config()
	if got.Paths[0].Name != "a" {
		t.Error("a change of the configuration that was given has an effect")
	}
	got.Paths[0].MaxReaders = 7
	if ch := apply(t, r, got); len(ch.PathsUpdated) != 1 {
		t.Errorf("a change of the configuration that was returned is not noticed: %+v", ch)
	}
}

func TestExtra(t *testing.T) {
	t.Parallel()
	type mine struct{ Passphrase string }
	c := &router.PathConfig{Extras: []any{1, mine{"x"}}}
	if v, ok := router.Extra[mine](c); !ok || v.Passphrase != "x" {
		t.Errorf("got %v, %v", v, ok)
	}
	if _, ok := router.Extra[string](c); ok {
		t.Error("found an extra that is not there")
	}
}

// What a path is called in errors, which clients' scripts look for.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "s", MaxReaders: 1})
	_, err := r.Read(t.Context(), "x", router.SubscribeOptions{})
	check := func(err error, want string) {
		t.Helper()
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check(err, "path 'x' is not configured")
	_, err = r.Read(t.Context(), "s", router.SubscribeOptions{})
	check(err, "no stream is available on path 's'")
	publish(t, r, "s")
	_, err = r.Publish(t.Context(), "s", text())
	check(err, "someone is already publishing to path 's'")
	read(t, r, "s")
	_, err = r.Read(t.Context(), "s", router.SubscribeOptions{})
	check(err, "read 's': maximum reader count reached")
	_, err = r.Read(t.Context(), "a/\n/b", router.SubscribeOptions{})
	if !errors.Is(err, router.ErrInvalidName) || strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), "/b") != 1 {
		t.Errorf("got %q, want one line about an invalid name, told once", err)
	}
	check(&router.AuthError{}, "authentication failed")
}

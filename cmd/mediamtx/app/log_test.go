package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/cmd/mediamtx/config"
)

type hidden struct{}

func (hidden) LogValue() slog.Value { return slog.StringValue("shown instead") }

func TestText(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l, err := newLogger(&b, logOptions{Level: slog.LevelDebug, Destinations: []string{"stdout"}})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(l)
	cases := []struct {
		do   func()
		want string
	}{
		{func() { log.Debug("a message") }, "DEB a message"},
		{func() { log.Info("m", "path", "cam", "n", 3, "ok", true) }, "INF m path=cam n=3 ok=true"},
		{func() { log.Warn("m", "s", "two words", "e", "", "q", `a"b`, "k", "a=b") }, `WAR m s="two words" e="" q="a\"b" k="a=b"`},
		{func() { log.Error("m", "error", errors.New("it is broken"), "d", 90*time.Second) }, `ERR m error="it is broken" d=1m30s`},
		{func() { log.Info("two\nlines\x1b[31m", "v", "x\ny") }, `INF two\nlines\x1b[31m v="x\ny"`},
		{func() { log.Info("bytes \xff", "v", "\xfe") }, `INF bytes \xff v="\xfe"`},
		{func() { log.Info("ü", "v", "é") }, "INF ü v=é"},
		{func() { log.With("a", 1).WithGroup("g").With("b", 2).Info("m", "c", 3, slog.Group("h", "d", 4)) }, "INF m a=1 g.b=2 g.c=3 g.h.d=4"},
		{func() { log.Info("m", "v", hidden{}, "l", []string{"a", "b"}) }, `INF m v="shown instead" l=a,b`},
	}
	stamp := regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d `)
	for _, c := range cases {
		b.Reset()
		c.do()
		got := b.String()
		if !stamp.MatchString(got) || !strings.HasSuffix(got, "\n") || stamp.ReplaceAllString(strings.TrimSuffix(got, "\n"), "") != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l, err := newLogger(&b, logOptions{Structured: true, Destinations: []string{"stdout"}})
	if err != nil {
		t.Fatal(err)
	}
	slog.New(l).With("path", "cam").Warn("a \"message\"\n\xff", "n", 3, "level", "x", "error", errors.New("broken"))
	if strings.Count(b.String(), "\n") != 1 {
		t.Errorf("not one line: %q", b.String())
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v: %q", err, b.String())
	}
	if _, err := time.Parse(time.RFC3339Nano, got["timestamp"].(string)); err != nil {
		t.Error(err)
	}
	delete(got, "timestamp")
	want := map[string]any{"level": "WAR", "message": "a \"message\"\n\uFFFD", "path": "cam", "n": 3.0, "level_": "x", "error": "broken"}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %v, want %v", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	file := filepath.Join(t.TempDir(), "x.log")
	l, err := newLogger(&b, logOptions{Level: slog.LevelWarn, Destinations: []string{"stdout"}})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(l).With("a", 1)
	log.Info("not seen")
	both := logOptions{Level: slog.LevelInfo, Destinations: []string{"stdout", "file"}, File: file}
	for range 2 { // the second time nothing changes
		if err := l.Configure(both); err != nil {
			t.Fatal(err)
		}
	}
	log.Info("seen twice")
	if err := l.Configure(logOptions{Destinations: []string{"file"}, File: filepath.Join(file, "impossible")}); err == nil {
		t.Error("an impossible file was opened")
	}
	log.Info("still there")
	if err := l.Configure(logOptions{Level: slog.LevelError, Structured: true, Destinations: []string{"file"}, File: file}); err != nil {
		t.Fatal(err)
	}
	log.Warn("not seen")
	log.Error("as JSON")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	log.Error("after the end")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(data); strings.Count(s, "\n") != 3 || !strings.Contains(s, `"message":"as JSON"`) || !strings.Contains(s, "INF seen twice a=1\n") {
		t.Errorf("the file holds %q", s)
	}
	if s := b.String(); strings.Contains(s, "not seen") || strings.Count(s, "\n") != 2 {
		t.Errorf("stdout got %q", s)
	}
	if st, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("the mode of the file is %v (%v)", st.Mode(), err)
	}
}

// A destination that is named twice gets each message once.
func TestDestinationNamedTwice(t *testing.T) {
	t.Parallel()
	doc, _, err := config.Parse("test.yml", []byte("logDestinations: [stdout, file, stdout]\n"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := logOptionsOf(doc).Destinations; !slices.Equal(got, []string{"stdout", "file"}) {
		t.Errorf("the destinations are %q", got)
	}
}

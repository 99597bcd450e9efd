package record

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router"
)

func mustPattern(t testing.TB, text string, f Format) Pattern {
	t.Helper()
	p, err := ParsePattern(text, f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePattern(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text   string
		format Format
		want   string // part of the error
	}{
		{DefaultPattern, FMP4, ""},
		{"/rec/%path/%s", MPEGTS, ""},
		{"%path-%s%f", FMP4, ""},
		{"%path/100%/%q/%s", FMP4, ""},
		{"", FMP4, "empty"},
		{"/rec/%s", FMP4, "%path"},
		{"/rec/%path/%Y-%m-%d", FMP4, "%s or all of"},
		{"/rec/%path/%s\x00", FMP4, "zero byte"},
		{"%path%s" + strings.Repeat("x", maxPatternSize), FMP4, "longer"},
		{DefaultPattern, "avi", `"avi"`},
	} {
		_, err := ParsePattern(c.text, c.format)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.text, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: got %v, want an error with %q", c.text, err, c.want)
		}
	}
}

func TestPatternName(t *testing.T) {
	t.Parallel()
	start := time.Date(2024, 2, 9, 5, 6, 7, 89000, time.Local)
	zone := start.Format("-0700")
	for _, c := range []struct {
		text   string
		format Format
		path   string
		want   string
	}{
		{DefaultPattern, FMP4, "cam", "recordings/cam/2024-02-09_05-06-07-000089.mp4"},
		{DefaultPattern, MPEGTS, "a/b.c", "recordings/a/b.c/2024-02-09_05-06-07-000089.ts"},
		{"/r/%Y%m%d/%path_%H%M%S%z", FMP4, "cam", "/r/20240209/cam_050607" + zone + ".mp4"},
		{"/r/%path/%path-%f-%s", FMP4, "a/b", "/r/a/b/a/b-000089-" + start.Format("x") + ".mp4"},
		{DefaultPattern, FMP4, "../cam", ""},
		{DefaultPattern, FMP4, "a/../../b", ""},
		{DefaultPattern, FMP4, "/etc", ""},
		{DefaultPattern, FMP4, "", ""},
		{DefaultPattern, FMP4, `a\..\b`, ""},
	} {
		want := strings.ReplaceAll(c.want, "-x.", "-"+unixText(start)+".")
		p := mustPattern(t, c.text, c.format)
		if got := filepath.ToSlash(p.Name(c.path, start)); got != want {
			t.Errorf("%q of %q: got %q, want %q", c.text, c.path, got, want)
		}
	}
}

func unixText(t time.Time) string { return value("s", "", t) }

func TestPatternMatch(t *testing.T) {
	t.Parallel()
	start := time.Date(2024, 2, 9, 5, 6, 7, 89000, time.UTC)
	for _, text := range []string{
		DefaultPattern, "/rec/%path/%s%f", "%path.%s.%f", "/rec/%Y/%path/%m/%d/%H%M%S%f%z", "/rec/%path-%s-%path_%f",
	} {
		for _, path := range []string{"cam", "a/b/c", "cam-12_3", "123", "%", "a=b"} {
			p := mustPattern(t, text, FMP4)
			name := p.Name(path, start)
			if path == "%" {
				if name != "" {
					t.Errorf("an invalid path has the name %q", name)
				}
				continue
			}
			gotPath, gotStart, ok := p.Match(name)
			if !ok || gotPath != path || !gotStart.Equal(start) {
				t.Errorf("%q: %q is %q at %v, %v", text, name, gotPath, gotStart, ok)
			}
		}
	}
	p := mustPattern(t, DefaultPattern, FMP4)
	for _, name := range []string{
		"", "recordings/cam/2024-02-09_05-06-07-000089.ts", "recordings/cam/2024-02-09_05-06-07-000089.mp4.mp4",
		"recordings/cam/2024-02-30_05-06-07-000089.mp4", "recordings/cam/2024-13-09_05-06-07-000089.mp4",
		"recordings/cam/2024-02-09_24-06-07-000089.mp4", "recordings/cam/2024-02-09_05-06-07-00008x.mp4",
		"recordings/cam/2024-02-09_05-06-07-+00089.mp4", "recordings//2024-02-09_05-06-07-000089.mp4",
		"recordings/../2024-02-09_05-06-07-000089.mp4", "other/cam/2024-02-09_05-06-07-000089.mp4",
		"recordings/a b/2024-02-09_05-06-07-000089.mp4", "recordings/cam/.mp4", "x",
	} {
		if path, _, ok := p.Match(name); ok {
			t.Errorf("%q is a segment of %q", name, path)
		}
	}
	twice := mustPattern(t, "%path/%path-%s", FMP4)
	if _, _, ok := twice.Match("a/b-1.mp4"); ok {
		t.Error("two paths in one name")
	}
}

func TestPatternRoots(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, root, ofPath string }{
		{DefaultPattern, "recordings", "recordings/a/b"},
		{"/rec/x-%path-%s", "/rec", "/rec/x-a"},
		{"%path/%s", ".", "a/b"},
		{"%s-%path", ".", "."},
		{"/rec/%Y/%path/%s%m%d%H%M%S", "/rec", "/rec"},
	} {
		p := mustPattern(t, c.text, FMP4)
		if got := filepath.ToSlash(p.Root()); got != c.root {
			t.Errorf("%q: root %q, want %q", c.text, got, c.root)
		}
		if got := filepath.ToSlash(p.rootOf("a/b")); got != c.ofPath {
			t.Errorf("%q: root of a/b %q, want %q", c.text, got, c.ofPath)
		}
	}
}

func FuzzPatternMatch(f *testing.F) {
	f.Add("recordings/cam/2024-02-09_05-06-07-000089.mp4", DefaultPattern)
	f.Add("a/1.mp4", "%path/%s")
	f.Add("11111111111111111111111.mp4", "%s%path%s%path%s%f")
	f.Fuzz(func(t *testing.T, name, text string) {
		p, err := ParsePattern(text, FMP4)
		if err != nil {
			return
		}
		path, start, ok := p.Match(name)
		if !ok {
			return
		}
		if router.ValidatePathName(path) != nil {
			t.Errorf("%q is not a path", path)
		}
		if p.Name(path, start) == "" {
			t.Errorf("no name for %q", path)
		}
	})
}

package config

import (
	"encoding/json"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	const h, d = time.Hour, 24 * time.Hour
	cases := []struct {
		text  string
		want  time.Duration
		print string
	}{
		{"10s", 10 * time.Second, "10s"},
		{"1h30m", 90 * time.Minute, "1h30m0s"},
		{"1h", h, "1h0m0s"},
		{"24h", d, "1d"},
		{"1d", d, "1d"},
		{"1d12h", 36 * h, "1d12h0m0s"},
		{"200ms", 200 * time.Millisecond, "200ms"},
		{"1.5h", 90 * time.Minute, "1h30m0s"},
		{"0", 0, "0s"},
		{"-1d1s", -d - time.Second, "-1d1s"},
	}
	for _, c := range cases {
		var got Duration
		if err := got.UnmarshalText([]byte(c.text)); err != nil || time.Duration(got) != c.want || got.String() != c.print {
			t.Errorf("%s: %v, %v, want %s", c.text, got, err, c.print)
		}
		var again Duration
		if b, err := json.Marshal(got); err != nil || json.Unmarshal(b, &again) != nil || again != got {
			t.Errorf("%s: prints as %s, read back as %v (%v)", c.text, b, again, err)
		}
	}
	for _, bad := range []string{"", "d", "1", "s", "1d1d", "--1s", "+1s", "1d-1s", "1w", "999999d", "106751d24h", "1.5d", "1 s"} {
		var got Duration
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was accepted as %v", bad, got)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	cases := []struct {
		text  string
		want  Size
		print string
	}{
		{"50M", 50 << 20, "50M"},
		{"512KB", 512 << 10, "512K"},
		{"1024k", 1 << 20, "1M"},
		{"1G", 1 << 30, "1G"},
		{"2tb", 2 << 40, "2T"},
		{"1000", 1000, "1000"},
		{"0", 0, "0"},
	}
	for _, c := range cases {
		var got Size
		if err := got.UnmarshalText([]byte(c.text)); err != nil || got != c.want || got.String() != c.print {
			t.Errorf("%s: %v, %v, want %s", c.text, got, err, c.print)
		}
	}
	for _, bad := range []string{"", "M", "-1M", "1.5M", "99999999999G", "5 apples", "1MM"} {
		var got Size
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was accepted as %v", bad, got)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"rtspAddress", "rtsp", "hls"}
	for word, want := range map[string]string{"RTSPADDRESS": "rtspAddress", "rstp": "rtsp", "x": "", "rtspAddresses": "rtspAddress", "": ""} {
		if got := nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestRedactURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"rtsp://u:p@h/x?y=z": "rtsp://***@h/x",
		"rtsp://u:p@q@h/x":   "rtsp://***@h/x",
		"u:p@h":              "***@h",
		"rtsp://h/x":         "rtsp://h/x",
	} {
		if got := redactURL(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

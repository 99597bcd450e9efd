package hls

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"

	"github.com/org/mtx/router"
)

// mediaList fetches and parses a media playlist.
func (g *rig) mediaList(file string) (*playlist.Media, string) {
	g.t.Helper()
	res, body := g.get("/cam/" + file)
	if res.StatusCode != 200 {
		g.t.Fatalf("%s: %d %s", file, res.StatusCode, body)
	}
	var m playlist.Media
	if err := m.Unmarshal([]byte(body)); err != nil {
		g.t.Fatalf("%s: %v in\n%s", file, err, body)
	}
	return &m, body
}

// Concurrent viewers of a part share one copy.
func TestShared(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam", videoAudio(), sps1080)
	p, _ := g.Path("cam")
	stream := p.Stream()
	cfg := (&Server{PartDuration: 100 * time.Millisecond}).withDefaults()
	in, err := newInstance(&muxer{server: &server{Server: &cfg, timelines: map[string]*timeline{}}, viewers: newViewers(), log: slog.New(slog.DiscardHandler)}, stream)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := stream.Subscribe(router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fed := make(chan error, 1)
	go func() { fed <- in.feed(context.Background(), sub) }()
	defer func() { sub.Close(); <-fed; in.close() }()

	list, err := in.get(t.Context(), "video1_stream.m3u8", directives{})
	if err != nil {
		t.Fatal(err)
	}
	var m playlist.Media
	if err := m.Unmarshal(list.body); err != nil {
		t.Fatal(err)
	}
	type result struct {
		a   *answer
		err error
	}
	results := make(chan result)
	const viewers = 50
	for range viewers {
		go func() { // the part does not exist yet
			a, err := in.get(t.Context(), m.PreloadHint.URI, directives{})
			results <- result{a, err}
		}()
	}
	var first *answer
	for range viewers {
		switch r := <-results; {
		case r.err != nil:
			t.Errorf("got %v", r.err)
		case first == nil:
			first = r.a
		case &r.a.body[0] != &first.body[0]:
			t.Error("a viewer has a copy of its own")
		}
	}
}

// GStreamer does not know low latency.
func TestClassic(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam", videoAudio(), sps1080)
	_, plain := g.get("/cam/video1_stream.m3u8")
	if !strings.Contains(plain, "#EXT-X-GAP") {
		t.Errorf("no gaps in\n%s", plain)
	}
	_, text := g.get("/cam/video1_stream.m3u8", "User-Agent", "GStreamer souphttpsrc 1.22.0 libsoup/3.2.3")
	var m playlist.Media
	if err := m.Unmarshal([]byte(text)); err != nil {
		t.Fatal(err)
	}
	full, _ := g.mediaList("video1_stream.m3u8")
	if strings.Contains(text, "GAP") || strings.Contains(text, "PART") || strings.Contains(text, "HINT") || strings.Contains(text, "gap.mp4") || len(m.Segments) < 2 || m.Segments[0].URI == "" {
		t.Errorf("got\n%s", text)
	}
	for i, s := range full.Segments { // numbers are the same for all
		if n := full.MediaSequence + i - m.MediaSequence; n >= 0 && n < len(m.Segments) && m.Segments[n].URI != s.URI {
			t.Errorf("segment %d is %s and %s", full.MediaSequence+i, s.URI, m.Segments[n].URI)
		}
	}
}

func TestAddDates(t *testing.T) {
	t.Parallel()
	in := "#EXTM3U\n#EXT-X-GAP\n#EXTINF:1.0,\ngap.mp4\n#EXTINF:1.5,\na\n#EXTINF:2.00000,\nb\n" +
		"#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.25Z\n#EXTINF:1,\nc\n"
	want := "#EXTM3U\n#EXT-X-GAP\n#EXTINF:1.0,\ngap.mp4\n#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:01.75Z\n#EXTINF:1.5,\na\n" +
		"#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:03.25Z\n#EXTINF:2.00000,\nb\n" +
		"#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.25Z\n#EXTINF:1,\nc\n"
	if got := string(addDates([]byte(in))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, same := range []string{"", "#EXTM3U\n#EXTINF:1,\na\n", "#EXT-X-PROGRAM-DATE-TIME:x\n", want} {
		if got := string(addDates([]byte(same))); got != same {
			t.Errorf("%q became %q", same, got)
		}
	}
}

func TestAddQuery(t *testing.T) {
	t.Parallel()
	in := "#EXTM3U\r\n#EXT-X-MAP:URI=\"a.mp4\",X=1\n#EXTINF:1,\n\na.ts\nb.ts?x=y"
	want := "#EXTM3U\r\n#EXT-X-MAP:URI=\"a.mp4?k=v\",X=1\n#EXTINF:1,\n\na.ts?k=v\nb.ts?x=y&k=v"
	if got := string(addQuery([]byte(in), "k=v")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for raw, want := range map[string]string{
		"": "", "_HLS_msn=1&_HLS_part=2": "", "jwt=a.b&_HLS_skip=YES": "jwt=a.b",
		"x=%22%0a\"<>&y": "x=%22%0A%22%3C%3E&y=", "%zz": "",
	} {
		if got := childQuery(raw); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

func TestDirectives(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]directives{
		"":                                   {},
		"_HLS_msn=7&_HLS_part=2":             {msn: "7", part: "2"},
		"jwt=x&_HLS_msn=7&_HLS_skip=YES&a":   {msn: "7", skip: "YES"},
		"_HLS_msn=1&_HLS_msn=2&&=&_HLS_part": {msn: "1"},
		"x_HLS_msn=1":                        {},
	} {
		if got := directivesOf(raw); got != want {
			t.Errorf("%q: %+v, want %+v", raw, got, want)
		}
	}
}

package hls

import (
	"bytes"
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// number returns the value of a tag of a playlist; zero if it is not there.
func number(list, tag string) int {
	_, tail, _ := strings.Cut(list, tag)
	line, _, _ := strings.Cut(tail, "\n")
	n, _ := strconv.Atoi(strings.TrimSpace(line))
	return n
}

// lastFile returns the last segment of a playlist.
func lastFile(list string) (name string) {
	for l := range strings.Lines(list) {
		if l[0] != '#' {
			name = strings.TrimSpace(l)
		}
	}
	return name
}

// mediaFiles returns what a media playlist names and does not only announce.
func mediaFiles(list string) (names []string) {
	for l := range strings.Lines(list) {
		if strings.HasPrefix(l, "#EXT-X-PRELOAD-HINT") || strings.HasPrefix(l, "gap.") {
			continue
		}
		_ = mapURIs([]byte(l), func(_, uri []byte) []byte { names = append(names, string(uri)); return nil })
	}
	return names
}

// pollList fetches a playlist in the background.
func (g *rig) pollList(ctx context.Context, path string) <-chan string {
	out := make(chan string, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, nil)
		if err != nil {
			out <- err.Error()
			return
		}
		res, err := g.http.Do(req)
		if err != nil {
			out <- err.Error()
			return
		}
		defer func() { _ = res.Body.Close() }()
		b := make([]byte, 64<<10)
		n := 0
		for err == nil {
			var m int
			m, err = res.Body.Read(b[n:])
			n += m
		}
		out <- strconv.Itoa(res.StatusCode) + " " + string(b[:n])
	}()
	return out
}

// baseTime returns the time of a segment of fragmented MP4, in ticks.
func baseTime(t *testing.T, segment string) uint64 {
	t.Helper()
	var parts fmp4.Parts
	if err := parts.Unmarshal([]byte(segment)); err != nil || len(parts) == 0 || len(parts[0].Tracks) == 0 {
		t.Fatalf("segment: %v", err)
	}
	return parts[0].Tracks[0].BaseTime
}

// Viewers do not start again when the publisher does: the requests of the pause
// are answered, and numbers and times go on.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	for variant, file := range map[Variant]string{MPEGTS: "main_stream.m3u8", FMP4: "video1_stream.m3u8", LowLatency: "video1_stream.m3u8"} {
		for _, always := range []bool{false, true} {
			if always && variant != LowLatency {
				continue // the variant makes no difference to that
			}
			t.Run(string(variant)+" "+strconv.FormatBool(always), func(t *testing.T) {
				t.Parallel()
				g := newRig(t, Server{Variant: variant, AlwaysRemux: always}, nil)
				stop := g.publish("cam", videoAudio(), sps1080)
				_, before := g.get("/cam/" + file)
				query, old := "", lastMSN(t, before)
				if variant == LowLatency {
					query = "?_HLS_msn=" + strconv.Itoa(old+1) + "&_HLS_part=1000&_HLS_skip=YES" // of the next segment
				}
				oldFile := lastFile(before)
				none, _, _ := strings.Cut(oldFile, "_")
				none += "_video1_seg999.mp4"
				_, oldSegment := g.get("/cam/" + oldFile)
				stop()
				eventually(t, "end of the muxer", func() bool { return g.muxer() == nil })
				waiting := g.pollList(t.Context(), "/cam/"+none)
				polled := waiting
				if variant == LowLatency {
					polled = g.pollList(t.Context(), "/cam/"+file+query)
				}
				select {
				case got := <-polled:
					t.Fatalf("an answer without a stream: %s", got)
				case got := <-waiting:
					t.Fatalf("an answer without a stream: %s", got)
				case <-time.After(300 * time.Millisecond):
				}
				if res, got := g.get("/cam/" + oldFile); res.StatusCode != 200 || got != oldSegment {
					t.Errorf("the last segment: %d, %d bytes, want %d", res.StatusCode, len(got), len(oldSegment))
				}
				g.publish("cam", videoAudio(), sps48)
				after := ""
				if variant == LowLatency {
					after = <-polled
				} else {
					eventually(t, "a playlist of the new stream", func() bool {
						after = <-g.pollList(t.Context(), "/cam/"+file)
						return lastFile(after) != oldFile
					})
				}
				if first := number(after, tagSequence); !strings.HasPrefix(after, "200 ") || first <= old || first > old+3 {
					t.Errorf("after number %d: %s", old, after)
				}
				if n := number(after, tagDiscontinuity); n != 1 {
					t.Errorf("discontinuity %d in %s", n, after)
				}
				if strings.Contains(after, tagSkipped) {
					t.Errorf("a delta to what the client does not know: %s", after)
				}
				if got := <-waiting; !strings.HasPrefix(got, "503 ") {
					t.Errorf("a file of the past: %.100s", got)
				}
				res, segment := g.get("/cam/" + lastFile(after))
				if res.StatusCode != 200 || lastFile(after) == oldFile {
					t.Errorf("%s: %d", lastFile(after), res.StatusCode)
				}
				if variant != MPEGTS && baseTime(t, segment) <= baseTime(t, oldSegment) {
					t.Errorf("time %d after %d", baseTime(t, segment), baseTime(t, oldSegment))
				}
				if variant == LowLatency { // low latency goes on too
					next := lastMSN(t, after) + 1
					_, list := g.get("/cam/" + file + "?_HLS_skip=YES&_HLS_msn=" + strconv.Itoa(next))
					if lastMSN(t, list) < next-1 || !strings.Contains(list, "#EXT-X-PART:") {
						t.Errorf("asked for %d, got\n%s", next, list)
					}
					if res, _ := g.get("/cam/" + file + "?_HLS_msn=" + strconv.Itoa(next+1000)); res.StatusCode != 400 {
						t.Errorf("a number that is far away: %d", res.StatusCode)
					}
				}
			})
		}
	}
}

// A stream with other codecs is another one: what viewers have must not be
// mixed with it.
func TestOtherCodecs(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	stop := g.publish("cam", videoAudio(), sps1080)
	g.get("/cam/video1_stream.m3u8")
	for generation, tracks := range [][]media.Track{
		1: videoAudio()[:1],
		2: {{Codec: &media.H264{}}, {Codec: &media.Opus{ChannelCount: 1}}},
		3: {{Codec: &media.H264{}}, {Codec: &media.Opus{ChannelCount: 2}}},
		4: {{Codec: &media.H264{}}, {Codec: &media.Opus{ChannelCount: 2}, Language: "en"}},
	} {
		if generation == 0 {
			continue
		}
		stop()
		stop = g.publish("cam", tracks, sps1080)
		index, want := "", "g"+strconv.Itoa(generation)+"_video1_stream.m3u8"
		eventually(t, want, func() bool { // the end of a stream is not noticed at once
			_, index = g.get("/cam/index.m3u8")
			return lastFile(index) == want
		})
		for _, m := range regexp.MustCompile(`URI="([^"]+)"`).FindAllStringSubmatch(index, -1) {
			if res, _ := g.get("/cam/" + m[1]); res.StatusCode != 200 {
				t.Errorf("%s: %d", m[1], res.StatusCode)
			}
		}
		if res, list := g.get("/cam/" + want); res.StatusCode != 200 || number(list, tagSequence) > gaps || strings.Contains(list, tagDiscontinuity) {
			t.Errorf("%s: %d %s", want, res.StatusCode, list)
		}
		for _, old := range []string{"video1_stream.m3u8", "g" + strconv.Itoa(generation-1) + "_video1_stream.m3u8", "g9_video1_stream.m3u8", "audio9_stream.m3u8"} {
			if res, _ := g.get("/cam/" + old); res.StatusCode != 404 {
				t.Errorf("%s: %d", old, res.StatusCode)
			}
		}
	}
}

// Viewers who are behind see the end of a stream too; then it is over, and who has
// not been there does not wait at all.
func TestStaysAway(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil, router.PathConfig{Name: "cam"}, router.PathConfig{Name: "never"})
	stop := g.publish("cam", videoAudio(), sps1080)
	g.get("/cam/video1_stream.m3u8")
	stop()
	eventually(t, "end of the muxer", func() bool { return g.muxer() == nil })
	began := time.Now()
	for _, path := range []string{"/cam/index.m3u8", "/never/index.m3u8", "/never/video1_stream.m3u8", "/cam/abc_video1_seg1.mp4"} {
		if res, _ := g.get(path); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if d := time.Since(began); d > holdFor/2 {
		t.Errorf("the answers took %v", d)
	}
	m, list := g.mediaList("video1_stream.m3u8")
	for _, f := range mediaFiles(list) {
		if res, body := g.get("/cam/" + f); res.StatusCode != 200 || len(body) == 0 {
			t.Errorf("%s: %d, %d bytes", f, res.StatusCode, len(body))
		}
	}
	if m.Endlist || len(mediaFiles(list)) < 5 {
		t.Errorf("the last playlist:\n%s", list)
	}
	last := strconv.Itoa(m.MediaSequence + len(m.Segments) - 1)
	opened := strings.Count(g.log.String(), "no muxer")
	if _, same := g.get("/cam/video1_stream.m3u8?_HLS_msn=" + last + "&_HLS_part=0&_HLS_skip=YES"); same != list {
		t.Errorf("what is there is not there:\n%s", same)
	}
	if _, same := g.get("/cam/video1_stream.m3u8", "User-Agent", "GStreamer"); same != string(classic([]byte(list))) {
		t.Errorf("another playlist for GStreamer:\n%s", same)
	}
	if n := strings.Count(g.log.String(), "no muxer"); n != opened || g.muxer() != nil {
		t.Errorf("there was a muxer for what is over, %d times", n-opened)
	}
	// what will not come is waited for
	res, _ := g.get("/cam/video1_stream.m3u8?_HLS_msn=" + last + "99")
	if d := time.Since(began); d < holdFor/2 || d > 2*holdFor {
		t.Errorf("the answer, %d, took %v", res.StatusCode, d)
	}
	eventually(t, "the end", func() bool { res, _ := g.get("/cam/video1_stream.m3u8"); return res.StatusCode == 404 })
	again := time.Now()
	for _, f := range append(mediaFiles(list), "video1_stream.m3u8") {
		if res, _ := g.get("/cam/" + f); res.StatusCode != 404 {
			t.Errorf("%s: %d", f, res.StatusCode)
		}
	}
	if d := time.Since(again); d > holdFor/2 {
		t.Errorf("the answers took %v", d)
	}
}

// What is known about paths does not grow without end.
func TestTimelinesAreForgotten(t *testing.T) {
	t.Parallel()
	s := &server{timelines: map[string]*timeline{}}
	for _, path := range []string{"a", "b", "c"} {
		l := s.timeline(path)
		l.begin("x")
		for range 3 * maxPast {
			l.over(0, "p", nil)
		}
		if len(l.past) != maxPast {
			t.Errorf("%d prefixes", len(l.past))
		}
	}
	s.timelines["a"].ended = time.Now().Add(-2 * keepTimeline)
	s.timelines["b"].begin("x")
	s.timeline("d")
	if s.timelines["a"] != nil || len(s.timelines) != 3 {
		t.Errorf("got %v", s.timelines)
	}
}

func TestPut(t *testing.T) {
	t.Parallel()
	const list = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:4\n#EXTINF:1,\na_1.ts\n#EXTINF:1,\na_2.ts\n"
	for _, c := range []struct {
		p        place
		in, want string
		next     uint64
	}{
		{place{}, list, list, 6},
		{place{sequence: 10, discontinuity: 2}, list, strings.Replace(list, ":4\n", ":14\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n", 1), 16},
		{
			place{sequence: 10, discontinuity: 1}, "#EXT-X-MEDIA-SEQUENCE:4\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:1,\nx\n",
			"#EXT-X-MEDIA-SEQUENCE:14\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:1,\nx\n", 18,
		},
		{place{}, "#EXT-X-MEDIA-SEQUENCE:0\n", "#EXT-X-MEDIA-SEQUENCE:0\n", 0},
		{place{sequence: 10}, "#EXTM3U\n", "#EXTM3U\n", 0},
		{place{sequence: 10}, "#EXT-X-MEDIA-SEQUENCE:x\n", "#EXT-X-MEDIA-SEQUENCE:x\n", 0},
	} {
		if got, next := c.p.put([]byte(c.in)); string(got) != c.want || next != c.next {
			t.Errorf("%+v: got %q, %d, want %q, %d", c.p, got, next, c.want, c.next)
		}
	}
	if got := filePrefix([]byte("#EXT_X\n#EXTINF:1,\ngap.mp4\nabc_video1_seg7.mp4\n")); got != "abc" {
		t.Errorf("prefix %q", got)
	}
}

func FuzzPut(f *testing.F) {
	f.Add("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:4\n#EXTINF:1,\na\n", uint32(5))
	f.Add("#EXT-X-MEDIA-SEQUENCE:\n#EXT-X-SKIP:SKIPPED-SEGMENTS=99999999999", uint32(1))
	f.Fuzz(func(t *testing.T, list string, sequence uint32) {
		p := place{sequence: uint64(sequence), discontinuity: 1}
		got, next := p.put([]byte(list))
		if again, same := (place{}).put(got); !bytes.Equal(again, got) || same != next {
			t.Errorf("%q became %q with %d, then %d", list, got, next, same)
		}
		_ = classic(addDates(got))
		if s := filePrefix(got); strings.ContainsAny(s, "_\n#") && s[0] == '#' {
			t.Errorf("prefix %q", s)
		}
	})
}

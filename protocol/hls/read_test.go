package hls

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2"

	"github.com/org/mtx/protocol/bridge/hlsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// viewer is a gohlslib client that counts.
type viewer struct {
	mu     sync.Mutex
	tracks []media.Track
	units  []int
	last   []int64
	faults []string
	times  int // units with an absolute time
}

// watch reads until enough units of every track have come.
func (g *rig) watch(path string, enough int) *viewer {
	g.t.Helper()
	v := &viewer{}
	done := make(chan struct{})
	finish := sync.OnceFunc(func() { close(done) })
	c := &gohlslib.Client{URI: g.url + path}
	c.OnTracks = func(tracks []*gohlslib.Track) error {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.units, v.last = make([]int, len(tracks)), make([]int64, len(tracks))
		for i, t := range tracks {
			m, ok := hlsbridge.FromTrack(t)
			if !ok {
				return errors.New("unknown track")
			}
			v.tracks = append(v.tracks, m)
			hlsbridge.OnData(c, t, func(pts int64, payload [][]byte) {
				v.mu.Lock()
				defer v.mu.Unlock()
				if v.units[i] > 0 && pts <= v.last[i] {
					v.faults = append(v.faults, "time goes backwards")
				}
				if len(payload) == 0 || len(payload[0]) == 0 {
					v.faults = append(v.faults, "empty unit")
				}
				if when, ok := c.AbsoluteTime(t); ok && time.Since(when) < time.Minute {
					v.times++
				}
				v.last[i] = pts
				v.units[i]++
				for _, n := range v.units {
					if n < enough {
						return
					}
				}
				finish()
			})
		}
		return nil
	}
	quiet := func(string) {}
	c.OnDownloadPrimaryPlaylist, c.OnDownloadStreamPlaylist, c.OnDownloadSegment, c.OnDownloadPart = quiet, quiet, quiet, quiet
	// playlists that have just begun do not have the three segments that it wants
	eventually(g.t, "three segments", func() bool {
		_, index := g.get(path)
		for line := range strings.Lines(index) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				_, media := g.get(path[:strings.LastIndex(path, "/")+1] + line)
				return strings.Count(media, "#EXTINF") >= 4
			}
		}
		return false
	})
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	failed := make(chan error, 1)
	go func() { failed <- c.Wait2() }()
	select {
	case <-done:
	case err := <-failed:
		g.t.Fatalf("client: %v\n%s", err, g.log)
	case <-time.After(patience):
		v.mu.Lock()
		g.t.Fatalf("not enough units: %v", v.units)
	}
	return v
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, variant := range []Variant{MPEGTS, FMP4, LowLatency} {
		t.Run(string(variant), func(t *testing.T) {
			t.Parallel()
			g := newRig(t, Server{Variant: variant}, nil)
			g.publish("a/cam", videoAudio(), sps1080)
			v := g.watch("/a/cam/index.m3u8", 30)
			if len(v.tracks) != 2 || v.tracks[0].Codec.Name() != "H264" || v.tracks[1].Codec.Name() != "MPEG-4 Audio" {
				t.Errorf("tracks: %+v", v.tracks)
			}
			if len(v.faults) != 0 {
				t.Errorf("faults: %v", v.faults)
			}
			if v.times == 0 {
				t.Error("no absolute times")
			}
			d := g.muxer()
			if d == nil || d.Path != "a/cam" || d.OutboundBytes == 0 || d.BytesSent != d.OutboundBytes ||
				time.Since(d.LastRequest) > patience || d.Created.After(d.LastRequest) {
				t.Errorf("muxer: %+v", d)
			}
			for p := range g.Paths() {
				if len(p.Readers) != 1 || p.Readers[0].Type != "hlsMuxer" {
					t.Errorf("readers: %+v", p.Readers)
				}
			}
		})
	}
}

func TestCodecs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		variant Variant
		tracks  []media.Track
		want    []string // in index.m3u8
		lines   int      // of variant streams
	}{
		{LowLatency, []media.Track{{Codec: &media.H264{}}, {Codec: &media.Opus{ChannelCount: 2}}}, []string{"avc1.42c028", "opus", "1920x1080"}, 1},
		{FMP4, []media.Track{{Codec: aac()}}, []string{"mp4a.40.2"}, 1},
		{MPEGTS, []media.Track{{Codec: aac()}}, []string{"mp4a.40.2"}, 1},
		{
			LowLatency, []media.Track{
				{Codec: &media.H264{}}, {Codec: aac(), Name: "Eng\"lish", Language: "en"}, {Codec: aac(), Name: "Deutsch", Language: "de"},
				{Codec: aac(), Name: "Deutsch"},
			},
			[]string{`NAME="English"`, `LANGUAGE="en"`, `NAME="Deutsch",`, `NAME="Deutsch 2"`, "DEFAULT=YES"}, 1,
		},
		{
			FMP4, []media.Track{{Codec: &media.H264{}}, {Codec: aac()}, {Codec: &media.H264{}}},
			[]string{"video1_stream.m3u8", "v2_video1_stream.m3u8", `AUDIO="audio"`}, 2,
		},
		{
			MPEGTS, []media.Track{{Codec: &media.H264{}}, {Codec: aac()}, {Codec: &media.H264{}}, {Codec: aac()}},
			[]string{"main_stream.m3u8", "v2_main_stream.m3u8"}, 2,
		},
	} {
		g := newRig(t, Server{Variant: c.variant}, nil)
		g.publish("cam", c.tracks, sps1080)
		res, index := g.get("/cam/index.m3u8")
		if res.StatusCode != 200 {
			t.Errorf("%s: %d %s", c.variant, res.StatusCode, index)
		}
		for _, want := range c.want {
			if !strings.Contains(index, want) {
				t.Errorf("%s: no %s in\n%s", c.variant, want, index)
			}
		}
		if n := strings.Count(index, "#EXT-X-STREAM-INF"); n != c.lines {
			t.Errorf("%s: %d variant streams, want %d:\n%s", c.variant, n, c.lines, index)
		}
		for line := range strings.Lines(index) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			_, list := g.get("/cam/" + line)
			seg := ""
			for l := range strings.Lines(list) {
				if l[0] != '#' && !strings.HasPrefix(l, "gap.") {
					seg = strings.TrimSpace(l)
				}
			}
			if res, body := g.get("/cam/" + seg); seg == "" || res.StatusCode != 200 || len(body) == 0 {
				t.Errorf("%s: segment %q of %s: %d, %d bytes", c.variant, seg, line, res.StatusCode, len(body))
			}
		}
	}
}

func TestNothingToCarry(t *testing.T) {
	t.Parallel()
	for variant, tracks := range map[Variant][]media.Track{
		MPEGTS:     {{Codec: &media.VP8{}}, {Codec: &media.Opus{ChannelCount: 2}}},
		FMP4:       {{Codec: &media.MJPEG{}}, {Codec: &media.G711{SampleRate: 8000, ChannelCount: 1}}},
		LowLatency: {{Codec: &media.KLV{}}},
	} {
		g := newRig(t, Server{Variant: variant}, nil)
		if _, err := g.Publish(t.Context(), "cam", tracks); err != nil {
			t.Fatal(err)
		}
		res, body := g.get("/cam/index.m3u8")
		if res.StatusCode != 404 {
			t.Errorf("%s: status %d", variant, res.StatusCode)
		}
		for _, track := range tracks {
			if !strings.Contains(body, track.Codec.Name()) {
				t.Errorf("%s: the error does not name %s: %s", variant, track.Codec.Name(), body)
			}
		}
	}
}

// The stream comes back with other parameters.
func TestRestart(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	stop := g.publish("cam", videoAudio(), sps1080)
	if _, index := g.get("/cam/index.m3u8"); !strings.Contains(index, "1920x1080") {
		t.Errorf("got %s", index)
	}
	stop()
	eventually(t, "no stream", func() bool { res, _ := g.get("/cam/index.m3u8"); return res.StatusCode == 404 })
	g.publish("cam", videoAudio()[:1], sps48)
	if res, index := g.get("/cam/index.m3u8"); !strings.Contains(index, "64x48") || strings.Contains(index, "mp4a") {
		t.Errorf("got %d %s", res.StatusCode, index)
	}
	g.publish("cam", videoAudio(), sps1080) // replaces the other one
	eventually(t, "the third stream", func() bool {
		_, index := g.get("/cam/index.m3u8")
		return strings.Contains(index, "1920x1080") && strings.Contains(index, "mp4a")
	})
}

// The parameters change in the middle of a stream.
func TestParametersChange(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{Variant: FMP4}, nil)
	pub, err := g.Publish(t.Context(), "cam", videoAudio()[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	got := make(chan string, 1)
	n := 0
	write := func(sps string, want string) {
		asking := false
		for found := false; !found; n++ {
			pub.Write(0, videoUnit(n, sps, 10))
			select {
			case index := <-got:
				found, asking = strings.Contains(index, want), false
			case <-time.After(time.Second / fps):
			}
			if n%fps == fps-1 && !found && !asking {
				asking = true
				go func() { _, index := g.get("/cam/index.m3u8"); got <- index }()
			}
			if n > 30*fps {
				t.Fatalf("no %s", want)
			}
		}
	}
	write(sps1080, "1920x1080")
	n = (n + keyEvery) / keyEvery * keyEvery
	write(sps48, "64x48")
	if !strings.Contains(g.log.String(), "parameters of the codec changed") {
		t.Error("no line in the log")
	}
}

func TestTimeJump(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{Variant: FMP4}, nil)
	pub, err := g.Publish(t.Context(), "cam", videoAudio()[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	index := make(chan string, 1)
	go func() { _, b := g.get("/cam/index.m3u8"); index <- b }()
	eventually(t, "muxer", func() bool { return g.muxer() != nil })
	for n := 0; ; n++ {
		u := videoUnit(n, sps1080, 10)
		if n >= fps {
			u.PTS += 90000 * 3600
		}
		pub.Write(0, u)
		select {
		case got := <-index:
			if !strings.Contains(got, "1920x1080") {
				t.Errorf("got %s", got)
			}
			if !strings.Contains(g.log.String(), "jumped") && n > fps {
				t.Error("no line in the log")
			}
			return
		case <-time.After(time.Second / fps):
		}
		if n > 20*fps {
			t.Fatal("no playlist")
		}
	}
}

func TestMuxerEnds(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{MuxerCloseAfter: 300 * time.Millisecond}, nil)
	g.publish("cam", videoAudio(), sps1080)
	if g.muxer() != nil {
		t.Error("a muxer without viewers")
	}
	g.get("/cam/index.m3u8")
	if g.muxer() == nil {
		t.Fatal("no muxer")
	}
	eventually(t, "end of the muxer", func() bool { return g.muxer() == nil })
	for p := range g.Paths() {
		if len(p.Readers) != 0 {
			t.Errorf("readers: %+v", p.Readers)
		}
	}
	if res, _ := g.get("/cam/index.m3u8"); res.StatusCode != 200 {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
	for i := range g.Sessions("hlsMuxer") {
		if err := g.Kick("hlsMuxer", i.ID); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "kicked", func() bool { return g.muxer() == nil })
}

func TestAlwaysRemux(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{AlwaysRemux: true, MuxerCloseAfter: 200 * time.Millisecond}, nil)
	stop := g.publish("cam", videoAudio(), sps1080)
	eventually(t, "muxer", func() bool { return g.muxer() != nil })
	time.Sleep(300 * time.Millisecond) // longer than MuxerCloseAfter
	if g.muxer() == nil {
		t.Error("the muxer has ended")
	}
	g.get("/cam/index.m3u8")
	readers := func() (n int) {
		for p := range g.Paths() {
			n += len(p.Readers)
		}
		return n
	}
	if readers() != 1 {
		t.Error("who watches is not a reader")
	}
	eventually(t, "end of the reader", func() bool { return readers() == 0 })
	stop()
	eventually(t, "end of the muxer", func() bool { return g.muxer() == nil })
	for range 5 {
		stop := g.publish("cam", videoAudio(), sps48)
		eventually(t, "muxer", func() bool { return g.muxer() != nil })
		stop()
	}
	g.publish("cam", videoAudio(), sps48)
	eventually(t, "another muxer", func() bool { return g.muxer() != nil })
	if _, index := g.get("/cam/index.m3u8"); !strings.Contains(index, "64x48") {
		t.Errorf("got %s", index)
	}
}

// A source that runs on demand is started by the first request, and stopped
// after the last.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	for _, always := range []bool{false, true} {
		src := &tickerSource{}
		g := newRig(t, Server{AlwaysRemux: always, MuxerCloseAfter: 300 * time.Millisecond}, nil, router.PathConfig{
			Name: "cam", Source: src, OnDemand: router.OnDemand{Enabled: true},
		})
		if res, body := g.get("/cam/index.m3u8"); res.StatusCode != 200 {
			t.Errorf("got %d %s", res.StatusCode, body)
		}
		eventually(t, "end of the source", func() bool {
			p, ok := g.Path("cam")
			return ok && p.Stream() == nil
		})
		eventually(t, "end of the muxer", func() bool { return g.muxer() == nil })
	}
}

func TestProtocolSuite(t *testing.T) {
	t.Parallel()
	addr := routertest.FreeAddr(t)
	routertest.TestProtocol(t, func() router.Protocol { return &Server{HTTP: listenOn(addr)} })
}

// A hook that comes when the server is over makes no muxer, which nobody would
// wait for.
func TestHookAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := &server{muxers: map[string]*muxer{}}
	s.finish()
	s.always("cam")
	if len(s.muxers) != 0 {
		t.Error("there is a muxer")
	}
}

// Who asks for what does not exist does not fill the log.
func TestNoStreamNoLines(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	for range 3 {
		if res, _ := g.get("/cam/index.m3u8"); res.StatusCode != 404 {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	g.publish("cam", videoAudio(), sps1080)
	g.get("/cam/index.m3u8")
	if n := strings.Count(g.log.String(), `msg="muxer created"`); n != 1 {
		t.Errorf("%d muxers in the log", n)
	}
}

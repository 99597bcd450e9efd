//go:build e2e

package srt

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
	srcsrt "github.com/org/mtx/source/srt"
)

func (g *rig) url(streamID, more string) string {
	return "srt://" + g.addr + "?mode=caller&streamid=" + streamID + more
}

func ffmpeg(args ...string) []string {
	return append([]string{"-hide_banner", "-loglevel", "error", "-nostdin", "-y"}, args...)
}

// source is a file of 40 seconds, more than any test takes, in which every picture differs.
func source(t *testing.T, codecs ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "source.ts")
	e2e.Run(t, "ffmpeg", ffmpeg(slices.Concat([]string{
		"-f", "lavfi", "-i", "testsrc2=size=176x144:rate=25:duration=40", "-f", "lavfi", "-i", "sine=sample_rate=48000:duration=40",
		"-pix_fmt", "yuv420p", "-shortest",
	}, codecs, []string{"-f", "mpegts", name})...)...)
	return name
}

// probe is what ffprobe tells about a file.
type probe struct {
	Streams []struct {
		CodecName  string `json:"codec_name"`
		ReadFrames string `json:"nb_read_frames"`
	}
	Packets []struct {
		StreamIndex int    `json:"stream_index"`
		PTS         int64  `json:"pts"`
		DTS         int64  `json:"dts"`
		PTSTime     string `json:"pts_time"`
		Flags       string
	}
}

// check reads a recording: codecs, decodable pictures, time stamps that rise,
// and tracks that begin together, as far as the interleaving of the publisher allows.
func check(t *testing.T, file string, codecs []string, pictures int) {
	t.Helper()
	var p probe
	out, _ := e2e.Run(t, "ffprobe", "-v", "error", "-of", "json", "-count_frames", "-show_streams", "-show_packets", file)
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range p.Streams {
		names = append(names, s.CodecName)
	}
	if !slices.Equal(names, codecs) {
		t.Fatalf("codecs: %v, want %v", names, codecs)
	}
	if n, _ := strconv.Atoi(p.Streams[0].ReadFrames); n < pictures {
		t.Errorf("%d pictures, want %d", n, pictures)
	}
	last, first := map[int]int64{}, map[int]float64{}
	for _, k := range p.Packets {
		if l, ok := last[k.StreamIndex]; ok && k.DTS <= l {
			t.Errorf("stream %d: DTS %d after %d", k.StreamIndex, k.DTS, l)
		}
		last[k.StreamIndex] = k.DTS
		if _, ok := first[k.StreamIndex]; !ok {
			first[k.StreamIndex], _ = strconv.ParseFloat(k.PTSTime, 64)
			if k.StreamIndex == 0 && !strings.Contains(k.Flags, "K") {
				t.Error("it does not begin with a key frame")
			}
		}
	}
	if len(first) == 2 {
		if d := first[0] - first[1]; d > 0.6 || d < -0.6 {
			t.Errorf("video begins %.3f s after audio", d)
		}
	}
}

// ffmpeg publishes and reads every codec, and what is decoded is what was encoded.
func TestFFmpeg(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg", "ffprobe")
	for _, ca := range []struct {
		name, passphrase string
		encode, codecs   []string
	}{
		{"h264 with B-frames and aac", "", strings.Fields("-c:v libx264 -preset ultrafast -bf 2 -g 25 -c:a aac"), []string{"h264", "aac"}},
		{"encrypted", "a-long-passphrase", strings.Fields("-c:v libx264 -preset ultrafast -g 25 -c:a aac"), []string{"h264", "aac"}},
		{"h265 and opus", "", strings.Fields("-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25:bframes=2 -c:a libopus"), []string{"hevc", "opus"}},
		{"mpeg-4 video with B-frames and mp3", "", strings.Fields("-c:v mpeg4 -bf 2 -g 25 -c:a libmp3lame"), []string{"mpeg4", "mp3"}},
		{"mpeg-2 video with B-frames and ac-3", "", strings.Fields("-c:v mpeg2video -bf 2 -g 25 -c:a ac3"), []string{"mpeg2video", "ac3"}},
		{"mpeg-1 video and mp2", "", strings.Fields("-c:v mpeg1video -g 25 -c:a mp2"), []string{"mpeg1video", "mp2"}},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			cfg := anyPath()
			cfg.Paths[0].Extras = []any{PathOptions{PublishPassphrase: ca.passphrase, ReadPassphrase: ca.passphrase}}
			g := newRig(t, cfg)
			more := ""
			if ca.passphrase != "" {
				more = "&pbkeylen=32&passphrase=" + ca.passphrase
			}
			file := source(t, ca.encode...)
			e2e.Start(t, "ffmpeg", ffmpeg("-re", "-i", file, "-c", "copy", "-f", "mpegts", g.url("publish:s", more+"&pkt_size=1316"))...)
			routertest.WaitReady(t, g.r, "s")
			out := filepath.Join(t.TempDir(), "out.ts")
			e2e.Run(t, "ffmpeg", ffmpeg("-i", g.url("read:s", more), "-c", "copy", "-t", "4", out)...)
			check(t, out, ca.codecs, 75)
			compare(t, file, out)
			if n := g.log.Count("level=WARN"); n > 0 {
				t.Error(g.log)
			}
		})
	}
}

// compare checks that the pictures of a recording are a run of those of its source.
func compare(t *testing.T, src, rec string) {
	t.Helper()
	hashes := func(file string) []string {
		text, _ := e2e.Run(t, "ffmpeg", ffmpeg("-i", file, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-")...)
		var out []string
		for line := range strings.Lines(text) {
			if f := strings.Split(line, ","); len(f) >= 6 && !strings.HasPrefix(line, "#") {
				out = append(out, strings.TrimSpace(f[5]))
			}
		}
		return out
	}
	want, got := hashes(src), hashes(rec)
	if len(got) < 50 {
		t.Fatalf("%d pictures", len(got))
	}
	got = got[:len(got)-3] // the last ones miss those that they refer to
	first := slices.Index(want, got[0])
	if first < 0 || first+len(got) > len(want) || !slices.Equal(want[first:first+len(got)], got) {
		t.Errorf("the pictures differ, or some are missing (the first one is number %d)", first)
	}
}

// Programs of libsrt publish and read over networks that lose 5 % of all datagrams.
// The other tests wait: who gets no processor for a second loses packets.
func TestLossyPrograms(t *testing.T) {
	e2e.Needs(t, "ffmpeg", "ffprobe", "srt-live-transmit")
	file := source(t, strings.Fields("-c:v libx264 -preset ultrafast -bf 2 -g 25 -c:a aac")...)
	for i, passphrase := range []string{"", "a-long-passphrase"} {
		t.Run(fmt.Sprintf("encrypted=%v", passphrase != ""), func(t *testing.T) {
			t.Parallel()
			cfg := anyPath()
			cfg.Paths[0].Extras = []any{PathOptions{PublishPassphrase: passphrase, ReadPassphrase: passphrase}}
			g := newRigWith(t, cfg, &Server{Addr: "127.0.0.1:0", Latency: lossyLatency})
			more := ""
			if passphrase != "" {
				more = "&pbkeylen=24&passphrase=" + passphrase
			}
			in, inNet := g.network(uint64(100 * i))
			e2e.Start(t, "ffmpeg", ffmpeg("-re", "-i", file, "-c", "copy", "-f", "mpegts", in.url("publish:s", more+"&pkt_size=1316"))...)
			routertest.WaitReady(t, g.r, "s")
			for k, name := range []string{"ffmpeg", "srt-live-transmit"} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					far, outNet := g.network(uint64(100*i + 1 + k))
					out := filepath.Join(t.TempDir(), "out.ts")
					if name == "ffmpeg" {
						e2e.Run(t, "ffmpeg", ffmpeg("-i", far.url("read:s", more), "-c", "copy", "-t", "8", out)...)
					} else {
						record(t, far.url("read:s", more), out, "11")
					}
					check(t, out, []string{"h264", "aac"}, 150)
					compare(t, file, out)
					if n := outNet.Counts(); n.Lost < 10 {
						t.Errorf("the network was too good: %+v", n)
					}
				})
			}
			t.Cleanup(func() {
				if n := inNet.Counts(); n.Lost < 10 {
					t.Errorf("the network was too good: %+v", n)
				}
				if p, _ := g.r.Path("s"); p.Info().InErrors != 0 {
					t.Errorf("%d errors in what was published", p.Info().InErrors)
				}
			})
		})
	}
}

// record makes srt-live-transmit write a file for some seconds.
func record(t *testing.T, url, file, seconds string) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command("timeout", seconds, "srt-live-transmit", "-q", url, "file://con")
	cmd.Stdout = out
	_ = cmd.Run() // it is interrupted
}

// Programs of libsrt and GStreamer, both ways.
func TestOtherClients(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg", "ffprobe", "srt-live-transmit", "gst:srtsink", "gst:srtsrc", "gst:x264enc", "gst:mpegtsmux")
	publishers := map[string]func(t *testing.T, url string){
		"srt-live-transmit": func(t *testing.T, url string) {
			addr := freeUDP(t)
			e2e.Start(t, "srt-live-transmit", "-q", "udp://"+addr, url)
			e2e.Start(t, "ffmpeg", ffmpeg("-re", "-i", source(t, "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac"), "-c", "copy",
				"-f", "mpegts", "udp://"+addr+"?pkt_size=1316")...)
		},
		"gstreamer": func(t *testing.T, url string) {
			args := "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 ! x264enc tune=zerolatency key-int-max=25 ! h264parse ! mpegtsmux name=m alignment=7 " +
				"audiotestsrc is-live=true ! audioconvert ! avenc_aac ! aacparse ! m. m. ! srtsink wait-for-connection=false uri=" + url
			e2e.Start(t, "gst-launch-1.0", append([]string{"-q"}, strings.Fields(args)...)...)
		},
	}
	readers := map[string]func(t *testing.T, url, file string){
		"srt-live-transmit": func(t *testing.T, url, file string) { record(t, url, file, "6") },
		"gstreamer": func(_ *testing.T, url, file string) {
			_ = exec.Command("timeout", "-s", "INT", "6", "gst-launch-1.0", "-q", "-e", "srtsrc", "uri="+url, "!", "filesink", "location="+file).Run()
		},
	}
	for _, passphrase := range []string{"", "a-long-passphrase"} {
		for pub, publish := range publishers {
			t.Run(fmt.Sprintf("%s/encrypted=%v", pub, passphrase != ""), func(t *testing.T) {
				t.Parallel()
				cfg := anyPath()
				cfg.Paths[0].Extras = []any{PathOptions{PublishPassphrase: passphrase, ReadPassphrase: passphrase}}
				g := newRig(t, cfg)
				more := ""
				if passphrase != "" {
					more = "&pbkeylen=16&passphrase=" + passphrase
				}
				publish(t, g.url("publish:s", more))
				routertest.WaitReady(t, g.r, "s")
				for rd, read := range readers {
					t.Run(rd, func(t *testing.T) {
						t.Parallel()
						file := filepath.Join(t.TempDir(), "out.ts")
						read(t, g.url("read:s", more), file)
						check(t, file, []string{"h264", "aac"}, 75)
					})
				}
			})
		}
	}
}

// Sources call ffmpeg and are called by it; a sink calls ffmpeg.
func TestSourceAndForward(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg", "ffprobe")
	file := source(t, "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-c:a", "aac")
	pictures := func(t *testing.T, g *rig) {
		t.Helper()
		routertest.WaitReady(t, g.r, "s")
		out := filepath.Join(t.TempDir(), "out.ts")
		e2e.Run(t, "ffmpeg", ffmpeg("-i", g.url("read:s", ""), "-c", "copy", "-t", "3", out)...)
		check(t, out, []string{"h264", "aac"}, 50)
		compare(t, file, out)
	}
	pull := func(url string) router.Config {
		return router.Config{SourceRetryPause: 200 * time.Millisecond, Paths: []router.PathConfig{{Name: "s", Source: srcsrt.Source{URL: url}}}}
	}
	t.Run("caller", func(t *testing.T) {
		t.Parallel()
		addr := freeUDP(t)
		e2e.Start(t, "ffmpeg", ffmpeg("-re", "-i", file, "-c", "copy", "-f", "mpegts", "srt://"+addr+"?mode=listener&passphrase=a-long-passphrase&pkt_size=1316")...)
		pictures(t, newRig(t, pull("srt://"+addr+"?passphrase=a-long-passphrase&latency=100")))
	})
	t.Run("listener", func(t *testing.T) {
		t.Parallel()
		addr := freeUDP(t)
		g := newRig(t, pull("srt://"+addr+"?mode=listener&passphrase=a-long-passphrase"))
		e2e.Start(t, "ffmpeg", ffmpeg("-re", "-i", file, "-c", "copy", "-f", "mpegts", "srt://"+addr+"?mode=caller&passphrase=a-long-passphrase&pkt_size=1316")...)
		pictures(t, g)
	})
	t.Run("forward", func(t *testing.T) {
		t.Parallel()
		addr := freeUDP(t)
		out := filepath.Join(t.TempDir(), "out.ts")
		done := make(chan struct{})
		go func() {
			defer close(done)
			e2e.Run(t, "ffmpeg", ffmpeg("-i", "srt://"+addr+"?mode=listener&passphrase=a-long-passphrase", "-c", "copy", "-t", "3", out)...)
		}()
		cfg := anyPath()
		cfg.SourceRetryPause = 200 * time.Millisecond
		cfg.Paths[0].Sinks = []router.Sink{Forward{URL: "srt://" + addr + "?passphrase=a-long-passphrase&pbkeylen=24"}}
		g := newRig(t, cfg)
		e2e.Start(t, "ffmpeg", ffmpeg("-re", "-i", file, "-c", "copy", "-f", "mpegts", g.url("publish:s", ""))...)
		<-done
		check(t, out, []string{"h264", "aac"}, 50)
		compare(t, file, out)
	})
}

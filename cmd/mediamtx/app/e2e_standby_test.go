//go:build e2e

package app_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/org/mtx/router/media"
)

// A reader of each protocol sees offline, online, offline, online without
// reconnecting: pictures of both kinds, with time stamps that grow without holes.
func TestStandbyReaders(t *testing.T) {
	needs(t, "ffmpeg")
	src := makeSource(t, "176x144", h264aac...)
	file := filepath.Join(t.TempDir(), "offline.mp4")
	run(t, "ffmpeg", ffmpeg(slices.Concat(strings.Fields("-f lavfi -i color=c=red:s=176x144:r=25:d=2 -f lavfi -i anullsrc=r=48000:cl=mono -shortest"),
		h264aac, []string{"-pix_fmt", "yuv420p", file})...)...)
	for _, by := range []struct{ protocol, variant string }{{"rtsp", "mpegts"}, {"rtmp", "lowLatency"}, {"srt", "fmp4"}} {
		t.Run("by "+by.protocol, func(t *testing.T) {
			takeSlot(t)
			in := startCommand(t, ports{}, fmt.Sprintf(
				"webrtc: no\nhlsVariant: %s\nhlsAlwaysRemux: yes\npaths:\n  cam:\n    alwaysAvailable: yes\n    alwaysAvailableFile: %s\n", by.variant, file))
			protocols := []string{"rtsp", "rtmp", "srt", "hls"}
			var readers []*program
			for _, protocol := range protocols {
				readers = append(readers, launch(t, "ffmpeg", ffmpeg(append(in.input(protocol, "cam"),
					strings.Fields("-map 0:v:0 -map 0:a:0 -c:v rawvideo -fps_mode passthrough -enc_time_base:v 1:1000 -f framemd5 -flush_packets 1 -")...)...)...))
			}
			kinds := func(r *program) string { return standbyKinds(src, rows(r.stdout.String(), 0)) }
			wait := func(want string) {
				t.Helper()
				for i, r := range readers {
					eventually(t, protocols[i]+" sees "+want, func() bool {
						select {
						case <-r.done:
							t.Fatalf("%s: the reader ended: %v", protocols[i], r.err)
						default:
						}
						return strings.HasPrefix(kinds(r), want)
					})
				}
			}
			wait("o")
			for _, want := range []string{"oi", "oio", "oioi", "oioio"} {
				if strings.HasSuffix(want, "o") {
					wait(want)
					continue
				}
				p := in.publish(t, by.protocol, "cam", src)
				wait(want)
				p.stop()
			}
			for i, r := range readers {
				r.stop()
				checkStandbyTimes(t, protocols[i], r.stdout.String())
			}
		})
	}
}

// standbyKinds tells offline (o) and online (i) apart; each letter stands for
// some pictures of this kind.
func standbyKinds(src *source, list [][]string) string {
	var b strings.Builder
	last, n := byte(0), 0
	for _, row := range list {
		kind := byte('o')
		if src.index(strings.TrimSpace(row[5])) >= 0 {
			kind = 'i'
		}
		if kind != last {
			last, n = kind, 0
		}
		if n++; n == 20 {
			b.WriteByte(kind)
		}
	}
	return b.String()
}

// checkStandbyTimes checks that time stamps grow, without large holes. Two pictures
// may be shown at once: a publisher of RTSP corrects its time when its first sender
// report arrives, which is a moment after its first key frame.
func checkStandbyTimes(t *testing.T, who, out string) {
	t.Helper()
	for stream, hole := range []float64{1.5, 1.5} {
		list := moments(t, out, stream)
		worst := 0.0
		for i := 1; i < len(list); i++ {
			d := list[i].seconds - list[i-1].seconds
			if d < 0 || d == 0 && stream == 1 {
				t.Errorf("%s, stream %d: time stamp %d goes back by %.3f s", who, stream, i, -d)
			}
			worst = max(worst, d)
		}
		t.Logf("%s, stream %d: %d frames, largest hole %.3f s", who, stream, len(list), worst)
		if worst > hole {
			t.Errorf("%s, stream %d: a hole of %.3f s", who, stream, worst)
		}
	}
}

// Every built-in segment is decoded without complaints.
func TestStandbyCodecs(t *testing.T) {
	needs(t, "ffmpeg")
	for ca, protocol := range map[string]string{
		"{codec: H264}, {codec: MPEG4Audio, sampleRate: 44100, channelCount: 2}":     "rtsp",
		"{codec: H265}, {codec: LPCM, sampleRate: 48000, channelCount: 2}":           "rtsp",
		"{codec: VP9}, {codec: G711, sampleRate: 8000, channelCount: 1, muLaw: yes}": "rtsp",
		"{codec: AV1}, {codec: Opus}":                                                "hls", // FFmpeg has no AV1 by RTSP
		"{codec: H264}, {codec: MPEG4Audio, sampleRate: 48000, channelCount: 6}":     "srt",
		"{codec: H264}, {codec: G711, sampleRate: 16000, channelCount: 2}":           "rtsp",
		"{codec: H264}, {codec: Opus, channelCount: 1}":                              "srt",
	} {
		t.Run(ca, func(t *testing.T) {
			takeSlot(t)
			in := startCommand(t, ports{}, "webrtc: no\nhlsVariant: fmp4\npaths:\n  cam:\n    alwaysAvailable: yes\n    alwaysAvailableTracks: ["+ca+"]\n")
			p := launch(t, "ffmpeg", ffmpeg(append(in.input(protocol, "cam"), strings.Fields("-t 4 -map 0 -f framemd5 -")...)...)...)
			p.wait(t)
			if e := p.stderr.String(); strings.Contains(strings.ToLower(e), "error") || strings.Contains(e, "invalid") {
				t.Errorf("FFmpeg complains: %s", e)
			}
			for stream, least := range []int{90, 50} {
				if n := len(rows(p.stdout.String(), stream)); n < least {
					t.Errorf("stream %d: %d frames", stream, n)
				}
			}
		})
	}
}

// Files as FFmpeg makes them, with edit lists for reordered pictures and for the priming of
// encoders of audio, are decoded without complaints, also where they begin again.
func TestStandbyFiles(t *testing.T) {
	needs(t, "ffmpeg")
	const reordered = "-c:v libx264 -preset ultrafast -bf 2 -g 25 -pix_fmt yuv420p "
	for name, ca := range map[string]struct{ codecs, protocol string }{
		"h264 and aac.mp4":                {reordered + "-c:a aac", "rtsp"},
		"fragments.mp4":                   {reordered + "-c:a aac -movflags frag_keyframe+empty_moov", "srt"},
		"h264 and mu-law.mov":             {reordered + "-c:a pcm_mulaw -ar 8000", "rtsp"},
		"h264 and A-law.mov":              {reordered + "-c:a pcm_alaw -ar 8000", "rtsp"},
		"h264 and little-endian LPCM.mov": {reordered + "-c:a pcm_s16le", "rtsp"},
		"h264 and MP3.mp4":                {reordered + "-c:a libmp3lame", "rtmp"},
		"h264 and FLAC.mp4":               {reordered + "-c:a flac -strict -2", "hls"},
		"MPEG-4 and Opus.mp4":             {"-c:v mpeg4 -g 25 -c:a libopus", "rtsp"},
	} {
		t.Run(name, func(t *testing.T) {
			takeSlot(t)
			file := filepath.Join(t.TempDir(), name)
			run(t, "ffmpeg", ffmpeg(slices.Concat(strings.Fields("-f lavfi -i testsrc2=size=176x144:rate=25:duration=2 -f lavfi -i sine=frequency=440:sample_rate=48000:duration=2"),
				strings.Fields(ca.codecs), []string{file})...)...)
			in := startCommand(t, ports{}, fmt.Sprintf("webrtc: no\nhlsVariant: fmp4\npaths:\n  cam:\n    alwaysAvailable: yes\n    alwaysAvailableFile: '%s'\n", file))
			p := launch(t, "ffmpeg", ffmpeg(append(in.input(ca.protocol, "cam"), strings.Fields("-t 7 -map 0:v:0 -map 0:a:0 -f framemd5 -")...)...)...)
			p.wait(t)
			if e := p.stderr.String(); strings.Contains(strings.ToLower(e), "error") || strings.Contains(e, "invalid") {
				t.Errorf("FFmpeg complains: %s", e)
			}
			for stream, least := range []int{160, 70} {
				if n := len(rows(p.stdout.String(), stream)); n < least {
					t.Errorf("stream %d: %d frames", stream, n)
				}
			}
			checkStandbyTimes(t, name, p.stdout.String())
		})
	}
}

// A publisher that comes back in time, and a source that fails, disturb no reader.
func TestStandbyWithoutSegment(t *testing.T) {
	needs(t, "ffmpeg")
	src := makeSource(t, "176x144", h264aac...)
	read := func(t *testing.T, in *instance) []*program {
		var readers []*program
		for _, protocol := range []string{"rtsp", "rtmp", "srt", "hls"} {
			readers = append(readers, launch(t, "ffmpeg", ffmpeg(append(in.input(protocol, "cam"),
				strings.Fields("-map 0:v:0 -map 0:a:0 -c:v rawvideo -fps_mode passthrough -enc_time_base:v 1:1000 -f framemd5 -flush_packets 1 -")...)...)...))
		}
		return readers
	}
	// more waits until each reader shows more pictures.
	more := func(t *testing.T, readers []*program) {
		t.Helper()
		for i, r := range readers {
			seen := len(rows(r.stdout.String(), 0))
			eventually(t, fmt.Sprintf("reader %d goes on", i), func() bool {
				select {
				case <-r.done:
					t.Fatalf("reader %d ended: %v", i, r.err)
				default:
				}
				return len(rows(r.stdout.String(), 0)) > seen+50
			})
		}
	}
	t.Run("publisherGracePeriod", func(t *testing.T) {
		takeSlot(t)
		in := startCommand(t, ports{}, "webrtc: no\nhlsVariant: fmp4\nhlsAlwaysRemux: yes\npaths:\n  cam:\n    publisherGracePeriod: 30s\n")
		publisher := in.publish(t, "rtsp", "cam", src)
		readers := read(t, in)
		more(t, readers)
		for _, by := range []string{"rtmp", "srt"} { // it may even come by another protocol
			publisher.stop()
			p, _ := in.router.Path("cam")
			eventually(t, "the publisher is gone", func() bool { return !p.Info().Online })
			publisher = in.publish(t, by, "cam", src)
			more(t, readers)
		}
	})
	t.Run("sources", func(t *testing.T) {
		takeSlot(t)
		first := freePorts(t)
		main, backup := startCommand(t, first, "webrtc: no\n"), startCommand(t, ports{}, "webrtc: no\n")
		main.publish(t, "rtsp", "cam", src)
		backup.publish(t, "rtsp", "cam", src)
		in := startCommand(t, ports{}, fmt.Sprintf("webrtc: no\nhlsVariant: fmp4\nhlsAlwaysRemux: yes\npaths:\n  cam:\n    rtspTransport: tcp\n    sources: ['%s', '%s']\n",
			main.readURL("rtsp", "cam"), backup.readURL("rtmp", "cam")))
		in.waitReady(t, "cam")
		p, _ := in.router.Path("cam")
		from := func(typ string) {
			t.Helper()
			eventually(t, "the stream comes from "+typ, func() bool { i := p.Info(); return i.Online && i.Source.Type == typ })
		}
		from("rtspSource")
		readers := read(t, in)
		more(t, readers)
		main.stop()
		from("rtmpSource")
		more(t, readers)
		startCommand(t, first, "webrtc: no\n").publish(t, "rtsp", "cam", src)
		from("rtspSource")
		more(t, readers)
	})
}

// Sources of a path that differ. Pictures of another size are the same stream, which
// readers go on with; other tracks are another stream, and readers are told that theirs is
// over, no earlier than at the first key frame of the new one.
func TestStandbySourcesDiffer(t *testing.T) {
	needs(t, "ffmpeg")
	small := makeSource(t, "176x144", h264aac...)
	large := makeSource(t, "320x240", h264aac...)
	mono := makeSource(t, "320x240", append(slices.Clone(h264aac), "-ac", "1", "-ar", "24000")...)
	scaled := strings.Fields("-map 0:v:0 -vf scale=64:48 -c:v rawvideo -fps_mode passthrough -f framemd5 -flush_packets 1 -")
	for _, other := range []struct {
		name   string
		backup *source
		same   bool
	}{{"size", large, true}, {"tracks", mono, false}} {
		t.Run(other.name, func(t *testing.T) {
			takeSlot(t)
			first := freePorts(t)
			main, backup := startCommand(t, first, "webrtc: no\n"), startCommand(t, ports{}, "webrtc: no\n")
			main.publish(t, "rtsp", "cam", small)
			backup.publish(t, "rtsp", "cam", other.backup)
			in := startCommand(t, ports{}, fmt.Sprintf("webrtc: no\nhlsVariant: fmp4\nhlsAlwaysRemux: yes\npaths:\n  cam:\n    rtspTransport: tcp\n    sources: ['%s', '%s']\n",
				main.readURL("rtsp", "cam"), backup.readURL("rtmp", "cam")))
			in.waitReady(t, "cam")
			p, _ := in.router.Path("cam")
			protocols := []string{"rtsp", "rtmp", "srt", "hls"}
			if !other.same {
				protocols = protocols[:3] // of HLS, the client finds out by itself
			}
			var readers []*program
			read := func() {
				readers = nil
				for _, protocol := range protocols {
					readers = append(readers, launch(t, "ffmpeg", ffmpeg(append(in.input(protocol, "cam"), scaled...)...)...))
				}
			}
			more := func() {
				t.Helper()
				for i, r := range readers {
					seen := len(rows(r.stdout.String(), 0))
					eventually(t, protocols[i]+" goes on", func() bool {
						select {
						case <-r.done:
							t.Fatalf("%s: the reader ended: %v", protocols[i], r.err)
						default:
						}
						return len(rows(r.stdout.String(), 0)) > seen+50
					})
				}
			}
			change := func(to string, f func()) {
				t.Helper()
				stream := p.Stream()
				f()
				eventually(t, "the stream comes from "+to, func() bool { i := p.Info(); return i.Online && i.Source.Type == to })
				if same := p.Stream() == stream; same != other.same {
					t.Errorf("the same stream: %v", same)
				}
				if !other.same {
					for i, r := range readers {
						eventually(t, protocols[i]+" is told", func() bool {
							select {
							case <-r.done:
								return true
							default:
								return false
							}
						})
					}
					read()
				}
				more()
			}
			read()
			more()
			change("rtmpSource", main.stop)
			change("rtspSource", func() { startCommand(t, first, "webrtc: no\n").publish(t, "rtsp", "cam", small) })
		})
	}
}

// A reader of WebRTC, which is a source of another server, stays connected too.
func TestStandbyByWebRTC(t *testing.T) {
	needs(t, "ffmpeg")
	takeSlot(t)
	src := makeSource(t, "176x144", strings.Fields("-c:v libx264 -preset ultrafast -profile:v baseline -bf 0 -g 25 -c:a libopus -ar 48000 -ac 2")...)
	in := startCommand(t, ports{}, "paths:\n  cam:\n    alwaysAvailable: yes\n    alwaysAvailableTracks: [{codec: H264}, {codec: Opus}]\n")
	eventually(t, "WebRTC listens", func() bool { return len(in.router.ProtocolAddrs("webrtc")) > 0 })
	reader := startCommand(t, ports{}, fmt.Sprintf("paths:\n  cam:\n    source: whep://127.0.0.1:%s/cam/whep\n",
		portOf(t, in.router.ProtocolAddrs("webrtc")[0].String())))
	reader.waitReady(t, "cam")
	p, _ := reader.router.Path("cam")
	stream := p.Stream()
	size := func() string { return fmt.Sprintf("%+v", media.Props(stream.Tracks()[0].Codec)) }
	goesOn := func() {
		t.Helper()
		seen := p.Info().In
		eventually(t, "the reader gets more", func() bool { return p.Info().In > seen+50_000 })
		if stream.Err() != nil {
			t.Fatalf("the reader was disconnected: %v", stream.Err())
		}
	}
	goesOn()
	offline := size()
	for range 2 {
		publisher := in.publish(t, "rtsp", "cam", src)
		eventually(t, "the reader sees the publisher", func() bool { return size() != offline })
		goesOn()
		publisher.stop()
		eventually(t, "the reader sees the offline segment", func() bool { return size() == offline })
		goesOn()
	}
}

//go:build e2e

package app_test

import (
	"strings"
	"testing"
)

// Codecs beside those of TestMatrix, each through every protocol that carries it
// and that FFmpeg can speak.
func TestMatrixCodecs(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	for _, ca := range []struct {
		codecs  string // as the router names them
		encode  string
		from    []string
		to      []string
		variant string
	}{
		{"MPEG-1/2 Video+AC3", "-c:v mpeg2video -bf 2 -g 25 -sc_threshold 1000000000 -c:a ac3 -ar 48000", []string{"srt", "udp"}, []string{"rtsp", "srt"}, "mpegts"},
		{"MPEG-4 Video+MPEG-1/2 Audio", "-c:v mpeg4 -bf 2 -g 25 -sc_threshold 1000000000 -c:a libmp3lame -ar 48000", []string{"srt", "udp", "rtsp"}, []string{"rtsp", "srt"}, "mpegts"},
		{"H264+Opus", "-c:v libx264 -preset ultrafast -bf 2 -b_strategy 0 -g 25 -sc_threshold 0 -c:a libopus -ar 48000", []string{"srt", "udp"}, []string{"rtsp", "srt", "hls"}, "fmp4"},
		{"H264+MPEG-1/2 Audio", "-c:v libx264 -preset ultrafast -bf 2 -b_strategy 0 -g 25 -sc_threshold 0 -c:a libmp3lame -ar 44100", []string{"srt", "rtmp"}, []string{"rtsp", "rtmp", "srt"}, "mpegts"},
		{"VP9+Opus", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -b:v 400k -c:a libopus -ar 48000", []string{"rtsp"}, []string{"rtsp", "rtsp-udp", "hls"}, "fmp4"},
	} {
		t.Run(ca.codecs, func(t *testing.T) {
			t.Parallel()
			src := makeSource(t, "176x144", strings.Fields(ca.encode)...)
			// MPEG-TS and RTP cut AC-3 and MPEG-1 Audio in other ways
			src.exactAudio = !strings.Contains(ca.codecs, "AC3")
			for _, protocol := range ca.from {
				t.Run("by "+protocol, func(t *testing.T) {
					takeSlot(t)
					in, to := startFor(t, protocol, "hlsVariant: "+ca.variant+"\n")
					in.publish(t, to, "cam", src)
					if got := in.codecs("cam"); got != ca.codecs {
						t.Errorf("codecs: %s", got)
					}
					in.readAll(t, "cam", ca.variant, src, ca.to...)
				})
			}
		})
	}
}

// H265 and Opus through enhanced RTMP, which FFmpeg 5 does not know. The command
// calls itself: what is published on "in" it publishes by RTMP on "forwarded",
// and reads by RTMP into "pulled".
func TestMatrixEnhanced(t *testing.T) {
	needs(t, "ffmpeg")
	takeSlot(t)
	src := makeSource(t, "176x144", h265opus...)
	p := ports{rtmp: freeTCP(t)}
	url := "rtmp://127.0.0.1:" + p.rtmp
	in := startCommand(t, p, "hlsVariant: fmp4\npaths:\n  forwarded:\n  in:\n    forward: ["+url+"/forwarded]\n"+
		"  pulled:\n    source: "+url+"/in\n    sourceOnDemand: yes\n")
	in.publish(t, "rtsp", "in", src)
	in.waitReady(t, "forwarded")
	for _, path := range []string{"forwarded", "pulled"} {
		in.readAll(t, path, "fmp4", src, "rtsp", "srt", "hls")
		if got := in.codecs(path); got != "H265+Opus" {
			t.Errorf("%s: codecs: %s", path, got)
		}
	}
}

// startFor runs a command for a protocol of TestMatrix, and returns what to give
// to publish for it.
func startFor(t *testing.T, protocol, more string) (in *instance, to string) {
	t.Helper()
	if protocol == "udp" {
		protocol = "udp+mpegts://127.0.0.1:" + freeUDP(t)
		more += "paths:\n  cam:\n    source: " + protocol + "\n"
	}
	return startCommand(t, ports{}, more), protocol
}

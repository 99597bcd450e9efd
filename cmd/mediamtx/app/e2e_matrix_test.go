//go:build e2e

package app_test

import (
	"fmt"
	"strings"
	"testing"
)

// The matrix: what is published by one protocol is read by every other, and is
// the same, picture by picture. Each kind of HLS needs a command of its own.
func TestMatrix(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	h264, h265 := makeSource(t, "176x144", h264aac...), makeSource(t, "176x144", h265opus...)
	others := []string{"rtsp", "rtsp-udp", "rtmp", "srt"}
	for _, ca := range []struct {
		src       *source
		codecs    string
		variant   string
		readers   []string
		protocols []string
	}{
		{h264, "H264+MPEG-4 Audio", "mpegts", append(others, "hls"), []string{"rtsp", "rtmp", "srt", "udp"}},
		{h264, "H264+MPEG-4 Audio", "fmp4", []string{"hls"}, []string{"rtsp", "rtmp", "srt", "udp"}},
		{h264, "H264+MPEG-4 Audio", "lowLatency", []string{"hls"}, []string{"rtsp", "rtmp", "srt", "udp"}},
		// this FFmpeg knows no enhanced RTMP: see TestMatrixEnhanced; and MPEG-TS
		// segments of HLS carry neither of these codecs
		{h265, "H265+Opus", "fmp4", []string{"rtsp", "rtsp-udp", "srt", "hls"}, []string{"rtsp", "srt", "udp"}},
		{h265, "H265+Opus", "lowLatency", []string{"hls"}, []string{"rtsp", "srt", "udp"}},
	} {
		for _, protocol := range ca.protocols {
			t.Run(fmt.Sprintf("%s by %s, %s", ca.codecs, protocol, ca.variant), func(t *testing.T) {
				takeSlot(t)
				in, to := startFor(t, protocol, "hlsVariant: "+ca.variant+"\n")
				in.publish(t, to, "cam", ca.src)
				if got := in.codecs("cam"); got != ca.codecs {
					t.Errorf("codecs: %s", got)
				}
				in.readAll(t, "cam", ca.variant, ca.src, ca.readers...)
			})
		}
	}
}

// readAll reads by several protocols at the same time, and checks each.
func (in *instance) readAll(t *testing.T, path, variant string, src *source, protocols ...string) {
	t.Helper()
	var programs []*program
	for _, protocol := range protocols {
		programs = append(programs, in.startRead(t, protocol, path, src))
	}
	for i, p := range programs {
		finish(t, strings.Replace(protocols[i], "hls", "hls "+variant, 1), p, src)
	}
}

//go:build e2e

package app_test

import (
	"strings"
	"testing"
	"time"
)

// A publisher comes back with other parameters. Those who read at that moment are
// told, by the end of their connection, or go on; those who come then get the new
// stream, by each protocol.
func TestMatrixRestart(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	before, after := makeSource(t, "176x144", h264aac...), makeSource(t, "320x240", h264aac...)
	protocols := []string{"rtsp", "rtmp", "srt", "hls"}
	for _, ca := range []struct{ protocol, variant string }{
		{"rtsp", "mpegts"}, {"rtmp", "fmp4"}, {"srt", "lowLatency"}, {"udp", "fmp4"},
	} {
		t.Run("by "+ca.protocol, func(t *testing.T) {
			takeSlot(t)
			in, to := startFor(t, ca.protocol, "hlsVariant: "+ca.variant+"\n")
			publisher := in.publish(t, to, "cam", before)
			var readers []*program
			for _, protocol := range protocols {
				readers = append(readers, launch(t, "ffmpeg", ffmpeg(append(in.input(protocol, "cam"),
					strings.Fields("-map 0:v:0 -c copy -f framemd5 -flush_packets 1 -")...)...)...))
			}
			for i, r := range readers {
				eventually(t, protocols[i]+" reads", func() bool { return len(rows(r.stdout.String(), 0)) > 5 })
			}
			publisher.stop()
			if ca.protocol != "udp" { // a source of UDP sees no end
				eventually(t, "the stream ends", func() bool { return !in.ready("cam") })
			}
			in.publish(t, to, "cam", after)
			again := time.Now()
			seen := make([]int, len(readers))
			for i, r := range readers {
				seen[i] = len(rows(r.stdout.String(), 0))
			}
			for i, r := range readers {
				how := ""
				eventually(t, protocols[i]+": the end, or more pictures", func() bool {
					select {
					case <-r.done:
						how = "was told"
						return true
					default:
						how = "goes on"
						return len(rows(r.stdout.String(), 0)) > seen[i]+2*keyInterval
					}
				})
				t.Logf("%s: %s after %v", protocols[i], how, time.Since(again).Round(100*time.Millisecond))
			}
			in.readAll(t, "cam", ca.variant, after, protocols...)
		})
	}
}

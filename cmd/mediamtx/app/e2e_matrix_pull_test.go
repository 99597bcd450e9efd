//go:build e2e

package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Each kind of source is pulled from a second command, which ends and comes back
// with another publisher. What a command does not send, MPEG-TS and RTP over UDP,
// FFmpeg makes of what it reads there.
func TestMatrixPull(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	src := makeSource(t, "176x144", h264aac...)
	for _, kinds := range [][]string{{"rtsp", "rtmp"}, {"srt", "hls"}, {"mpegts", "rtp"}} {
		t.Run(strings.Join(kinds, " and "), func(t *testing.T) {
			takeSlot(t)
			p := freePorts(t)
			upstream := startCommand(t, p, "hlsVariant: mpegts\n")
			publisher := upstream.publish(t, "rtsp", "cam", src)
			puller, udp := startPuller(t, upstream, kinds)
			senders := upstream.sendUDP(t, udp)
			puller.readPulled(t, kinds, src)

			for _, s := range senders {
				s.stop()
			}
			publisher.stop()
			upstream.stop()
			for _, kind := range kinds {
				eventually(t, kind+" is lost", func() bool { return !puller.ready(kind) })
			}
			upstream = startCommand(t, p, "hlsVariant: mpegts\n")
			upstream.publish(t, "rtsp", "cam", src)
			back := time.Now()
			upstream.sendUDP(t, udp)
			for _, kind := range kinds {
				puller.waitReady(t, kind)
				took := time.Since(back)
				t.Logf("%s is back after %v", kind, took.Round(100*time.Millisecond))
				// the pause is 5 s, the rest is for connecting, and waiting for a key frame or segments
				if took > 12*time.Second {
					t.Errorf("%s comes back only after %v", kind, took)
				}
			}
			puller.readPulled(t, kinds, src)
		})
	}
}

// startPuller runs a command with a path for each kind of source. Those that
// listen at a UDP port are returned with it.
func startPuller(t *testing.T, upstream *instance, kinds []string) (in *instance, udp map[string]string) {
	t.Helper()
	udp = map[string]string{}
	// sources of UDP notice only by this that nothing comes anymore
	var conf strings.Builder
	conf.WriteString("readTimeout: 3s\npaths:\n")
	for _, kind := range kinds {
		fmt.Fprintf(&conf, "  %s:\n    source: ", kind)
		switch kind {
		case "mpegts", "rtp":
			udp[kind] = freeUDP(t)
			fmt.Fprintf(&conf, "udp+%s://127.0.0.1:%s\n", kind, udp[kind])
		default:
			fmt.Fprintln(&conf, upstream.readURL(kind, "cam"))
		}
		if kind == "rtp" {
			conf.WriteString("    rtpSDP: |\n      v=0\n      o=- 0 0 IN IP4 127.0.0.1\n      s=-\n      c=IN IP4 127.0.0.1\n      t=0 0\n" +
				"      m=video " + udp[kind] + " RTP/AVP 96\n      a=rtpmap:96 H264/90000\n      a=fmtp:96 packetization-mode=1\n")
		}
	}
	return startCommand(t, ports{}, conf.String()), udp
}

// sendUDP reads from a command and sends to UDP ports.
func (in *instance) sendUDP(t *testing.T, udp map[string]string) (senders []*program) {
	t.Helper()
	for kind, port := range udp {
		output := "-map 0 -f mpegts udp://127.0.0.1:" + port + "?pkt_size=1316"
		if kind == "rtp" {
			output = "-map 0:v -payload_type 96 -bsf:v dump_extra -f rtp rtp://127.0.0.1:" + port + "?pkt_size=1200"
		}
		// SRT, because it begins with a key frame and has all time stamps
		args := append(in.input("srt", "cam"), strings.Fields("-c copy "+output)...)
		senders = append(senders, launch(t, "ffmpeg", ffmpeg(args...)...))
	}
	return senders
}

// readPulled reads what is pulled.
func (in *instance) readPulled(t *testing.T, kinds []string, src *source) {
	t.Helper()
	var programs []*program
	for _, kind := range kinds {
		in.waitReady(t, kind)
		want := src
		if kind == "rtp" {
			want = src.videoOnly()
		}
		programs = append(programs, in.startRead(t, "srt", kind, want))
	}
	for i, kind := range kinds {
		want := src
		if kind == "rtp" {
			want = src.videoOnly()
		}
		finish(t, "pulled by "+kind, programs[i], want)
	}
}

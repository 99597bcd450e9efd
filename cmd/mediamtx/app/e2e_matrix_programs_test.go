//go:build e2e

package app_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// GStreamer, srt-live-transmit and VLC read what FFmpeg publishes.
func TestMatrixPrograms(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	src := makeSource(t, "176x144", h264aac...)
	const toFile = " ! h264parse ! avdec_h264 max-threads=1 ! video/x-raw,format=I420 ! filesink buffer-mode=unbuffered location=pictures"
	for _, ca := range []struct {
		name  string
		needs string
		read  func(t *testing.T, in *instance) []moment
	}{
		{"GStreamer, SRT", "gst:srtsrc gst:tsdemux gst:avdec_h264", func(t *testing.T, in *instance) []moment {
			return gstPictures(t, "srtsrc uri="+in.readURL("srt", "live/cam")+" ! tsdemux"+toFile)
		}},
		// this client wants an application and a stream
		{"GStreamer, RTMP", "gst:rtmp2src gst:flvdemux gst:avdec_h264", func(t *testing.T, in *instance) []moment {
			return gstPictures(t, "rtmp2src location="+in.readURL("rtmp", "live/cam")+" ! flvdemux name=d d.video ! queue"+toFile)
		}},
		{"GStreamer, HLS", "gst:hlsdemux gst:souphttpsrc gst:avdec_h264", func(t *testing.T, in *instance) []moment {
			return gstPictures(t, "souphttpsrc location="+in.readURL("hls", "live/cam")+" ! hlsdemux ! tsdemux"+toFile)
		}},
		{"srt-live-transmit, SRT", "srt-live-transmit", func(t *testing.T, in *instance) []moment {
			p := launch(t, "srt-live-transmit", "-q", in.readURL("srt", "live/cam"), "file://con")
			// four seconds of that size
			eventually(t, "srt-live-transmit gets a stream", func() bool { return len(p.stdout.String()) > 220_000 })
			p.stop()
			file := filepath.Join(t.TempDir(), "out.ts")
			if err := os.WriteFile(file, []byte(p.stdout.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			return filePictures(t, file)
		}},
		// VLC of Debian has no live555 for RTSP, and no SRT at all
		{"VLC, HLS", "cvlc", func(t *testing.T, in *instance) []moment { return vlcPictures(t, in.readURL("hls", "live/cam")) }},
	} {
		t.Run(ca.name, func(t *testing.T) {
			needs(t, strings.Fields(ca.needs)...)
			takeSlot(t)
			in := startCommand(t, ports{}, "hlsVariant: mpegts\n")
			in.publish(t, "rtsp", "live/cam", src)
			got := ca.read(t, in)
			t.Logf("%-24s %d pictures", ca.name, len(got))
			if len(got) < leastPictures {
				t.Fatalf("%d pictures", len(got))
			}
			for i := range got {
				got[i].seconds = float64(i)
			}
			checkPictures(t, ca.name, src, got)
		})
	}
}

// gstPictures runs a pipeline that writes pictures to a file.
func gstPictures(t *testing.T, pipeline string) []moment {
	t.Helper()
	const size, wanted = 176 * 144 * 3 / 2, 66
	p := launch(t, "gst-launch-1.0", append([]string{"-q"}, strings.Fields(pipeline)...)...)
	file := filepath.Join(p.cmd.Dir, "pictures")
	eventually(t, "GStreamer writes pictures", func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() >= wanted*size
	})
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	var list []moment
	for ; len(data) >= size; data = data[size:] {
		sum := md5.Sum(data[:size])
		list = append(list, moment{hash: hex.EncodeToString(sum[:])})
	}
	return list
}

// vlcPictures lets VLC record some seconds.
func vlcPictures(t *testing.T, url string) []moment {
	t.Helper()
	dir, err := os.MkdirTemp("", "vlc") //nolint:usetesting // another user has to get at it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "out.ts")
	p := launchAs(t, dir, ordinaryUser(t, dir), "env", "HOME="+dir, "cvlc", "-q", "--no-color", url, "--sout", "#std{access=file,mux=ts,dst="+file+"}")
	// it has no limit for what it records
	eventually(t, "VLC records", func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() > 260_000
	})
	p.stop()
	return filePictures(t, file)
}

// ordinaryUser lets a program that refuses to be run by root, as VLC does, be run
// by nobody.
func ordinaryUser(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// filePictures decodes a recording, which may end in the middle of a picture.
func filePictures(t *testing.T, file string) []moment {
	t.Helper()
	list := moments(t, run(t, "ffmpeg", ffmpeg(append([]string{"-threads", "1", "-i", file}, decoded()...)...)...), 0)
	return list[:max(0, len(list)-5)]
}

// GStreamer and srt-live-transmit publish, FFmpeg reads.
func TestMatrixProgramsPublish(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	src := makeSource(t, "176x144", h264aac...)
	t.Run("srt-live-transmit", func(t *testing.T) {
		needs(t, "srt-live-transmit")
		takeSlot(t)
		in := startCommand(t, ports{}, "hlsVariant: fmp4\n")
		addr := "udp://127.0.0.1:" + freeUDP(t)
		launch(t, "srt-live-transmit", "-q", addr, in.publishURL("srt", "live/cam"))
		in.publish(t, addr, "live/cam", src)
		in.readAll(t, "live/cam", "fmp4", src, "rtsp", "rtmp", "srt", "hls")
	})
	const media = " videotestsrc is-live=true ! video/x-raw,width=176,height=144,framerate=25/1 ! x264enc speed-preset=ultrafast bframes=2 key-int-max=25 ! h264parse ! m." +
		" audiotestsrc is-live=true ! audio/x-raw,rate=48000 ! audioconvert ! avenc_aac ! aacparse ! m."
	// without some latency, audio that comes late changes the times of pictures
	for protocol, sink := range map[string]string{
		"srt":  "mpegtsmux name=m alignment=7 ! srtsink wait-for-connection=false uri=",
		"rtmp": "flvmux streamable=true latency=1000000000 name=m ! rtmp2sink location=",
	} {
		t.Run("GStreamer, "+protocol, func(t *testing.T) {
			needs(t, "gst:srtsink", "gst:rtmp2sink", "gst:x264enc", "gst:avenc_aac", "gst:mpegtsmux", "gst:flvmux")
			takeSlot(t)
			in := startCommand(t, ports{}, "hlsVariant: lowLatency\n")
			launch(t, "gst-launch-1.0", append([]string{"-q"}, strings.Fields(sink+in.publishURL(protocol, "live/cam")+media)...)...)
			in.waitReady(t, "live/cam")
			var programs []*program
			readers := []string{"rtsp", "rtmp", "srt", "hls"}
			for _, reader := range readers {
				programs = append(programs, in.startRead(t, reader, "live/cam", src))
			}
			for i, p := range programs {
				p.wait(t)
				who := fmt.Sprintf("%s to %s", protocol, readers[i])
				video, audio := moments(t, p.stdout.String(), 0), moments(t, p.stdout.String(), 1)
				t.Logf("%-20s %d pictures, %d audio packets", who, len(video), len(audio))
				if len(video) < leastPictures || len(audio) < 100 {
					t.Errorf("%s: %d pictures, %d audio packets", who, len(video), len(audio))
				}
				checkRising(t, who+": video", video)
				checkRising(t, who+": audio", audio)
			}
		})
	}
}

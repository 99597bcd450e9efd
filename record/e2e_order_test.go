//go:build e2e

package record

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Pictures that are not in the order in which they are shown are all decoded, in
// order, wherever the recording ends and segments are cut. What refers to pictures in
// front of the key frame that a segment begins with can be decoded with the segment
// before it only.
func TestReorderedPicturesPlay(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg", "ffprobe")
	x264 := []string{"-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "3"}
	for _, c := range []struct {
		name   string
		args   []string
		jitter int64 // ticks
		open   bool  // groups of pictures refer to the one before
	}{
		{"H264", x264, 0, false},
		{"H264 with jitter", x264, 300, false},
		{"H264 pyramid", append([]string{"-b-pyramid", "normal", "-b_strategy", "0"}, x264...), 0, false},
		{"H264 open GOP", append([]string{"-x264-params", "open-gop=1"}, x264...), 0, true},
		{"H265", []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25:bframes=4:open-gop=0"}, 0, false},
		{"H265 open GOP", []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25:bframes=4"}, 0, true},
		{"MPEG-2", []string{"-c:v", "mpeg2video", "-g", "12", "-bf", "2"}, 0, true},
		{"MPEG-4", []string{"-c:v", "mpeg4", "-g", "12", "-bf", "2"}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := generate(t, c.args, "mpegts", nil)
			for _, pictures := range []int{125, 123, 101} {
				checkOrder(t, m, pictures, c.jitter, c.open)
			}
		})
	}
}

// Segments of MPEG-TS, one behind another, have all pictures, though groups refer to the one
// before.
func TestOpenGroupsInTransportStreams(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	for name, args := range map[string][]string{
		"H264":   {"-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "3", "-x264-params", "open-gop=1"},
		"H265":   {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25:bframes=4"},
		"MPEG-2": {"-c:v", "mpeg2video", "-g", "12", "-bf", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := generate(t, args, "mpegts", nil)
			st := newStudio(t, Sink{Format: MPEGTS, SegmentDuration: 2 * time.Second}, m.tracks)
			for _, u := range m.units {
				st.write(0, u.unit)
			}
			list := st.stop()
			if len(list) < 2 {
				t.Fatalf("%d segments", len(list))
			}
			var files []string
			for _, g := range list {
				files = append(files, g.Name)
			}
			out, errs := tool(t, "ffmpeg", "-v", "error", "-i", "concat:"+strings.Join(files, "|"), "-map", "0:v", "-fps_mode", "passthrough", "-f", "framecrc", "-")
			if n := strings.Count(out, "\n0,"); n != len(m.units) || errs != "" {
				t.Errorf("%d pictures of %d; ffmpeg says %q", n, len(m.units), errs)
			}
		})
	}
}

func checkOrder(t *testing.T, m *material, pictures int, jitter int64, open bool) {
	t.Helper()
	st := newStudio(t, Sink{SegmentDuration: 2 * time.Second}, m.tracks)
	for i, u := range m.units[:pictures] {
		v := *u.unit
		if jitter > 0 {
			v.PTS += int64(i*7919) % jitter
		}
		st.write(0, &v)
	}
	decoded, lost := 0, 0
	for i, g := range st.stop() {
		out, errs := tool(t, "ffmpeg", "-v", "error", "-i", g.Name, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framecrc", "-")
		if errs != "" && !open {
			t.Errorf("segment %d: ffmpeg says: %s", i, errs)
		}
		decoded += strings.Count(out, "\n0,")
		tr := parseFile(t, g.Name).tracks[1]
		for k, pts := range tr.pts {
			if pts < tr.dts[k] {
				t.Errorf("segment %d: picture %d is shown %d ticks before it is decoded", i, k, tr.dts[k]-pts)
			}
			if pts < tr.pts[0] {
				lost++ // it needs pictures of the segment before
			}
		}
		// the track lasts until the last picture is over
		shown, has := slices.Max(tr.pts)-slices.Min(tr.pts)+frameTicks, tr.end-tr.dts[0]
		if has < shown-jitter || has > shown+jitter+frameTicks/2 {
			t.Errorf("%d pictures, segment %d: the track lasts %d ticks, its pictures %d", pictures, i, has, shown)
		}
	}
	if !open && lost > 0 || open && lost == 0 {
		t.Errorf("%d pictures are decoded behind a key frame and shown before it", lost)
	}
	if decoded != pictures-lost {
		t.Errorf("%d pictures, %d decoded, %d cannot be", pictures, decoded, lost)
	}
}

package hls_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	tscodecs "github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"

	"github.com/org/mtx/router"
	srchls "github.com/org/mtx/source/hls"
)

// Pictures of the segments of these tests: 10 in a quarter of a second.
const (
	pictures = 10
	step     = 90000 / 40
	seg      = pictures * step
)

func accessUnit(i int) [][]byte {
	if i%pictures == 0 {
		return [][]byte{[]byte(sps), []byte(pps), {0x65, 0x88, 0x84, 0, byte(i)}}
	}
	return [][]byte{{0x41, 0x9a, 0x24, 0, byte(i)}}
}

// tsFile makes a segment of a quarter of a second.
func tsFile(t *testing.T, dts int64) string {
	t.Helper()
	var b bytes.Buffer
	track := &mpegts.Track{Codec: &tscodecs.H264{}}
	w := &mpegts.Writer{W: &b, Tracks: []*mpegts.Track{track}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	for i := range pictures {
		at := (dts + int64(i)*step) & (1<<33 - 1)
		if err := w.WriteH264(track, at, at, accessUnit(i)); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// mp4File makes one with a clock of 90 kHz.
func mp4File(t *testing.T, dts int64) string {
	t.Helper()
	pt := &fmp4.PartTrack{ID: 1, BaseTime: uint64(dts)}
	for i := range pictures {
		payload, err := h264.AVCC(accessUnit(i)).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		pt.Samples = append(pt.Samples, &fmp4.Sample{Duration: step, IsNonSyncSample: i > 0, Payload: payload})
	}
	var b seekablebuffer.Buffer
	if err := (&fmp4.Part{Tracks: []*fmp4.PartTrack{pt}}).Marshal(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func h264Init(t *testing.T, height byte) string {
	t.Helper()
	return initFile(t, &fmp4.InitTrack{ID: 1, TimeScale: 90000, Codec: &codecs.H264{SPS: []byte(sps), PPS: []byte{0x68, height}}})
}

// finite lists segments of a quarter of a second that end.
func finite(lines ...string) string {
	out := "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-PLAYLIST-TYPE:VOD\n"
	for _, l := range lines {
		if l[0] != '#' {
			out += "#EXTINF:0.25,\n"
		}
		out += l + "\n"
	}
	return out + "#EXT-X-ENDLIST\n"
}

// ranges serves a file, by ranges if the server can do that.
func ranges(body string, can bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if can {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
			return
		}
		_, _ = w.Write([]byte(body))
	}
}

// redirected serves files in another place, to those who bring a cookie there.
func redirected(files map[string]http.HandlerFunc) map[string]http.HandlerFunc {
	out := map[string]http.HandlerFunc{}
	for name, h := range files {
		out[name] = func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/real"})
			http.Redirect(w, r, "real/"+name+"?a=b#c", http.StatusFound)
		}
		out["real/"+name] = func(w http.ResponseWriter, r *http.Request) {
			if c, err := r.Cookie("a"); err != nil || c.Value != "b" || r.URL.RawQuery != "a=b" {
				http.Error(w, "no cookie", http.StatusForbidden)
				return
			}
			h(w, r)
		}
	}
	return out
}

// What servers do beside the plain case is played to its end by one publication,
// picture by picture.
func TestOddServers(t *testing.T) {
	t.Parallel()
	tss := func(dts ...int64) map[string]http.HandlerFunc {
		out := map[string]http.HandlerFunc{}
		for i, at := range dts {
			out[fmt.Sprintf("%d.ts", i)] = text(tsFile(t, at))
		}
		return out
	}
	mp4s := func(dts ...int64) map[string]http.HandlerFunc {
		out := map[string]http.HandlerFunc{"init.mp4": text(h264Init(t, 8))}
		for i, at := range dts {
			out[fmt.Sprintf("%d.mp4", i)] = text(mp4File(t, at))
		}
		return out
	}
	single := h264Init(t, 8) + mp4File(t, 0) + mp4File(t, seg) + mp4File(t, 2*seg)
	first, size := len(h264Init(t, 8)), len(mp4File(t, 0))
	inOne := finite(fmt.Sprintf("#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"%d@0\"", first),
		fmt.Sprintf("#EXT-X-BYTERANGE:%d@%d", size, first), "all.mp4",
		fmt.Sprintf("#EXT-X-BYTERANGE:%d", size), "all.mp4", fmt.Sprintf("#EXT-X-BYTERANGE:%d", size), "all.mp4")
	const withMap = "#EXT-X-MAP:URI=\"init.mp4\""
	for name, c := range map[string]struct {
		playlist string
		files    map[string]http.HandlerFunc
		want     int // pictures
		publish  int // times that it begins
	}{
		"plain":          {finite("0.ts", "1.ts", "2.ts"), tss(0, seg, 2*seg), 30, 1},
		"back":           {finite("0.ts", "1.ts", "#EXT-X-DISCONTINUITY", "2.ts", "3.ts"), tss(500*seg, 500*seg+seg, 0, seg), 40, 1},
		"ahead":          {finite("0.ts", "1.ts", "2.ts", "3.ts"), tss(0, seg, 5000*seg, 5000*seg+seg), 40, 1},
		"every one is 0": {finite("0.ts", "1.ts", "2.ts"), tss(7, 7, 7), 30, 1},
		"wrap":           {finite("0.ts", "1.ts", "2.ts"), tss(1<<33-seg, 0, seg), 30, 1},
		"back, fMP4":     {finite(withMap, "0.mp4", "1.mp4", "2.mp4"), mp4s(500*seg, 500*seg+seg, 0), 30, 1},
		"the same file":  {finite("0.ts", "0.ts", "0.ts"), tss(0), 30, 1},
		"map, the same":  {finite(withMap, "0.mp4", "1.mp4", withMap, "2.mp4"), mp4s(0, seg, 2*seg), 30, 1},
		"map with the same content": {
			finite(withMap, "0.mp4", "1.mp4", "#EXT-X-DISCONTINUITY", "#EXT-X-MAP:URI=\"init.mp4?2\"", "2.mp4"), mp4s(0, seg, 0), 30, 1,
		},
		"map with other content": {
			finite(withMap, "0.mp4", "1.mp4", "#EXT-X-DISCONTINUITY", "#EXT-X-MAP:URI=\"other.mp4\"", "2.mp4"), mp4s(0, seg, 0), 30, 2,
		},
		"redirected":   {finite("0.ts", "1.ts", "2.ts"), redirected(tss(500*seg, 0, 500*seg)), 30, 1},
		"gap":          {finite("0.ts", "1.ts", "#EXT-X-GAP", "none.ts", "3.ts"), tss(0, seg, 0, 3*seg), 30, 1},
		"ranges":       {inOne, map[string]http.HandlerFunc{"all.mp4": ranges(single, true)}, 30, 1},
		"ranges unmet": {inOne, map[string]http.HandlerFunc{"all.mp4": ranges(single, false)}, 30, 1},
		"sloppy": {
			"\ufeff" + strings.ReplaceAll(strings.NewReplacer("VERSION:7", "VERSION:99", "TYPE:VOD", "TYPE:LIVE", "SEQUENCE:3", "SEQUENCE:1790000000000",
				"EXTINF:0.25,", "EXTINF: 0.5 , title").Replace(finite("# hello", "#EXT-X-NEW:A=1", "#EXT-X-PROGRAM-DATE-TIME:today",
				"#EXT-X-KEY:METHOD=NONE", "0.ts", "#EXTINF:0.000000,\n1.ts", "2.ts")), "\n", "\r\n\r\n"), tss(0, seg, 2*seg), 30, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.files["i"] = text(c.playlist)
			if name == "map with other content" {
				c.files["other.mp4"] = text(h264Init(t, 9))
			}
			url := fake(t, c.files)
			r, log := pull(t, srchls.Source{URL: url + "/i"})
			got, published := 0, 0
			ended := func() bool { return strings.Contains(log.String(), "will restart") }
			for !ended() {
				var rd *router.Reader
				eventually(t, "stream", func() (ok bool) {
					var err error
					rd, err = r.Read(t.Context(), "in", router.SubscribeOptions{})
					return err == nil || ended()
				})
				if rd == nil {
					break
				}
				published++
				got += play(t, rd)
				rd.Close()
			}
			if got != c.want || published != c.publish || !strings.Contains(log.String(), "the stream has ended") {
				t.Errorf("%d pictures in %d publications\n%s", got, published, log)
			}
		})
	}
}

// play reads to the end of a publication.
func play(t *testing.T, rd *router.Reader) (pictures int) {
	t.Helper()
	for last := time.Duration(-1); ; pictures++ {
		_, u, err := rd.Next(t.Context())
		if err != nil {
			return pictures
		}
		pts := time.Duration(u.PTS) * time.Second / 90000
		if d := pts - last; last >= 0 && (d <= 0 || d > 40*time.Millisecond) {
			t.Errorf("picture %d: %v after %v", pictures, pts, last)
		}
		last = pts
	}
}

// A live stream begins again at 0, with its audio in a playlist of its own, which
// does so a segment later.
func TestLiveJump(t *testing.T) {
	t.Parallel()
	const jump = 10
	began := time.Now()
	list := func(ext string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			n := int(time.Since(began)/(250*time.Millisecond)) + 4 // segments so far
			out := fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:%d\n", n-4)
			for i := n - 4; i < n; i++ {
				if i == jump {
					out += "#EXT-X-DISCONTINUITY\n"
				}
				out += fmt.Sprintf("#EXTINF:0.25,\n%s/%d\n", ext, i)
			}
			_, _ = w.Write([]byte(out))
		}
	}
	files := map[string]http.HandlerFunc{
		"i": text("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"same\",URI=\"v\"\n" +
			"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"inside\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",URI=\"a\"\n" +
			"#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS=\"ac-3\"\nnone\n#EXT-X-STREAM-INF:BANDWIDTH=5,CODECS=\"avc1.42c028, mp4a.40.2\",AUDIO=\"a\"\nv\n"),
		"v": list("v"), "a": list("a"),
	}
	for i := range 60 {
		at := int64(i) * seg
		if i < jump {
			at += 1000 * seg
		}
		files[fmt.Sprintf("v/%d", i)] = text(tsFile(t, at))
		files[fmt.Sprintf("a/%d", i)] = text(aacFile(t, at))
	}
	url := fake(t, files)
	r, log := pull(t, srchls.Source{URL: url + "/i"})
	var rd *router.Reader
	eventually(t, "stream", func() (ok bool) {
		var err error
		rd, err = r.Read(t.Context(), "in", router.SubscribeOptions{})
		return err == nil
	})
	defer rd.Close()
	if n := len(rd.Tracks()); n != 2 {
		t.Fatalf("%d tracks", n)
	}
	rates := []int64{90000, 48000}
	last := []time.Duration{-1, -1}
	count := []int{0, 0}
	for count[0] < 120 {
		track, u, err := rd.Next(t.Context())
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		pts := time.Duration(u.PTS) * time.Second / time.Duration(rates[track])
		if pts <= last[track] {
			t.Errorf("track %d: %v after %v", track, pts, last[track])
		}
		last[track] = pts
		count[track]++
		if d := last[0] - last[1]; count[0] > pictures && count[1] > pictures && (d > 700*time.Millisecond || d < -700*time.Millisecond) {
			t.Errorf("tracks are %v apart", d)
		}
	}
	if !strings.Contains(log.String(), "goes on with a new client") || strings.Contains(log.String(), "will restart") {
		t.Errorf("no jump, or a restart\n%s", log)
	}
}

// aacFile makes a segment with about as much audio.
func aacFile(t *testing.T, pts int64) string {
	t.Helper()
	var b bytes.Buffer
	track := &mpegts.Track{Codec: &tscodecs.MPEG4Audio{Config: *aac().Config}}
	w := &mpegts.Writer{W: &b, Tracks: []*mpegts.Track{track}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	for i := range pictures {
		if err := w.WriteMPEG4Audio(track, pts+int64(i)*step, [][]byte{{1, 2, 3, byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

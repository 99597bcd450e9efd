package hls_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
	srchls "github.com/org/mtx/source/hls"
)

func TestPull(t *testing.T) {
	t.Parallel()
	for _, variant := range []hls.Variant{hls.MPEGTS, hls.FMP4, hls.LowLatency} {
		t.Run(string(variant), func(t *testing.T) {
			t.Parallel()
			url, _ := serve(t, hls.Server{Variant: variant}, "127.0.0.1:0")
			r, log := pull(t, srchls.Source{URL: url})
			var rd *router.Reader
			eventually(t, "stream", func() (ok bool) {
				var err error
				rd, err = r.Read(t.Context(), "in", router.SubscribeOptions{})
				return err == nil
			})
			defer rd.Close()
			names := ""
			for _, track := range rd.Tracks() {
				names += track.Codec.Name() + " "
			}
			if names != "H264 MPEG-4 Audio " {
				t.Fatalf("tracks: %s", names)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			count, last := map[int]int{}, map[int]time.Duration{}
			rates := map[int]int{0: 90000, 1: 48000}
			for count[0] < 60 || count[1] < 60 {
				track, u, err := rd.Next(ctx)
				if err != nil {
					t.Fatalf("%v after %v units\n%s", err, count, log)
				}
				pts := time.Duration(u.PTS) * time.Second / time.Duration(rates[track])
				if count[track] > 0 && pts <= last[track] {
					t.Errorf("track %d: %v after %v", track, pts, last[track])
				}
				if count[0] > 10 && count[1] > 10 {
					if d := last[0] - last[1]; d > 700*time.Millisecond || d < -700*time.Millisecond {
						t.Errorf("tracks are %v apart", d)
					}
				}
				if time.Since(u.NTP) > time.Minute || time.Since(u.NTP) < -2*time.Second {
					t.Errorf("absolute time %v", u.NTP)
				}
				last[track] = pts
				count[track]++
			}
			if n := strings.Count(log.String(), "will restart"); n != 0 {
				t.Errorf("%d restarts:\n%s", n, log)
			}
		})
	}
}

// The server goes away and comes back.
func TestLostAndRegained(t *testing.T) {
	t.Parallel()
	addr := routertest.FreeAddr(t)
	url, stop := serve(t, hls.Server{Variant: hls.FMP4}, addr)
	r, _ := pull(t, srchls.Source{URL: url})
	ready := func() bool { p, ok := r.Path("in"); return ok && p.Stream() != nil }
	eventually(t, "stream", ready)
	stop()
	eventually(t, "loss", func() bool { return !ready() })
	serve(t, hls.Server{Variant: hls.MPEGTS}, addr)
	eventually(t, "stream again", ready)
}

func TestSourceSuite(t *testing.T) {
	t.Parallel()
	addr := routertest.FreeAddr(t)
	routertest.TestSource(t, func() router.Source {
		return srchls.Source{URL: "http://" + addr + "/cam/index.m3u8"}
	}, func(t testing.TB) { serve(t, hls.Server{}, addr) })
}

// initFile makes an initialization segment.
func initFile(t *testing.T, tracks ...*fmp4.InitTrack) string {
	t.Helper()
	var b seekablebuffer.Buffer
	if err := (fmp4.Init{Tracks: tracks}).Marshal(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const head = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"

// segments lists segments of one second.
func segments(names ...string) string {
	out := ""
	for _, n := range names {
		out += "#EXTINF:1.0,\n" + n + "\n"
	}
	return out
}

// What is wrong is told in one line, and the source tries again.
func TestBadServers(t *testing.T) {
	t.Parallel()
	abc := segments("a.mp4", "b.mp4", "c.mp4")
	withMap := "#EXT-X-MAP:URI=\"init.mp4\"\n"
	opus := &fmp4.InitTrack{ID: 1, TimeScale: 48000, Codec: &codecs.Opus{ChannelCount: 2}}
	ac3 := &fmp4.InitTrack{ID: 1, TimeScale: 48000, Codec: &codecs.AC3{SampleRate: 48000, ChannelCount: 2, BitRateCode: 8, Bsid: 8}}
	noScale := *opus
	noScale.TimeScale = 0
	endless := func(begin string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, err := w.Write([]byte(begin))
			for err == nil && r.Context().Err() == nil {
				_, err = w.Write(bytes.Repeat([]byte("#x\n"), 10000))
			}
		}
	}
	silent := func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte{0})
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	}
	multi := func(variants, renditions int) string {
		out := "#EXTM3U\n#EXT-X-VERSION:7\n"
		for range renditions {
			out += "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",URI=\"x.m3u8\"\n"
		}
		for range variants {
			out += "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.42c028\",AUDIO=\"a\"\nx.m3u8\n"
		}
		return out
	}
	for name, c := range map[string]struct {
		files map[string]http.HandlerFunc
		want  string
	}{
		"nothing":       {nil, "bad status code: 404"},
		"html":          {map[string]http.HandlerFunc{"i": text("<html>")}, "EOF"},
		"endless":       {map[string]http.HandlerFunc{"i": endless("#EXTM3U\n")}, "larger than 1048576 bytes"},
		"endless start": {map[string]http.HandlerFunc{"i": endless("#EXTM3U\n" + abc)}, "larger than 1048576 bytes"},
		"silent":        {map[string]http.HandlerFunc{"i": silent}, "silent for"},
		"drip": {
			map[string]http.HandlerFunc{"i": text(head + withMap + abc), "init.mp4": text(initFile(t, opus)), "a.mp4": drip}, "does not end after",
		},
		"redirect loop": {map[string]http.HandlerFunc{"i": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/i", http.StatusFound) }}, "redirects"},
		"duration":      {map[string]http.HandlerFunc{"i": text(head + "#EXTINF:100000000,\na.mp4\n")}, "at most 2m0s is accepted"},
		"target": {
			map[string]http.HandlerFunc{"i": text(strings.Replace(head, "DURATION:1", "DURATION:999999", 1) + abc)}, "at most 2m0s is accepted",
		},
		"encrypted": {
			map[string]http.HandlerFunc{"i": text(head + "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n" + abc)}, "encrypted",
		},
		"variants":   {map[string]http.HandlerFunc{"i": text(multi(1000, 0))}, "1000 variants"},
		"renditions": {map[string]http.HandlerFunc{"i": text(multi(1, 1000))}, "more than 16 renditions"},
		"no segment": {map[string]http.HandlerFunc{"i": text(head + abc)}, "bad status code: 404"},
		"bad segment": {
			map[string]http.HandlerFunc{"i": text(head + abc), "a.mp4": text("xyz")}, "",
		},
		"bad init": {
			map[string]http.HandlerFunc{"i": text(head + withMap + abc), "init.mp4": text("\x00\x00\x00\x10ftypxxxxyyyy")}, "invalid initialization segment",
		},
		"codec": {
			map[string]http.HandlerFunc{"i": text(head + withMap + abc), "init.mp4": text(initFile(t, ac3))}, "codec AC3",
		},
		"time scale": {
			map[string]http.HandlerFunc{"i": text(head + withMap + abc), "init.mp4": text(initFile(t, &noScale))}, "invalid initialization segment",
		},
		"huge segment": {
			map[string]http.HandlerFunc{"i": text(head + withMap + abc), "init.mp4": text(initFile(t, opus)), "a.mp4": endless("\x00")}, "larger than 5000000 bytes",
		},
		"empty segment": {
			map[string]http.HandlerFunc{"i": text(head + withMap + abc), "init.mp4": text(initFile(t, opus)), "a.mp4": text("")}, "an empty segment",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := strings.Replace(fake(t, c.files), "http://", "http://user:SECRET@", 1) + "/i?token=SECRET"
			timeout := 500 * time.Millisecond
			if name == "drip" { // that is for each byte
				timeout = 200 * time.Millisecond
			}
			_, log := pull(t, srchls.Source{URL: url, ReadTimeout: timeout, MaxSegmentSize: 5000000})
			eventually(t, "two tries", func() bool { return strings.Count(log.String(), "will restart") >= 2 })
			line := ""
			for l := range strings.Lines(log.String()) {
				if strings.Contains(l, "will restart") {
					line = l
				}
			}
			if !strings.Contains(line, c.want) {
				t.Errorf("no %q in %s", c.want, line)
			}
			if strings.Contains(log.String(), "SECRET") {
				t.Errorf("a secret in the log:\n%s", log)
			}
			if strings.Contains(log.String(), "panic") {
				t.Errorf("a panic:\n%s", log)
			}
		})
	}
}

// A playlist that has just begun is waited for.
func TestYoungPlaylist(t *testing.T) {
	t.Parallel()
	asked := make(chan int, 100)
	n := 0
	url := fake(t, map[string]http.HandlerFunc{"i": func(w http.ResponseWriter, _ *http.Request) {
		n++
		asked <- n
		_, _ = w.Write([]byte(head + segments([]string{"a.mp4", "b.mp4", "c.mp4"}[:min(n-1, 3)]...)))
	}})
	_, log := pull(t, srchls.Source{URL: url + "/i"})
	for i := range asked {
		if i == 4 {
			break
		}
	}
	eventually(t, "first segment", func() bool { return strings.Contains(log.String(), "a.mp4") })
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(text("<html>"))
	t.Cleanup(srv.Close)
	sum := sha256.Sum256(srv.Certificate().Raw)
	for fp, want := range map[string]string{
		"":                           "certificate",
		strings.Repeat("00", 32):     "fingerprint of the certificate is",
		hex.EncodeToString(sum[:]):   "EOF",
		strings.ToUpper(colons(sum)): "EOF",
	} {
		_, log := pull(t, srchls.Source{URL: srv.URL + "/i", Fingerprint: fp})
		eventually(t, want, func() bool { return strings.Contains(log.String(), want) })
	}
}

func colons(sum [32]byte) string {
	var parts []string
	for _, b := range sum {
		parts = append(parts, hex.EncodeToString([]byte{b}))
	}
	return strings.Join(parts, ":")
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, s := range []srchls.Source{
		{}, {URL: "rtsp://x/"}, {URL: "http:///x"}, {URL: "http://user:SECRET@h:port/%zz"}, {URL: "http://h:SECRET/x"}, {URL: "http://user:SECRET/@h/"},
		{URL: "http://h/", Fingerprint: "zz"}, {URL: "http://h/", MaxSegmentSize: -1}, {URL: "http://h/", MaxSegmentSize: 1 << 40},
	} {
		if err := s.Validate(); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, s := range []srchls.Source{{URL: "http://h/x"}, {URL: "https://u:p@h:1/x?y"}, {URL: "http://$G1/x"}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

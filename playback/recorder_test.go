package playback

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// What the recorder of this module writes is played as it was published.
func TestRecorderIsPlayed(t *testing.T) {
	t.Parallel()
	for _, format := range []record.Format{record.FMP4, record.MPEGTS} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := pattern(t, dir, format)
			g := &rig{t: t, dir: dir, pattern: p, http: &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}}
			t.Cleanup(g.http.CloseIdleConnections)
			r := routertest.New(t, router.Config{
				Protocols: []router.Protocol{&Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}, Recordings: []Recording{{"cam", p}}}},
				Paths: []router.PathConfig{{Name: "cam", Sinks: []router.Sink{
					record.Sink{Pattern: p.String(), Format: format, SegmentDuration: 1900 * ms, PartDuration: 200 * ms},
				}}},
			})
			g.url = "http://" + r.ProtocolAddrs("playback")[0].String()
			tracks := routertest.SampleTracks()
			pub, err := r.Publish(t.Context(), "cam", tracks)
			if err != nil {
				t.Fatal(err)
			}
			base := time.Now()
			const seconds = 5
			video, audio := 0, 0
			tick := time.NewTicker(time.Second / 30)
			defer tick.Stop()
			for n := range seconds * 30 {
				for ; audio*30 < (n+1)*50; audio++ {
					write(pub, tracks, 1, audio, base)
				}
				write(pub, tracks, 0, n, base)
				video++
				<-tick.C // recorders are for live streams
			}
			pub.Close()
			var list []item
			routertest.Eventually(t, "everything is recorded as one", func() bool {
				if res, _ := g.get("/list?path=cam"); res.StatusCode != http.StatusOK {
					return false
				}
				list = nil
				g.json("/list?path=cam", &list)
				end := base.Add(seconds * time.Second)
				return len(list) == 1 && end.Sub(list[0].Start.Add(time.Duration(list[0].Duration*1e9))).Abs() < 40*ms
			})
			// the recorder may have missed the first key frame
			if first := list[0].Start.Sub(base); first.Abs() > 10*ms && (first-time.Second).Abs() > 10*ms {
				t.Errorf("%+v, published at %v", list, base)
			}
			found, err := record.Find(t.Context(), nil, p, "cam")
			if err != nil || len(found) < 2 {
				t.Fatalf("%d segments, %v", len(found), err)
			}
			tl, err := newTimeline(t.Context(), newLibrary(nil, slog.New(slog.DiscardHandler)), found, base.Add(1500*ms), 3*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer tl.close()
			for isVideo, samples := range readAll(t, tl) {
				step, n := time.Second/30, 0
				if !isVideo {
					step = 20 * ms
				}
				for i, s := range samples {
					if s.pts >= -time.Millisecond {
						n++
					}
					if i > 0 && (s.pts-samples[i-1].pts-step).Abs() > 2*time.Millisecond {
						t.Errorf("video %v: sample %d is %v after the one before", isVideo, i, s.pts-samples[i-1].pts)
					}
				}
				if want := int(3 * time.Second / step); n < want-1 || n > want+1 {
					t.Errorf("video %v: %d samples, want %d", isVideo, n, want)
				}
			}
			if format == record.FMP4 {
				g.isOneStream(t, len(found), list[0].Duration)
			}
		})
	}
}

// isOneStream verifies that the byte ranges of recorded segments are played as what
// they were before they were cut.
func (g *rig) isOneStream(t *testing.T, segments int, duration float64) {
	t.Helper()
	p := g.playlist("/vod/cam/index.m3u8")
	total := 0.0
	for i, d := range p.durations {
		total += d
		if p.ranges[i] == "" || p.breaks[i] {
			t.Errorf("segment %d: range %q, discontinuity: %v", i, p.ranges[i], p.breaks[i])
		}
	}
	if len(p.urls) != segments || strings.Count(p.text, "#EXT-X-MAP") != segments || total < duration-0.01 || total > duration+0.01 {
		t.Errorf("%v s of %v:\n%s", total, duration, p.text)
	}
	all := g.all("cam", p)
	for k, rate := range []int64{30, 50} {
		list, step := all[k], []int64{videoScale, audioScale}[k]/rate
		if n := float64(len(list)); n < (duration-0.1)*float64(rate) {
			t.Errorf("track %d: %v samples in %v s", k, n, duration)
		}
		for i, s := range list[1:] {
			if d := s.pts - list[i].pts; d < step-2 || d > step+2 {
				t.Errorf("track %d: sample %d of %d is %d ticks after the one before, want %d", k, i+1, len(list), d, step)
			}
		}
	}
}

func write(pub *router.Publisher, tracks []media.Track, track, n int, base time.Time) {
	u := routertest.SampleUnit(track, n)
	u.NTP = base.Add(media.Duration(u.PTS, tracks[track].Codec.ClockRate()))
	pub.Write(track, u)
}

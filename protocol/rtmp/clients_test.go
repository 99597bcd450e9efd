package rtmp_test

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// dial connects a client of gortmplib.
func dial(t testing.TB, publish bool, format string, args ...any) (*gortmplib.Client, error) {
	t.Helper()
	u, err := url.Parse(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := &gortmplib.Client{URL: u, Publish: publish}
	if err := c.Initialize(ctx); err != nil {
		return nil, err
	}
	t.Cleanup(c.Close)
	_ = c.NetConn().SetDeadline(time.Now().Add(patience))
	return c, nil
}

func mustDial(t testing.TB, publish bool, format string, args ...any) *gortmplib.Client {
	t.Helper()
	c, err := dial(t, publish, format, args...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// source publishes H264 and AAC with gortmplib.
type source struct {
	*gortmplib.Writer
	c            *gortmplib.Client
	video, audio *gortmplib.Track
}

func publish(t testing.TB, format string, args ...any) *source {
	t.Helper()
	return publishOn(t, mustDial(t, true, format, args...))
}

func publishOn(t testing.TB, c *gortmplib.Client) *source {
	t.Helper()
	s := &source{
		c:     c,
		video: &gortmplib.Track{Codec: &codecs.H264{SPS: sps, PPS: pps}},
		audio: &gortmplib.Track{Codec: &codecs.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
			Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2,
		}}},
	}
	s.Writer = &gortmplib.Writer{Conn: s.c, Tracks: []*gortmplib.Track{s.video, s.audio}}
	if err := s.Initialize(); err != nil {
		t.Fatal(err)
	}
	return s
}

// picture sends picture n of 25 a second, every 25th of which is a key frame.
func (s *source) picture(t testing.TB, n int) {
	t.Helper()
	au := [][]byte{{0x41, 0x9a, byte(n), byte(n >> 8)}}
	if n%25 == 0 {
		au = [][]byte{{0x65, 0x88, byte(n), byte(n >> 8)}}
	}
	pts := time.Duration(n) * 40 * time.Millisecond
	if err := s.WriteH264(s.video, pts, pts, au); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteMPEG4Audio(s.audio, pts, []byte{1, 2, byte(n)}); err != nil {
		t.Fatal(err)
	}
}

// run sends pictures until the test ends; step is the time between them.
func (s *source) run(t testing.TB, step time.Duration) (stop func()) {
	t.Helper()
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(step)
		defer tick.Stop()
		for n := 0; ; n++ {
			s.picture(t, n)
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { close(quit); wg.Wait() }) }
	t.Cleanup(stop)
	return stop
}

// reading is what a client of gortmplib received.
type reading struct {
	tracks       []*gortmplib.Track
	key          bool // the first picture was one
	video, audio int
	firstVideo   time.Duration
	firstAudio   time.Duration
	sorted       bool
}

// read reads until some pictures and audio have come.
func read(t testing.TB, c *gortmplib.Client) *reading {
	t.Helper()
	rd := &gortmplib.Reader{Conn: c}
	if err := rd.Initialize(); err != nil {
		t.Fatal(err)
	}
	got := &reading{tracks: rd.Tracks(), sorted: true}
	last := time.Duration(-1)
	for _, tr := range rd.Tracks() {
		switch tr.Codec.(type) {
		case *codecs.H264:
			rd.OnDataH264(tr, func(pts, dts time.Duration, au [][]byte) {
				if len(au) > 0 && au[len(au)-1][0]&0x1f > 5 {
					return // parameter sets
				}
				if got.video == 0 {
					got.key, got.firstVideo = au[len(au)-1][0]&0x1f == 5, pts
				}
				got.sorted = got.sorted && dts > last
				last = dts
				got.video++
			})
		case *codecs.MPEG4Audio:
			rd.OnDataMPEG4Audio(tr, func(pts time.Duration, _ []byte) {
				if got.audio == 0 {
					got.firstAudio = pts
				}
				got.audio++
			})
		case *codecs.Opus:
			rd.OnDataOpus(tr, func(pts time.Duration, _ []byte) {
				if got.audio == 0 {
					got.firstAudio = pts
				}
				got.audio++
			})
		}
	}
	for got.video < 30 || got.audio < 30 {
		if err := rd.Read(); err != nil {
			t.Fatalf("after %d pictures and %d audio frames: %v", got.video, got.audio, err)
		}
	}
	return got
}

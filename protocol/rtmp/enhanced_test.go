package rtmp_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// A reader of codecs of enhanced RTMP and of several tracks gets them all.
func TestEnhanced(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	c := mustDial(t, true, "rtmp://%s/multi", addr)
	vps := []byte{
		0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0xb0, 0x00, 0x00, 0x03,
		0x00, 0x00, 0x03, 0x00, 0x7b, 0x18, 0xb0, 0x24,
	}
	sps265 := []byte{
		0x42, 0x01, 0x01, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0xb0, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
		0x00, 0x7b, 0xa0, 0x07, 0x82, 0x00, 0x88, 0x7d, 0xb6, 0x71, 0x8b, 0x92, 0x44, 0x80, 0x53, 0x88,
		0x88, 0x92, 0xcf, 0x24, 0xa6, 0x92, 0x72, 0xc9, 0x12, 0x49, 0x22, 0xdc, 0x91, 0xaa, 0x48, 0xfc,
		0xa2, 0x23, 0xff, 0x00, 0x01, 0x00, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x01,
	}
	pps265 := []byte{0x44, 0x01, 0xc0, 0x25, 0x2f, 0x05, 0x32, 0x40}
	h265 := &gortmplib.Track{Codec: &codecs.H265{VPS: vps, SPS: sps265, PPS: pps265}}
	h264 := &gortmplib.Track{Codec: &codecs.H264{SPS: sps, PPS: pps}}
	ac3 := &gortmplib.Track{Codec: &codecs.AC3{SampleRate: 48000, ChannelCount: 1}}
	aac := &gortmplib.Track{Codec: &codecs.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2,
	}}}
	w := &gortmplib.Writer{Conn: c, Tracks: []*gortmplib.Track{h265, h264, ac3, aac}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	write := func(n int) {
		pts := time.Duration(n) * 100 * time.Millisecond
		err := errors.Join(
			w.WriteH265(h265, pts, pts, [][]byte{{0x26, 1, 0xaf, byte(n)}}),
			w.WriteH264(h264, pts, pts, [][]byte{{0x65, 0x88, byte(n)}}),
			w.WriteAC3(ac3, pts, []byte{0x0b, 0x77, 0x47, 0x11, 0x0c, 0x40, 0x2f, 0x84, 0x2b, 0xc1, 0x07, 0x7a, 0xb0, 0xfa, 0xbb, 0xea}),
			w.WriteMPEG4Audio(aac, pts, []byte{1, 2, byte(n)}))
		if err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	stream := routertest.WaitReady(t, r, "multi")
	want := []string{"H265", "H264", "AC3", "MPEG-4 Audio"}
	var names []string
	for _, tr := range stream.Tracks() {
		names = append(names, tr.Codec.Name())
	}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Fatalf("tracks: %v", names)
	}
	rc := mustDial(t, false, "rtmp://%s/multi", addr)
	routertest.WaitReaders(t, r, "multi", 1)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-quit:
				return
			case <-time.After(5 * time.Millisecond):
				write(n)
			}
		}
	}()
	rd := &gortmplib.Reader{Conn: rc}
	err := rd.Initialize()
	close(quit)
	<-done
	if err != nil {
		t.Fatal(err)
	}
	tracks := rd.Tracks()
	if len(tracks) != 4 {
		t.Fatalf("the reader sees %d tracks", len(tracks))
	}
	if c, ok := tracks[0].Codec.(*codecs.H265); !ok || !bytes.Equal(c.SPS, sps265) {
		t.Errorf("first track: %+v", tracks[0].Codec)
	}
	if c, ok := tracks[3].Codec.(*codecs.MPEG4Audio); !ok || c.Config.SampleRate != 48000 {
		t.Errorf("last track: %+v", tracks[3].Codec)
	}
}

// Tracks that RTMP cannot carry are left out; a stream of nothing else is refused.
func TestUnknownTracks(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	for path, tracks := range map[string][]media.Track{
		"some": {{Codec: &media.KLV{}}, {Codec: &media.H264{SPS: sps, PPS: pps}}},
		"none": {{Codec: &media.KLV{}}},
	} {
		pub, err := r.Publish(t.Context(), path, tracks)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pub.Close)
		_, err = dial(t, false, "rtmp://%s/%s", addr, path)
		if (err == nil) != (path == "some") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

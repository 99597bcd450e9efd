package rtmp_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router/routertest"
)

var (
	av1Header = []byte{0x08, 0x00, 0x00, 0x00, 0x42, 0xab, 0xbf, 0xc3, 0x70, 0x0b, 0xe0, 0x01}
	vp9Key    = []byte{0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xf0, 0x32, 0x34}
	mp3       = append([]byte{0xff, 0xfb, 0x90, 0x64}, bytes.Repeat([]byte{7}, 413)...) // 44.1 kHz
	ac3       = []byte{0x0b, 0x77, 0x47, 0x11, 0x0c, 0x40, 0x2f, 0x84, 0x2b, 0xc1, 0x07, 0x7a, 0xb0, 0xfa, 0xbb, 0xea}
)

// codecCase publishes a codec, and reads it. Frames are compared without
// parameters, which may be repeated in front of them.
type codecCase struct {
	codec codecs.Codec
	name  string // in the router
	frame []byte // of 10 ms, if its size tells how long it is
	write func(w *gortmplib.Writer, t *gortmplib.Track, pts time.Duration, frame []byte) error
	on    func(r *gortmplib.Reader, t *gortmplib.Track, got func(pts time.Duration, frame []byte))
}

func codecCases() []codecCase {
	last := func(p [][]byte) []byte { return p[len(p)-1] }
	type (
		writer = gortmplib.Writer
		reader = gortmplib.Reader
		track  = gortmplib.Track
		got    = func(time.Duration, []byte)
		span   = time.Duration
	)
	aacConfig := &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 44100, ChannelConfig: 2}
	g711 := func(w *writer, t *track, pts span, f []byte) error { return w.WriteG711(t, pts, f) }
	onG711 := func(r *reader, t *track, g got) { r.OnDataG711(t, gortmplib.OnDataG711Func(g)) }
	return []codecCase{
		{&codecs.AV1{}, "AV1", []byte{0x30, 0x10, 0x01},
			func(w *writer, t *track, pts span, f []byte) error { return w.WriteAV1(t, pts, [][]byte{av1Header, f}) },
			func(r *reader, t *track, g got) { r.OnDataAV1(t, func(pts span, tu [][]byte) { g(pts, last(tu)) }) }},
		{&codecs.VP9{}, "VP9", vp9Key,
			func(w *writer, t *track, pts span, f []byte) error { return w.WriteVP9(t, pts, f) },
			func(r *reader, t *track, g got) { r.OnDataVP9(t, gortmplib.OnDataVP9Func(g)) }},
		{&codecs.H264{SPS: sps, PPS: pps}, "H264", []byte{0x65, 0x88, 1},
			func(w *writer, t *track, pts span, f []byte) error { return w.WriteH264(t, pts, pts, [][]byte{f}) },
			func(r *reader, t *track, g got) {
				r.OnDataH264(t, func(pts, _ span, au [][]byte) {
					if f := last(au); f[0] == 0x65 { // parameters come alone
						g(pts, f)
					}
				})
			}},
		{&codecs.Opus{IDHeader: &opus.IDHeader{Version: 1, ChannelCount: 2, InputSampleRate: 48000}}, "Opus", []byte{0xfc, 1, 2},
			func(w *writer, t *track, pts span, f []byte) error { return w.WriteOpus(t, pts, f) },
			func(r *reader, t *track, g got) { r.OnDataOpus(t, gortmplib.OnDataOpusFunc(g)) }},
		{&codecs.MPEG4Audio{Config: aacConfig}, "MPEG-4 Audio", []byte{1, 2, 3},
			func(w *writer, t *track, pts span, f []byte) error { return w.WriteMPEG4Audio(t, pts, f) },
			func(r *reader, t *track, g got) { r.OnDataMPEG4Audio(t, gortmplib.OnDataMPEG4AudioFunc(g)) }},
		{&codecs.MPEG1Audio{}, "MPEG-1/2 Audio", mp3,
			func(w *writer, t *track, pts span, f []byte) error { return w.WriteMPEG1Audio(t, pts, f) },
			func(r *reader, t *track, g got) { r.OnDataMPEG1Audio(t, gortmplib.OnDataMPEG1AudioFunc(g)) }},
		{&codecs.AC3{SampleRate: 48000, ChannelCount: 1}, "AC3", ac3,
			func(w *writer, t *track, pts span, f []byte) error { return w.WriteAC3(t, pts, f) },
			func(r *reader, t *track, g got) { r.OnDataAC3(t, gortmplib.OnDataAC3Func(g)) }},
		{&codecs.G711{ChannelCount: 1}, "G711", bytes.Repeat([]byte{1}, 80), g711, onG711},
		{&codecs.G711{MULaw: true, ChannelCount: 1}, "G711", bytes.Repeat([]byte{2}, 80), g711, onG711},
		{&codecs.LPCM{BitDepth: 16, SampleRate: 44100, ChannelCount: 2}, "LPCM", bytes.Repeat([]byte{1, 2, 3, 4}, 441),
			func(w *writer, t *track, pts span, f []byte) error { return w.WriteLPCM(t, pts, f) },
			func(r *reader, t *track, g got) { r.OnDataLPCM(t, gortmplib.OnDataLPCMFunc(g)) }},
	}
}

// Every codec can be published and read. H265 is in TestEnhanced.
func TestCodecs(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	for i, ca := range codecCases() {
		t.Run(fmt.Sprintf("%d %s", i, ca.name), func(t *testing.T) {
			t.Parallel()
			path := fmt.Sprintf("codec%d", i)
			track := &gortmplib.Track{Codec: ca.codec}
			w := &gortmplib.Writer{Conn: mustDial(t, true, "rtmp://%s/%s", addr, path), Tracks: []*gortmplib.Track{track}}
			if err := w.Initialize(); err != nil {
				t.Fatal(err)
			}
			quit, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for n := 0; ; n++ {
					if err := ca.write(w, track, time.Duration(n)*10*time.Millisecond, ca.frame); err != nil {
						t.Error(err)
						return
					}
					select {
					case <-quit:
						return
					case <-time.After(5 * time.Millisecond): // the pace of the publisher
					}
				}
			}()
			defer func() { close(quit); <-done }()
			if got := routertest.WaitReady(t, r, path).Tracks(); len(got) != 1 || got[0].Codec.Name() != ca.name {
				t.Fatalf("tracks %v", got)
			}
			rd := &gortmplib.Reader{Conn: mustDial(t, false, "rtmp://%s/%s", addr, path)}
			if err := rd.Initialize(); err != nil {
				t.Fatal(err)
			}
			if n := len(rd.Tracks()); n != 1 || rd.Tracks()[0].Codec.ID() != ca.codec.ID() {
				t.Fatalf("the reader sees %d tracks, %+v", n, rd.Tracks()[0].Codec)
			}
			frames, last := 0, time.Duration(-1)
			ca.on(rd, rd.Tracks()[0], func(pts time.Duration, frame []byte) {
				if !bytes.Equal(frame, ca.frame) {
					t.Errorf("frame %x, want %x", frame, ca.frame)
				}
				if pts <= last {
					t.Errorf("%v comes after %v", pts, last)
				}
				frames, last = frames+1, pts
			})
			for frames < 10 {
				if err := rd.Read(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

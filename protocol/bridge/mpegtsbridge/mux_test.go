package mpegtsbridge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"

	"github.com/org/mtx/router/media"
)

// sample is a unit on its way through a muxer.
type sample struct {
	track int
	unit  *media.Unit
}

func newTestMuxer(t testing.TB, codecs ...media.Codec) *Muxer {
	t.Helper()
	m, err := NewMuxer(MuxerOptions{Tracks: tracksOf(codecs...), Skipped: func(e *TrackError) { t.Errorf("skipped: %v", e) }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tracksOf(codecs ...media.Codec) []media.Track {
	tracks := make([]media.Track, len(codecs))
	for i, c := range codecs {
		tracks[i] = media.Track{Codec: c}
	}
	return tracks
}

// muxAll writes units and checks the form of what comes out.
func muxAll(t testing.TB, m *Muxer, samples ...sample) (stream []byte, starts []int) {
	t.Helper()
	for i, s := range samples {
		before := len(stream)
		out, start, err := m.Append(stream, s.track, s.unit)
		if err != nil {
			t.Fatalf("unit %d: %v", i, err)
		}
		if len(out)%packetSize != 0 {
			t.Fatalf("unit %d: %d bytes, which are no whole packets", i, len(out))
		}
		if start {
			starts = append(starts, before)
			if pid := uint16(out[before+1]&0x1f)<<8 | uint16(out[before+2]); pid != 0 {
				t.Errorf("unit %d: a start begins with PID %d, not with the PAT", i, pid)
			}
		}
		stream = out
	}
	checkPackets(t, stream)
	return stream, starts
}

// checkPackets checks sync bytes, continuity and that the clock only rises.
func checkPackets(t testing.TB, stream []byte) (clocks []int64) {
	t.Helper()
	last := map[uint16]int{}
	for i := 0; i < len(stream); i += packetSize {
		b := stream[i : i+packetSize]
		if b[0] != syncByte {
			t.Fatalf("packet %d: no sync byte", i/packetSize)
		}
		pid := uint16(b[1]&0x1f)<<8 | uint16(b[2])
		cc := int(b[3] & 0x0f)
		if l, ok := last[pid]; ok {
			want := l
			if b[3]&0x10 != 0 {
				want = (l + 1) & 0x0f
			}
			if cc != want {
				t.Errorf("packet %d, PID %d: continuity counter %d, want %d", i/packetSize, pid, cc, want)
			}
		}
		last[pid] = cc
		if b[3]&0x20 != 0 && b[4] > 0 && b[5]&0x10 != 0 {
			clocks = append(clocks, int64(b[6])<<25|int64(b[7])<<17|int64(b[8])<<9|int64(b[9])<<1|int64(b[10]>>7))
		}
	}
	for i := 1; i < len(clocks); i++ {
		if clocks[i] <= clocks[i-1] {
			t.Errorf("the clock goes from %d to %d", clocks[i-1], clocks[i])
		}
	}
	return clocks
}

type muxCase struct {
	name    string
	codec   media.Codec
	payload [2][][]byte
	later   int64 // PTS of the second unit
	want    [2][][]byte
	comes   string // the codec as it comes, if it is another one
}

func muxCases(t testing.TB) []muxCase {
	vos := []byte{0, 0, 1, 0xb0, 1, 0, 0, 1, 0xb5}
	vopI, vopP := []byte{0, 0, 1, 0xb6, 0x10, 1, 2}, []byte{0, 0, 1, 0xb6, 0x50, 1, 2}
	latm := latmElement(t)
	// as RTP carries it: the configuration is in the SDP
	var inBand mpeg4audio.AudioMuxElement
	inBand.MuxConfigPresent = true
	if err := inBand.Unmarshal(latm); err != nil {
		t.Fatal(err)
	}
	bare := inBand
	bare.MuxConfigPresent = false
	element, err := bare.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	cases := []muxCase{
		{name: "h264", codec: &media.H264{}, payload: [2][][]byte{h264Key, h264Inter}, later: 90000},
		{
			name: "h264 with parameters of the track", codec: &media.H264{SPS: h264Key[0], PPS: h264Key[1]},
			payload: [2][][]byte{{{9, 0xf0}, h264Key[2]}, h264Inter}, later: 90000,
			want: [2][][]byte{h264Key, h264Inter},
		},
		{
			name: "h265", codec: &media.H265{VPS: []byte{0x40, 1, 2}, SPS: []byte{0x42, 1, 3}, PPS: []byte{0x44, 1, 3}},
			payload: [2][][]byte{{{0x26, 1, 9, 9}}, {{0x02, 1, 4}}}, later: 90000,
			want: [2][][]byte{{{0x40, 1, 2}, {0x42, 1, 3}, {0x44, 1, 3}, {0x26, 1, 9, 9}}, {{0x02, 1, 4}}},
		},
		{
			name: "mpeg-4 video", codec: &media.MPEG4Video{Config: vos}, payload: [2][][]byte{{vopI}, {vopP}}, later: 90000,
			want: [2][][]byte{{append(bytes.Clone(vos), vopI...)}, {vopP}},
		},
		{name: "mpeg-2 video", codec: &media.MPEG1Video{}, payload: [2][][]byte{{{0, 0, 1, 0xb3, 1, 2, 3}}, {{0, 0, 1, 0, 1, 2}}}, later: 90000},
		{name: "opus", codec: &media.Opus{ChannelCount: 2}, payload: [2][][]byte{{bytes.Repeat([]byte{1}, 600), {3}}, {bytes.Repeat([]byte{1}, 255)}}, later: 48000},
		{name: "opus 5.1", codec: &media.Opus{ChannelCount: 6}, payload: [2][][]byte{{{1}, {3}}, {{4}}}, later: 48000},
		{name: "mpeg-4 audio", codec: &media.MPEG4Audio{Config: &aacConfig}, payload: [2][][]byte{{{1, 2}, {3}}, {{4}}}, later: 44100},
		{
			name: "latm", codec: &media.MPEG4AudioLATM{Rate: 32000}, payload: [2][][]byte{{latm, latm}, {latm}}, later: 32000,
			want: [2][][]byte{{latmFrame, latmFrame}, {latmFrame}}, comes: "MPEG-4 Audio",
		},
		{
			name: "latm with the configuration apart", codec: &media.MPEG4AudioLATM{Rate: 32000, Config: inBand.StreamMuxConfig},
			payload: [2][][]byte{{element}, {element}}, later: 32000, want: [2][][]byte{{latmFrame}, {latmFrame}}, comes: "MPEG-4 Audio",
		},
		{name: "mpeg-1 audio", codec: &media.MPEG1Audio{}, payload: [2][][]byte{{mp3Frame, mp3Frame}, {mp3Frame}}, later: 90000},
		{name: "ac-3", codec: &media.AC3{SampleRate: 48000, ChannelCount: 2}, payload: [2][][]byte{{ac3Frame, ac3Frame}, {ac3Frame}}, later: 48000},
		{name: "klv", codec: &media.KLV{}, payload: [2][][]byte{{{6, 0xe, 0x2b, 0x34}}, {bytes.Repeat([]byte{6}, 1000)}}, later: 90000},
	}
	for i := range cases {
		if cases[i].want[0] == nil {
			cases[i].want = cases[i].payload
		}
		if cases[i].comes == "" {
			cases[i].comes = cases[i].codec.Name()
		}
	}
	return cases
}

func TestMuxer(t *testing.T) {
	t.Parallel()
	for _, ca := range muxCases(t) {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			stream, starts := muxAll(
				t, newTestMuxer(t, ca.codec),
				sample{0, &media.Unit{PTS: 0, RandomAccess: true, Payload: ca.payload[0]}},
				sample{0, &media.Unit{PTS: ca.later, Payload: ca.payload[1]}},
			)
			if len(starts) == 0 || starts[0] != 0 {
				t.Errorf("starts: %v", starts)
			}
			got := demux(t, stream, 1316)
			if len(got.damaged) != 0 || len(got.tracks) != 1 {
				t.Fatalf("tracks: %v, damaged: %v", got.tracks, got.damaged)
			}
			if got.tracks[0].Codec.Name() != ca.comes || got.tracks[0].Codec.ClockRate() != ca.codec.ClockRate() {
				t.Errorf("codec %+v", got.tracks[0].Codec)
			}
			if o, ok := ca.codec.(*media.Opus); ok && !reflect.DeepEqual(got.tracks[0].Codec, o) {
				t.Errorf("codec %+v, want %+v", got.tracks[0].Codec, o)
			}
			if len(got.units[0]) != 2 {
				t.Fatalf("%d units", len(got.units[0]))
			}
			for i, u := range got.units[0] {
				if !reflect.DeepEqual(u.Payload, ca.want[i]) {
					t.Errorf("unit %d: payload %x, want %x", i, u.Payload, ca.want[i])
				}
				if want := int64(i) * ca.later; u.PTS != want {
					t.Errorf("unit %d: PTS %d, want %d", i, u.PTS, want)
				}
			}
		})
	}
}

// Another reader of MPEG-TS agrees.
func TestMuxerWithLibrary(t *testing.T) {
	t.Parallel()
	codecs := []media.Codec{
		&media.H264{}, &media.Opus{ChannelCount: 2}, &media.MPEG4Audio{Config: &aacConfig},
		&media.AC3{SampleRate: 48000, ChannelCount: 2}, &media.MPEG1Audio{}, &media.KLV{},
	}
	payloads := [][][]byte{h264Key, {{1, 2}}, {{1, 2}}, {ac3Frame}, {mp3Frame}, {{6, 0xe, 0x2b, 0x34}}}
	m := newTestMuxer(t, codecs...)
	var samples []sample
	for i := range int64(3) {
		for j, c := range codecs {
			samples = append(samples, sample{j, &media.Unit{PTS: i * int64(c.ClockRate()) / 25, RandomAccess: i == 0, Payload: payloads[j]}})
		}
	}
	stream, _ := muxAll(t, m, samples...)
	r := &mpegts.Reader{R: bytes.NewReader(stream)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	if len(r.Tracks()) != len(codecs) {
		t.Fatalf("%d tracks", len(r.Tracks()))
	}
	counts := make([]int, len(codecs))
	r.OnDecodeError(func(err error) { t.Error(err) })
	for i, track := range r.Tracks() {
		data := func([][]byte) error { counts[i]++; return nil }
		switch codecs[i].(type) {
		case *media.H264:
			r.OnDataH264(track, func(pts, dts int64, _ [][]byte) error {
				if dts > pts || dts < pts-2*3600 {
					t.Errorf("PTS %d, DTS %d", pts, dts)
				}
				return data(nil)
			})
		case *media.Opus:
			r.OnDataOpus(track, func(_ int64, p [][]byte) error { return data(p) })
		case *media.MPEG4Audio:
			r.OnDataMPEG4Audio(track, func(_ int64, p [][]byte) error { return data(p) })
		case *media.AC3:
			r.OnDataAC3(track, func(_ int64, _ []byte) error { return data(nil) })
		case *media.MPEG1Audio:
			r.OnDataMPEG1Audio(track, func(_ int64, p [][]byte) error { return data(p) })
		case *media.KLV:
			r.OnDataKLV(track, func(_ int64, u []byte) error {
				if !bytes.Equal(u, payloads[i][0]) {
					t.Errorf("KLV %x", u)
				}
				return data(nil)
			})
		}
	}
	for {
		if err := r.Read(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Log(err)
			}
			break
		}
	}
	for i, n := range counts {
		if n < 2 {
			t.Errorf("%s: %d units", codecs[i].Name(), n)
		}
	}
}

// Who joins at a start has all that is needed; video before the first key frame
// is left out.
func TestMuxerStarts(t *testing.T) {
	t.Parallel()
	m := newTestMuxer(t, &media.MPEG4Audio{Config: &aacConfig}, &media.H264{SPS: h264Key[0], PPS: h264Key[1]})
	var samples []sample
	for i := range int64(100) {
		key := i%25 == 5
		u := &media.Unit{PTS: i * 3600, RandomAccess: key, Payload: h264Inter}
		if key {
			u.Payload = h264Key[2:]
		}
		samples = append(samples, sample{1, u}, sample{0, &media.Unit{PTS: i * 44100 / 25, Payload: [][]byte{{1, 2, 3}}}})
	}
	stream, starts := muxAll(t, m, samples...)
	if len(starts) != 4 {
		t.Fatalf("starts: %v", starts)
	}
	if got := demux(t, stream, 1316); len(got.units[1]) != 95 {
		t.Errorf("%d pictures, want those from the first key frame on", len(got.units[1]))
	}
	for i, at := range starts {
		got := demux(t, stream[at:], 1316)
		if len(got.damaged) > 0 || len(got.tracks) != 2 {
			t.Fatalf("start %d: %d tracks, damaged: %v", i, len(got.tracks), got.damaged)
		}
		if !reflect.DeepEqual(got.units[1][0].Payload, h264Key) {
			t.Errorf("start %d: the first picture is %x", i, got.units[1][0].Payload)
		}
	}
}

// Audio alone has a start every now and then, and tables too.
func TestMuxerAudioOnly(t *testing.T) {
	t.Parallel()
	m := newTestMuxer(t, &media.MPEG4Audio{Config: &aacConfig})
	var samples []sample
	for i := range int64(430) { // ten seconds
		samples = append(samples, sample{0, &media.Unit{PTS: i * 1024, Payload: [][]byte{{1, 2, 3}}}})
	}
	stream, starts := muxAll(t, m, samples...)
	if len(starts) < 35 || len(starts) > 45 || starts[0] != 0 {
		t.Errorf("%d starts in ten seconds", len(starts))
	}
	if clocks := checkPackets(t, stream); len(clocks) < 100 {
		t.Errorf("the clock is there %d times in ten seconds", len(clocks))
	}
}

// The clock goes on at least every 100 ms, even if video is slow.
func TestMuxerClock(t *testing.T) {
	t.Parallel()
	for _, fps := range []int64{2, 5, 25, 60} {
		t.Run(fmt.Sprintf("%d fps", fps), func(t *testing.T) {
			t.Parallel()
			m := newTestMuxer(t, &media.H264{}, &media.Opus{ChannelCount: 2})
			var samples []sample
			next := int64(0)
			for i := range int64(500) { // ten seconds of audio
				for i*20 >= next*1000/fps {
					samples = append(samples, sample{0, &media.Unit{PTS: next * 90000 / fps, RandomAccess: next == 0, Payload: h264Key}})
					next++
				}
				samples = append(samples, sample{1, &media.Unit{PTS: i * 960, Payload: [][]byte{{1}}}})
			}
			stream, _ := muxAll(t, m, samples...)
			clocks := checkPackets(t, stream)
			for i := 1; i < len(clocks); i++ {
				if d := clocks[i] - clocks[i-1]; d > 9000+1800 {
					t.Errorf("no clock for %d ms", d/90)
				}
			}
			if d := clocks[len(clocks)-1] - clocks[0]; d < 90000*9 {
				t.Errorf("the clock ran for %d ms", d/90)
			}
		})
	}
}

// Decoding time stamps from presentation time stamps alone, in ticks of a
// picture, in decoding order.
func TestReorder(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		name  string
		depth int
		pts   []int64
		drops int
	}{
		{"in order", 0, []int64{1, 2, 3, 4}, 0},
		{"in order, B pictures expected", 1, []int64{1, 2, 3, 4}, 0},
		{"two B pictures", 1, []int64{1, 4, 2, 3, 7, 5, 6, 10, 8, 9}, 0},
		{"unexpected B pictures", 0, []int64{1, 4, 2, 3, 7, 5, 6, 10, 8, 9, 13, 11, 12}, 2},
		{"pyramid", 2, []int64{1, 5, 3, 2, 4, 9, 7, 6, 8}, 0},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			r := &reorder{depth: ca.depth}
			last, drops := int64(-1<<62), 0
			for _, p := range ca.pts {
				pts := p * 3600
				dts, ok := r.next(pts)
				if !ok {
					drops++
					continue
				}
				if dts > pts || dts <= last {
					t.Errorf("picture %d: DTS %d, after %d", p, dts, last)
				}
				last = dts
			}
			if drops > ca.drops {
				t.Errorf("%d pictures were dropped, want %d", drops, ca.drops)
			}
		})
	}
}

func TestMuxerErrors(t *testing.T) {
	t.Parallel()
	var skipped []string
	_, err := NewMuxer(MuxerOptions{
		Tracks:  tracksOf(&media.VP8{}, &media.G711{SampleRate: 8000, ChannelCount: 1}, &media.MPEG4Audio{}),
		Skipped: func(e *TrackError) { skipped = append(skipped, e.Error()) },
	})
	if err == nil || !strings.Contains(err.Error(), "VP8, G711, MPEG-4 Audio") || len(skipped) != 3 {
		t.Errorf("error %v, skipped %q", err, skipped)
	}
	m, err := NewMuxer(MuxerOptions{Tracks: tracksOf(&media.VP8{}, &media.Opus{ChannelCount: 2})})
	if err != nil || m.Carries(0) || !m.Carries(1) || m.Carries(2) || m.Carries(-1) {
		t.Fatal(m, err)
	}
	for _, ca := range []struct {
		name  string
		codec media.Codec
		unit  *media.Unit
		fails bool
	}{
		{"empty payload", &media.Opus{ChannelCount: 2}, &media.Unit{Payload: [][]byte{}}, true},
		{"empty elements", &media.H264{}, &media.Unit{Payload: [][]byte{{}, nil}, RandomAccess: true}, true},
		{"only RTP", &media.H264{}, &media.Unit{}, false},
		{"audio that is too large", &media.MPEG1Audio{}, &media.Unit{Payload: [][]byte{make([]byte, 70000)}}, true},
		{"KLV that is too large", &media.KLV{}, &media.Unit{Payload: [][]byte{make([]byte, 70000)}}, true},
		{"AAC that is too large", &media.MPEG4Audio{Config: &aacConfig}, &media.Unit{Payload: [][]byte{make([]byte, 9000)}}, false},
		{"video of any size", &media.H264{}, &media.Unit{Payload: [][]byte{{0x67, 1}, append([]byte{0x65}, make([]byte, 1<<20)...)}, RandomAccess: true}, false},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			m := newTestMuxer(t, ca.codec)
			dst := []byte{1, 2, 3}
			out, _, err := m.Append(dst, 0, ca.unit)
			if (err != nil) != ca.fails {
				t.Errorf("error %v", err)
			}
			if err != nil && !bytes.Equal(out, dst) {
				t.Errorf("%d bytes were added", len(out)-len(dst))
			}
			// the next one is not affected
			if _, _, err := m.Append(nil, 7, &media.Unit{Payload: [][]byte{{1}}}); err != nil {
				t.Error(err)
			}
		})
	}
}

// A key frame after a pause is decoded shortly before it is shown, not in the middle of
// the pause, whether the order of decoding is read from pictures or from time stamps.
func TestMuxerPause(t *testing.T) {
	t.Parallel()
	const frame = 3600
	orders := [][]int64{
		{0, 3, 1, 2, 6, 4, 5, 7, 8, 11, 9, 10, 14, 12, 13, 15},
		{0, 3, 1, 2, 6, 4, 5, 8, 7, 11, 9, 10, 14, 12, 13, 15},
	}
	for _, ca := range []struct {
		codec  media.Codec
		file   string
		fields bool
		order  []int64
	}{
		{codec: &media.H264{}, file: "bframes.h264", order: orders[0]},
		{codec: &media.H264{}, file: "bframes.h264", fields: true, order: orders[0]},
		{codec: &media.H265{}, file: "bframes.h265", order: orders[1]},
	} {
		for _, pause := range []int64{0, 5, 3600} {
			d := newDecodingTime(ca.codec)
			last := int64(-1 << 40)
			for round := range int64(3) {
				begin := round * 16 * frame
				if round == 2 {
					begin += pause * 90000
				}
				for i, au := range pictures(t, ca.codec, "../rtmpbridge/testdata/"+ca.file) {
					_, key := media.Scan(ca.codec, au)
					pts := begin + ca.order[i]*frame
					d.fields = ca.fields
					if ca.fields {
						d.sps, d.plain.depth = au[0], 2
					}
					dts, ok, err := d.next(au, pts, key)
					if !ok || err != nil || dts <= last || dts > pts || pts-dts > 5*frame {
						t.Errorf("%s, pause of %d s, round %d, picture %d: shown at %d, decoded at %d (%v, %v), the one before at %d",
							ca.file, pause, round, i, pts, dts, ok, err, last)
					}
					last = dts
				}
			}
		}
	}
}

// pictures cuts an elementary stream in which every picture has one slice.
func pictures(t testing.TB, c media.Codec, file string) (out [][][]byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var nalus h264.AnnexB
	if err := nalus.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	_, is264 := c.(*media.H264)
	var au [][]byte
	for _, n := range nalus {
		au = append(au, n)
		if is264 && n[0]&0x1f <= 5 || !is264 && n[0]>>1&0x3f < 32 {
			out, au = append(out, au), nil
		}
	}
	return out
}

// Time stamps that jump do not stop the stream.
func TestMuxerJump(t *testing.T) {
	t.Parallel()
	m := newTestMuxer(t, &media.H264{})
	for i, pts := range []int64{0, 3600, 7200, 90000 * 3600, 90000*3600 + 3600, 100, 3700, -90000 * 60, -90000*60 + 3600} {
		out, _, err := m.Append(nil, 0, &media.Unit{PTS: pts, RandomAccess: true, Payload: h264Key})
		if err != nil {
			t.Errorf("unit %d: %v", i, err)
		}
		if got := demux(t, out, 188); len(got.tracks) != 1 || len(got.units[0]) != 1 {
			t.Errorf("unit %d: %v", i, got)
		}
	}
}

func FuzzMuxer(f *testing.F) {
	for i := range 10 {
		f.Add(byte(i), []byte{0x67, 0x42, 0xc0, 0x28, 0xd9, 0, 1, 2, 3}, []byte{0, 0, 1, 0xb6, 0x10}, int64(0), true)
	}
	f.Fuzz(func(t *testing.T, codec byte, a, b []byte, pts int64, key bool) {
		codecs := []media.Codec{
			&media.H264{SPS: a}, &media.H265{VPS: a, SPS: b}, &media.MPEG4Video{Config: a}, &media.MPEG1Video{}, &media.Opus{ChannelCount: 2},
			&media.MPEG4Audio{Config: &aacConfig}, &media.MPEG4AudioLATM{Rate: 48000}, &media.MPEG1Audio{},
			&media.AC3{SampleRate: 48000, ChannelCount: 2}, &media.KLV{},
		}
		m := newTestMuxer(t, codecs[int(codec)%len(codecs)])
		var stream []byte
		for i := range int64(4) {
			u := &media.Unit{PTS: pts + i*3000, RandomAccess: key, Payload: [][]byte{a, b}}
			out, _, err := m.Append(stream, 0, u)
			if err != nil && len(out) != len(stream) {
				t.Fatal("an error, and packets")
			}
			stream = out
		}
		if len(stream)%packetSize != 0 {
			t.Fatal("no whole packets")
		}
	})
}

func BenchmarkMuxer(b *testing.B) {
	m := newTestMuxer(b, &media.H264{}, &media.MPEG4Audio{Config: &aacConfig})
	frame := [][]byte{append([]byte{0x41, 0x9a}, make([]byte, 16000)...)}
	if _, _, err := m.Append(nil, 0, &media.Unit{RandomAccess: true, Payload: h264Key}); err != nil {
		b.Fatal(err)
	}
	var out []byte
	b.ReportAllocs()
	for i := int64(1); b.Loop(); i++ {
		out, _, _ = m.Append(out[:0], 0, &media.Unit{PTS: i * 3000, Payload: frame})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64((len(out)+1315)/1316), "ns/packet")
}

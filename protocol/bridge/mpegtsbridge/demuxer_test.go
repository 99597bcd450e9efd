package mpegtsbridge

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/substructs"

	"github.com/org/mtx/router/media"
)

// capture collects what a demuxer says.
type capture struct {
	tracks  []media.Track
	units   [][]*media.Unit // per track
	damaged []error
	refuse  error
}

func (c *capture) options() DemuxerOptions {
	return DemuxerOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			if c.refuse != nil {
				return nil, c.refuse
			}
			c.tracks = tracks
			c.units = make([][]*media.Unit, len(tracks))
			return func(track int, u *media.Unit) { c.units[track] = append(c.units[track], u) }, nil
		},
		Damaged: func(err error) { c.damaged = append(c.damaged, err) },
	}
}

// demux feeds a whole stream in chunks of a size.
func demux(t *testing.T, stream []byte, chunk int) *capture {
	t.Helper()
	c := &capture{}
	d := NewDemuxer(c.options())
	defer d.Close()
	for len(stream) > 0 {
		n := min(chunk, len(stream))
		if _, err := d.Write(stream[:n]); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// mux writes a stream with one track.
func mux(t testing.TB, codec codecs.Codec, write func(w *mpegts.Writer, track *mpegts.Track)) []byte {
	t.Helper()
	var buf bytes.Buffer
	track := &mpegts.Track{Codec: codec, Language: "eng"}
	w := &mpegts.Writer{W: &buf, Tracks: []*mpegts.Track{track}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTables(); err != nil {
		t.Fatal(err)
	}
	write(w, track)
	return buf.Bytes()
}

var (
	h264Key   = [][]byte{{0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00}, {0x68, 0xce, 0x38}, bytes.Repeat([]byte{0x65, 0x88}, 2000)}
	h264Inter = [][]byte{bytes.Repeat([]byte{0x41, 0x9a}, 300)}
	ac3Frame  = append([]byte{0x0b, 0x77, 0, 0, 0x14, 0x40, 0x43, 0xe1}, make([]byte, 768-8)...)
	mp3Frame  = append([]byte{0xff, 0xfb, 0x90, 0x64}, make([]byte, 417-4)...)
	aacConfig = mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 44100, ChannelConfig: 2, ChannelCount: 2, //nolint:staticcheck // the parser fills both
	}
)

// latmConfig is what latmElement tells, latmFrame what it holds.
var (
	latmConfig = mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 32000, ChannelConfig: 2, ChannelCount: 2, //nolint:staticcheck // the parser fills both
	}
	latmFrame = []byte{1, 2, 3, 4}
)

func latmElement(t testing.TB) []byte {
	t.Helper()
	b, err := mpeg4audio.AudioMuxElement{
		MuxConfigPresent: true,
		StreamMuxConfig: &mpeg4audio.StreamMuxConfig{
			Programs: []*mpeg4audio.StreamMuxConfigProgram{{
				Layers: []*mpeg4audio.StreamMuxConfigLayer{{
					AudioSpecificConfig: &latmConfig,
					LatmBufferFullness:  255,
				}},
			}},
		},
		Payloads: [][][][]byte{{{latmFrame}}},
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// roundTrip is a stream of two units of one codec.
type roundTrip struct {
	name    string
	codec   codecs.Codec
	write   func(w *mpegts.Writer, t *mpegts.Track, pts int64, payload [][]byte) error
	want    media.Codec
	payload [2][][]byte // that is written, and comes
	comes   [2][][]byte // if it is not the same
	later   int64       // PTS of the second unit, in ticks of the codec; it is written a second later
}

func roundTrips(t testing.TB) []roundTrip {
	latm := latmElement(t)
	frame := []byte{0, 0, 1, 0xb3, 1, 2, 3}
	return []roundTrip{
		{"h264", &codecs.H264{}, func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
			return w.WriteH264(t, pts, pts, p)
		}, &media.H264{}, [2][][]byte{h264Key, h264Inter}, [2][][]byte{}, 90000},
		{"h265", &codecs.H265{}, func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
			return w.WriteH265(t, pts, pts, p)
		}, &media.H265{}, [2][][]byte{{{0x40, 1, 2}, {0x42, 1, 3}, {0x26, 1, 9, 9}}, {{0x02, 1, 4}}}, [2][][]byte{}, 90000},
		{"mpeg-4 video", &codecs.MPEG4Video{}, func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
			return w.WriteMPEG4Video(t, pts, p[0])
		}, &media.MPEG4Video{}, [2][][]byte{{frame}, {frame}}, [2][][]byte{}, 90000},
		{"mpeg-2 video", &codecs.MPEG1Video{}, func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
			return w.WriteMPEG1Video(t, pts, p[0])
		}, &media.MPEG1Video{}, [2][][]byte{{frame}, {frame}}, [2][][]byte{}, 90000},
		{"opus", &codecs.Opus{Desc: &substructs.OpusAudioDescriptor{ChannelConfigCode: 2}},
			func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
				return w.WriteOpus(t, pts, p)
			}, &media.Opus{ChannelCount: 2}, [2][][]byte{{{1, 2}, {3}}, {{4}}}, [2][][]byte{}, 48000},
		{"mpeg-4 audio", &codecs.MPEG4Audio{Config: aacConfig}, func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
			return w.WriteMPEG4Audio(t, pts, p)
		}, &media.MPEG4Audio{Config: &aacConfig}, [2][][]byte{{{1, 2}, {3}}, {{4}}}, [2][][]byte{}, 44100},
		{"mpeg-4 audio latm", &codecs.MPEG4AudioLATM{}, func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
			return w.WriteMPEG4AudioLATM(t, pts, p)
		}, &media.MPEG4Audio{Config: &latmConfig}, [2][][]byte{{latm, latm}, {latm}}, [2][][]byte{{latmFrame, latmFrame}, {latmFrame}}, 32000},
		{"mpeg-1 audio", &codecs.MPEG1Audio{}, func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
			return w.WriteMPEG1Audio(t, pts, p)
		}, &media.MPEG1Audio{}, [2][][]byte{{mp3Frame, mp3Frame}, {mp3Frame}}, [2][][]byte{}, 90000},
		{"ac-3, several frames in a packet", &codecs.AC3{SampleRate: 48000, ChannelCount: 2},
			func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
				return w.WriteAC3(t, pts, bytes.Join(p, nil))
			}, &media.AC3{SampleRate: 48000, ChannelCount: 2}, [2][][]byte{{ac3Frame, ac3Frame}, {ac3Frame}}, [2][][]byte{}, 48000},
		{"synchronous klv", &codecs.KLV{Synchronous: true}, func(w *mpegts.Writer, t *mpegts.Track, pts int64, p [][]byte) error {
			return w.WriteKLV(t, pts, p[0])
		}, &media.KLV{}, [2][][]byte{{{6, 0xe, 0x2b, 0x34}}, {{6, 0xe, 1}}}, [2][][]byte{}, 90000},
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, ca := range roundTrips(t) {
		for _, chunk := range []int{1, 100, 188, 1316, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", ca.name, chunk), func(t *testing.T) {
				t.Parallel()
				// the clock wraps around between the units: it has 33 bits
				start := int64(1)<<33 - 1000
				stream := mux(t, ca.codec, func(w *mpegts.Writer, track *mpegts.Track) {
					for i, p := range ca.payload {
						if err := ca.write(w, track, (start+int64(i)*90000)&(1<<33-1), p); err != nil {
							t.Fatal(err)
						}
					}
				})
				got := demux(t, stream, chunk)
				if len(got.tracks) != 1 || got.tracks[0].Language != "eng" {
					t.Fatalf("tracks: %v, damaged: %v", got.tracks, got.damaged)
				}
				if !reflect.DeepEqual(got.tracks[0].Codec, ca.want) {
					t.Errorf("codec %+v, want %+v", got.tracks[0].Codec, ca.want)
				}
				if len(got.damaged) != 0 {
					t.Errorf("damaged: %v", got.damaged)
				}
				if len(got.units[0]) != 2 {
					t.Fatalf("%d units, want 2", len(got.units[0]))
				}
				for i, u := range got.units[0] {
					if want := int64(i) * ca.later; u.PTS != want {
						t.Errorf("unit %d: PTS %d, want %d", i, u.PTS, want)
					}
					comes := ca.payload[i]
					if ca.comes[i] != nil {
						comes = ca.comes[i]
					}
					if !reflect.DeepEqual(u.Payload, comes) {
						t.Errorf("unit %d: payload %x", i, u.Payload)
					}
				}
			})
		}
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		pts  int64
		rate int
		want int64
	}{
		{12345, 90000, 12345},
		{2090, 44100, 1024}, // one AAC access unit, rounded by the sender
		{90000 * 86400 * 365 * 100, 48000, 48000 * 86400 * 365 * 100},
		{-90000, 48000, -48000},
		{-1, 90000, -1},
		{-90, 48000, -48},
	} {
		if got := scale(ca.pts, ca.rate); got != ca.want {
			t.Errorf("scale(%d, %d) = %d, want %d", ca.pts, ca.rate, got, ca.want)
		}
	}
}

func h264Stream(t testing.TB, units int) []byte {
	return mux(t, &codecs.H264{}, func(w *mpegts.Writer, track *mpegts.Track) {
		for i := range units {
			if err := w.WriteH264(track, int64(i)*3000, int64(i)*3000, h264Key); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What was lost on the network takes its access unit with it, and nothing else.
func TestGap(t *testing.T) {
	t.Parallel()
	stream := h264Stream(t, 5)
	last := len(h264Stream(t, 4)) / packetSize // only the next access unit tells that the last one was cut
	for _, gap := range []int{1, 7, 12} {      // the counter cannot tell a multiple of 16
		for lost := 6; lost+gap < last; lost += 5 {
			damaged := bytes.Clone(stream[:lost*packetSize])
			damaged = append(damaged, stream[(lost+gap)*packetSize:]...)
			got := demux(t, damaged, 1316)
			for _, u := range got.units[0] {
				if !reflect.DeepEqual(u.Payload, h264Key) {
					t.Fatalf("lost %d from %d: a damaged access unit was delivered", gap, lost)
				}
			}
			if n := len(got.units[0]); n < 3 || n > 4 {
				t.Errorf("lost %d from %d: %d units", gap, lost, n)
			}
			if len(got.damaged) == 0 {
				t.Errorf("lost %d from %d: not reported", gap, lost)
			}
		}
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	stream := h264Stream(t, 4)
	garbage := bytes.Repeat([]byte{1, 2, 3}, 100)
	scrambled := bytes.Clone(stream)
	for i := 3; i < len(scrambled); i += packetSize {
		scrambled[i] |= 0x80
	}
	twice := []byte{}
	for i := 0; i < len(stream); i += packetSize {
		twice = append(twice, stream[i:i+packetSize]...)
		twice = append(twice, stream[i:i+packetSize]...)
	}
	for _, ca := range []struct {
		name   string
		stream []byte
		units  int
		quiet  bool
	}{
		{"garbage in front", append(bytes.Clone(garbage), stream...), 4, false},
		{"garbage at the end", append(bytes.Clone(stream), garbage...), 4, false},
		{"starts inside a packet", append(bytes.Clone(stream[100:]), stream...), 7, false},
		{"garbage between packets", append(append(bytes.Clone(stream), garbage...), h264Stream(t, 4)...), 7, false},
		{"packets are sent twice", twice, 4, true},
		{"scrambled", scrambled, 0, false},
		{"empty", nil, 0, true},
		{"one packet", stream[:188], 0, true},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			got := demux(t, ca.stream, 1000)
			units := 0
			for _, u := range got.units {
				units += len(u)
			}
			if units < ca.units || units > ca.units+1 {
				t.Errorf("%d units, want %d", units, ca.units)
			}
			if quiet := len(got.damaged) == 0; quiet != ca.quiet {
				t.Errorf("damaged: %v", got.damaged)
			}
		})
	}
}

// A packet that never ends does not fill the memory.
func TestEndless(t *testing.T) {
	t.Parallel()
	c := &capture{}
	d := NewDemuxer(c.options())
	defer d.Close()
	if _, err := d.Write(h264Stream(t, 2)); err != nil {
		t.Fatal(err)
	}
	const pid = 256 // the first that the muxer uses
	pkt := make([]byte, packetSize)
	most := 0
	for i := range 2 * maxPES / packetSize {
		pkt[0], pkt[1], pkt[2], pkt[3] = syncByte, pid>>8, pid&0xff, 0x10|byte(i&0x0f)
		if i == 0 {
			pkt[1] |= 0x40
			copy(pkt[4:], []byte{0, 0, 1, 0xe0, 0, 0})
		}
		if _, err := d.Write(pkt); err != nil {
			t.Fatal(err)
		}
		most = max(most, d.pending)
	}
	if most < maxPES/2 || most > maxPES+packetSize || d.pending != 0 {
		t.Errorf("%d bytes were held, %d are", most, d.pending)
	}
	if len(d.packets.buf) > 1<<20 {
		t.Errorf("the buffer has %d bytes", len(d.packets.buf))
	}
	// what comes next is delivered
	before := len(c.units[0])
	if _, err := d.Write(h264Stream(t, 3)); err != nil {
		t.Fatal(err)
	}
	if len(c.units[0]) < before+2 {
		t.Errorf("%d units more", len(c.units[0])-before)
	}
}

// Frames of audio that begin in one packet and end in another.
func TestUnalignedFrames(t *testing.T) {
	t.Parallel()
	aus := [][]byte{bytes.Repeat([]byte{1}, 100), bytes.Repeat([]byte{2}, 200), bytes.Repeat([]byte{3}, 50)}
	var stream []byte
	for _, au := range aus {
		b, err := mpeg4audio.ADTSPackets{{Type: aacConfig.Type, SampleRate: 48000, ChannelConfig: 2, AU: au}}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		stream = append(stream, b...)
	}
	for cut := 1; cut < len(stream); cut++ {
		var got [][]byte
		var times []int64
		f := &frames{header: 7, parse: adtsInfo, emit: func(pts int64, frames [][]byte) {
			for _, f := range frames {
				au, _, err := adtsPayload(f)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, au)
			}
			times = append(times, pts)
		}, damage: func(err error) { t.Errorf("cut at %d: %v", cut, err) }}
		// the second packet has the time of the first frame that starts in it
		starts := []int{0, 107, 314, len(stream)}
		first := 0
		for starts[first] < cut {
			first++
		}
		f.push(pesPacket{hasPTS: true, pts: 1000, data: stream[:cut]})
		f.push(pesPacket{hasPTS: true, pts: 1000 + int64(first)*1920, data: stream[cut:]})
		if !reflect.DeepEqual(got, aus) {
			t.Fatalf("cut at %d: %d access units", cut, len(got))
		}
		for _, pts := range times {
			if (pts-1000)%1920 != 0 {
				t.Errorf("cut at %d: time stamps %v", cut, times)
			}
		}
	}
}

func TestADTSWithChecksum(t *testing.T) {
	t.Parallel()
	plain, err := mpeg4audio.ADTSPackets{{Type: 2, SampleRate: 48000, ChannelConfig: 2, AU: []byte{1, 2, 3}}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	frame := append(bytes.Clone(plain[:7]), 0xaa, 0xbb, 1, 2, 3)
	frame[1] &^= 1
	frame[5] = frame[5]&0x1f | byte(len(frame)<<5)
	frame[4] = byte(len(frame) >> 3)
	info, err := adtsInfo(frame)
	if err != nil || info.size != len(frame) {
		t.Fatal(info, err)
	}
	au, config, err := adtsPayload(frame)
	if err != nil || !bytes.Equal(au, []byte{1, 2, 3}) || config.SampleRate != 48000 {
		t.Error(au, config, err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for _, ca := range []struct {
		name   string
		codec  codecs.Codec
		refuse error
		want   error
	}{
		{"the tracks are refused", &codecs.H264{}, refused, refused},
		{"no track with a known codec", &codecs.DVBSubtitle{}, nil, ErrNoTracks},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			stream := mux(t, ca.codec, func(w *mpegts.Writer, _ *mpegts.Track) {
				if _, err := w.WriteTables(); err != nil {
					t.Fatal(err)
				}
			})
			d := NewDemuxer((&capture{refuse: ca.refuse}).options())
			defer d.Close()
			for range 2 { // the error stays
				if _, err := d.Write(stream); !errors.Is(err, ca.want) {
					t.Errorf("error %v, want %v", err, ca.want)
				}
			}
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	c := &capture{}
	d := NewDemuxer(c.options())
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Write(h264Stream(t, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
}

// Tracks of which only some can be received, the others with a codec that is not
// complete at first.
func TestHeldTracks(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	video, audio := &mpegts.Track{Codec: &codecs.H264{}}, &mpegts.Track{Codec: &codecs.MPEG4AudioLATM{}}
	w := &mpegts.Writer{W: &buf, Tracks: []*mpegts.Track{video, audio}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(10) {
		if err := w.WriteH264(video, i*3000, i*3000, h264Key); err != nil {
			t.Fatal(err)
		}
		if i == 5 {
			if err := w.WriteMPEG4AudioLATM(audio, i*3000, [][]byte{latmElement(t)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := demux(t, buf.Bytes(), 1316)
	if len(got.tracks) != 2 || len(got.units[0]) != 10 || len(got.units[1]) != 1 {
		t.Fatalf("tracks %v, units %v", got.tracks, got.units)
	}
	if pts := got.units[1][0].PTS; pts != 5*3000*32000/90000 {
		t.Errorf("PTS %d", pts)
	}

	// without any audio, the video comes alone
	buf.Reset()
	if _, err := w.WriteTables(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(maxHeldUnits + 10) {
		if err := w.WriteH264(video, i*3000, i*3000, h264Inter); err != nil {
			t.Fatal(err)
		}
	}
	c := &capture{}
	d := NewDemuxer(c.options())
	defer d.Close()
	if _, err := d.Write(buf.Bytes()); err != nil {
		t.Fatal(err)
	}
	if len(c.tracks) != 1 || len(c.units[0]) < maxHeldUnits {
		t.Errorf("tracks %v", c.tracks)
	}
}

func FuzzDemuxer(f *testing.F) {
	for _, ca := range roundTrips(f) {
		f.Add(mux(f, ca.codec, func(w *mpegts.Writer, track *mpegts.Track) {
			for i, p := range ca.payload {
				if err := ca.write(w, track, int64(i)*90000, p); err != nil {
					f.Fatal(err)
				}
			}
		}), 188)
	}
	f.Fuzz(func(t *testing.T, stream []byte, chunk int) {
		c := &capture{}
		d := NewDemuxer(c.options())
		defer d.Close()
		for len(stream) > 0 {
			n := min(max(chunk, 1), len(stream))
			if _, err := d.Write(stream[:n]); err != nil {
				return
			}
			stream = stream[n:]
		}
		held := 0
		for _, s := range d.order {
			held += s.pes.held()
		}
		if d.pending != held || held > maxPending {
			t.Errorf("%d bytes are held, %d counted", held, d.pending)
		}
	})
}

// Parameters of audio that change for good are those of another stream; those of a single
// frame are damage.
func TestOtherConfig(t *testing.T) {
	t.Parallel()
	other := aacConfig
	other.SampleRate = 48000
	for _, ca := range []struct {
		frames int // of the other configuration
		err    error
	}{{3, nil}, {maxOtherConfigs, ErrProgramChanged}} {
		codec := &codecs.MPEG4Audio{Config: aacConfig}
		stream := mux(t, codec, func(w *mpegts.Writer, track *mpegts.Track) {
			for i := range 2*maxOtherConfigs + ca.frames {
				codec.Config = aacConfig
				if i >= maxOtherConfigs && i < maxOtherConfigs+ca.frames {
					codec.Config = other
				}
				if err := w.WriteMPEG4Audio(track, int64(i)*2090, [][]byte{{1, 2, byte(i)}}); err != nil {
					t.Fatal(err)
				}
			}
		})
		units := 0
		d := NewDemuxer(DemuxerOptions{Tracks: func([]media.Track) (func(int, *media.Unit), error) {
			return func(int, *media.Unit) { units++ }, nil
		}})
		_, err := d.Write(stream)
		_ = d.Close()
		if !errors.Is(err, ca.err) {
			t.Errorf("%d frames: error %v, want %v", ca.frames, err, ca.err)
		}
		if want := 2 * maxOtherConfigs; ca.err == nil && units != want {
			t.Errorf("%d frames: %d units, want %d", ca.frames, units, want)
		}
	}
}

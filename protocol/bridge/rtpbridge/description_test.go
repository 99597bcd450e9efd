package rtpbridge

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/sdpunmarshaler"

	"github.com/org/mtx/router/media"
)

var update = flag.Bool("update", false, "write golden files")

func parse(b []byte) (*description.Session, error) {
	ssd, err := sdpunmarshaler.Unmarshal(b)
	if err != nil {
		return nil, err
	}
	var desc description.Session
	return &desc, desc.Unmarshal2(ssd)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := must[[]byte](t)(os.ReadFile(path))
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it):\n%s", path, got)
	}
}

// describe prints tracks, the golden form of what Tracks returns.
func describe(tracks []media.Track) []byte {
	var b bytes.Buffer
	for i, tr := range tracks {
		fmt.Fprintf(&b, "%d %s group=%d rate=%d", i, tr.Codec.Kind(), tr.Group, tr.Codec.ClockRate())
		switch c := tr.Codec.(type) {
		case *media.MPEG4Audio:
			fmt.Fprintf(&b, " %T%+v\n", c, *c.Config)
		case *media.MPEG4AudioLATM:
			fmt.Fprintf(&b, " %T config=%v\n", c, c.Config != nil)
		case *media.Speex:
			fmt.Fprintf(&b, " %T vbr=%v\n", c, *c.VBR)
		default:
			fmt.Fprintf(&b, " %T%s\n", c, strings.TrimPrefix(fmt.Sprintf("%+v", c), "&"))
		}
	}
	return b.Bytes()
}

// Each session description of a publisher has two golden files: its tracks, and
// the session description for readers.
func TestGoldenDescriptions(t *testing.T) {
	t.Parallel()
	files := must[[]string](t)(filepath.Glob("testdata/*.sdp"))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sdp")
		if strings.Contains(name, ".") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			desc := must[*description.Session](t)(parse(must[[]byte](t)(os.ReadFile(file))))
			tracks, refs, err := Tracks(desc)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".tracks.txt", describe(tracks))

			origins := make([]media.Depacketizer, len(refs))
			for i, ref := range refs {
				origins[i] = must[*Depacketizer](t)(NewDepacketizer(ref.Format))
			}
			out, outRefs, err := Description(tracks, origins)
			if err != nil {
				t.Fatal(err)
			}
			sdp := must[[]byte](t)(out.Marshal())
			golden(t, name+".reader.sdp", sdp)
			checkReader(t, sdp, tracks)

			for i, ref := range outRefs {
				p := must[*Packetizer](t)(NewPacketizer(PacketizerOptions{
					Track: tracks[i], Format: ref.Format, Origin: origins[i],
				}))
				if !p.pass {
					t.Errorf("packets of track %d do not pass through", i)
				}
			}
		})
	}
}

// checkReader reads a description for readers back: the tracks are the same.
func checkReader(t *testing.T, sdp []byte, want []media.Track) {
	t.Helper()
	tracks, _, err := Tracks(must[*description.Session](t)(parse(sdp)))
	if err != nil {
		t.Fatal(err)
	}
	if len(tracks) != len(want) {
		t.Fatalf("readers see %d tracks, want %d", len(tracks), len(want))
	}
	for i := range tracks {
		// kinds of MPEG-TS and groups are numbered by what the session holds
		if got, want := tracks[i].Codec, want[i].Codec; got.Name() != want.Name() || got.ClockRate() != want.ClockRate() {
			t.Errorf("readers see track %d as %s, want %s", i, got.Name(), want.Name())
		}
	}
}

// Tracks of publishers that do not send RTP, all codecs at once, more than there
// are dynamic payload types.
func TestGoldenWithoutOrigins(t *testing.T) {
	t.Parallel()
	var tracks []media.Track
	for _, c := range codecCases() {
		tracks = append(tracks, media.Track{Codec: c.codec})
	}
	for range 20 {
		tracks = append(tracks, media.Track{Codec: &media.VP8{}})
	}
	tracks = append(tracks, media.Track{Codec: &media.FLAC{SampleRate: 48000, ChannelCount: 2}})

	desc, refs, err := Description(tracks, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last := refs[len(refs)-1]; last.Format != nil || last.Media != nil {
		t.Error("FLAC is in the session description")
	}
	sdp := must[[]byte](t)(desc.Marshal())
	golden(t, "codecs.reader.sdp", sdp)
	checkReader(t, sdp, tracks[:len(tracks)-1])
}

func TestDescriptionCurrentParameters(t *testing.T) {
	t.Parallel()
	origin := must[*Depacketizer](t)(NewDepacketizer(&format.H264{PayloadTyp: 105, SPS: h264SPS, PPS: h264PPS}))
	_, refs, err := Description(
		[]media.Track{{Codec: &media.H264{SPS: h264SPS2, PPS: h264PPS}}},
		[]media.Depacketizer{origin})
	if err != nil {
		t.Fatal(err)
	}
	f := refs[0].Format.(*format.H264)
	if !bytes.Equal(f.SPS, h264SPS2) || f.PacketizationMode != 1 || f.PayloadTyp != 96 {
		t.Errorf("wrong format: %v", f.FMTP())
	}
}

func TestCheckSDP(t *testing.T) {
	t.Parallel()
	valid := must[[]byte](t)(os.ReadFile("testdata/video.sdp"))
	if err := CheckSDP(valid); err != nil {
		t.Error(err)
	}
	for _, sdp := range []string{
		"",
		"v=0\r\ns=-\r\n",
		// the configuration ends inside of a start code
		"v=0\r\ns=-\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\n" +
			"a=fmtp:96 config=000001b001000001\r\n",
	} {
		if err := CheckSDP([]byte(sdp)); err == nil {
			t.Errorf("%q is accepted", sdp)
		}
	}
}

func TestNoTracks(t *testing.T) {
	t.Parallel()
	desc := must[*description.Session](t)(parse([]byte("v=0\r\ns=-\r\nm=application 0 RTP/AVP 108\r\n")))
	if _, _, err := Tracks(desc); err == nil || !strings.Contains(err.Error(), "payload type 108") {
		t.Errorf("error is %v", err)
	}
	if _, _, err := Description([]media.Track{{Codec: &media.FLAC{}}}, nil); err == nil ||
		!strings.Contains(err.Error(), "FLAC cannot be sent over RTP") {
		t.Errorf("error is %v", err)
	}
	if _, _, err := Description([]media.Track{{}}, nil); err == nil {
		t.Error("a track without codec is accepted")
	}
}

func TestFormatOfErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []media.Codec{
		&media.FLAC{},
		&media.LPCM{BitDepth: 32, SampleRate: 48000, ChannelCount: 2},
		&media.Vorbis{SampleRate: 48000, ChannelCount: 2},
		&media.MPEG4Audio{},
		&media.Generic{},
		&media.Generic{RTPMap: "x"},
		&media.Generic{RTPMap: "x/abc"},
	} {
		if f, err := FormatOf(c, 96); err == nil {
			t.Errorf("%s: %+v has format %+v", c.Name(), c, f)
		}
	}
}

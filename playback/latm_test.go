package playback

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	mpegtscodecs "github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
)

// latmFilm is a transport stream with AAC in LATM form, of which every tenth element
// has the configuration.
func latmFilm(t *testing.T, seconds int) []byte {
	t.Helper()
	mux := &mpeg4audio.StreamMuxConfig{Programs: []*mpeg4audio.StreamMuxConfigProgram{{
		Layers: []*mpeg4audio.StreamMuxConfigLayer{{
			AudioSpecificConfig: &mpeg4audio.AudioSpecificConfig{
				Type: mpeg4audio.ObjectTypeAACLC, SampleRate: audioScale, ChannelConfig: 2, ChannelCount: 2, //nolint:staticcheck // the parser fills both
			},
			LatmBufferFullness: 255,
		}},
	}}}
	video, audio := &mpegts.Track{Codec: &mpegtscodecs.H264{}}, &mpegts.Track{Codec: &mpegtscodecs.MPEG4AudioLATM{}}
	var buf bytes.Buffer
	w := &mpegts.Writer{W: &buf, Tracks: []*mpegts.Track{video, audio}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	frames := 0
	for i := range int64(seconds * 30) {
		au := [][]byte{{0x41, 0x9a, byte(i)}}
		if i%30 == 0 {
			au = [][]byte{[]byte(sps48), []byte(pps48), {0x65, 0x88, 0x84}}
		}
		if err := w.WriteH264(video, i*frameTicks, i*frameTicks, au); err != nil {
			t.Fatal(err)
		}
		for ; int64(frames)*1024*30 < (i+1)*audioScale; frames++ {
			b, err := mpeg4audio.AudioMuxElement{
				MuxConfigPresent: true, UseSameStreamMux: frames%10 != 0, StreamMuxConfig: mux,
				Payloads: [][][][]byte{{{identity('a', frames)}}},
			}.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if err := w.WriteMPEG4AudioLATM(audio, int64(frames)*1024*videoScale/audioScale, [][]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return buf.Bytes()
}

// AAC in LATM form is played as AAC.
func TestLATMIsPlayed(t *testing.T) {
	t.Parallel()
	g, _ := transportRig(t)
	g.store("ts", filmStart, latmFilm(t, 4))
	for _, from := range []time.Duration{0, 2 * time.Second} {
		res, body := g.get(part("ts", filmStart.Add(from), 2*time.Second, "fmp4"))
		if res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("mp4a")) {
			t.Fatalf("from %v: status %d, %.100q", from, res.StatusCode, body)
		}
		tracks := samplesOf(t, body)
		if n := len(tracks[0]); n < 60 || n > 61 {
			t.Errorf("from %v: %d pictures", from, n)
		}
		// a part begins with the first configuration at or after its key frame
		if n := len(tracks[1]); n < 94-10 || n > 95 {
			t.Errorf("from %v: %d frames of audio", from, n)
		}
		first := -1
		for i, s := range tracks[1] {
			at := int(s.pts+from.Milliseconds()*audioScale/1000+512) / 1024
			if first < 0 {
				first = at
			}
			if s.name != fmt.Sprintf("a%d", first+i) || at != first+i {
				t.Fatalf("from %v: sample %d is %s at %d ticks", from, i, s.name, s.pts)
			}
		}
	}
}

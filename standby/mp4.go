package standby

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/org/mtx/router/media"
)

const (
	// maxFile is the largest file that is accepted: all of it is kept in memory.
	maxFile = 64 << 20

	maxTracks  = 16
	maxSamples = 1 << 17
	maxBoxes   = 1 << 16
)

// Open makes a segment of an MP4 file, plain or fragmented, of at most 64 MiB.
// Codecs are AV1, VP9, H265, H264, MPEG-4 video, MPEG-1 and MPEG-2 video, M-JPEG,
// Opus, FLAC, MPEG-4 audio, MPEG-1 audio, AC-3, LPCM (16 and 24 bits) and G711 (in
// QuickTime files); each track of video begins with a key frame. Tracks that are
// neither video nor audio are left out.
//
// Edit lists count as far as a live stream can follow them: a pause before a track,
// and where it begins and ends. Video begins with the key frame before.
func Open(name string) (*Segment, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	switch {
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", name)
	case st.Size() > maxFile:
		return nil, fmt.Errorf("%s has %d bytes; at most %d are accepted", name, st.Size(), maxFile)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	s, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// firstBoxes are what MP4 files begin with.
var firstBoxes = []string{"ftyp", "styp", "moov", "mdat", "free", "skip", "wide"}

// parse reads an MP4 file.
func parse(data []byte) (*Segment, error) {
	if len(data) < 8 || !slices.Contains(firstBoxes, string(data[4:8])) {
		return nil, errors.New("this is not an MP4 file")
	}
	top, err := boxes(data, 0)
	if err != nil {
		return nil, err
	}
	var moov *box
	for i := range top {
		if top[i].typ == "moov" {
			moov = &top[i]
			break
		}
	}
	if moov == nil {
		return nil, missingError("moov")
	}
	list, err := moov.children()
	if err != nil {
		return nil, err
	}
	s := &Segment{key: fmt.Sprintf("%x", sha256.Sum256(data))}
	n, total := 0, 0
	var spans []span
	for _, b := range list {
		if b.typ != "trak" {
			continue
		}
		if n++; n > maxTracks {
			return nil, fmt.Errorf("there are more than %d tracks", maxTracks)
		}
		t, sp, err := loadTrack(data, top, moov, b)
		if err != nil {
			return nil, fmt.Errorf("track %d: %w", n, err)
		}
		if t == nil {
			continue
		}
		if total += len(t.samples); total > maxSamples {
			return nil, fmt.Errorf("there are more than %d frames", maxSamples)
		}
		s.tracks = append(s.tracks, t)
		spans = append(spans, sp)
	}
	if len(s.tracks) == 0 {
		return nil, errors.New("there is no track of video or audio")
	}
	s.join(spans)
	return s, nil
}

// span is when a track begins and ends.
type span struct{ begin, end time.Duration }

// join makes the segment begin with its first track, and as long as its longest one: those
// that begin later also begin later when they are repeated.
func (s *Segment) join(spans []span) {
	begin := spans[0].begin
	for _, sp := range spans {
		begin = min(begin, sp.begin)
	}
	for i, t := range s.tracks {
		s.period = max(s.period, spans[i].end-spans[i].begin)
		half := time.Second / time.Duration(2*t.codec.ClockRate()) // of a tick
		if begin < 0 {
			half = -half
		}
		shift := media.Ticks(begin+half, t.codec.ClockRate())
		for j := range t.samples {
			t.samples[j].pts -= shift
			t.samples[j].dts -= shift
		}
	}
}

// loadTrack returns a track and when it is shown; nil if it is neither video nor audio.
func loadTrack(data []byte, top []box, moov *box, trak box) (*track, span, error) {
	hdlr, err := trak.child("mdia", "hdlr")
	if err != nil {
		return nil, span{}, err
	}
	if len(hdlr.body) < 12 {
		return nil, span{}, errTruncated
	}
	if kind := string(hdlr.body[8:12]); kind != "vide" && kind != "soun" {
		return nil, span{}, nil
	}
	l, err := readHead(moov, trak)
	if err != nil {
		return nil, span{}, err
	}
	sp, err := l.load(data, top, moov, trak)
	if err != nil {
		return nil, span{}, fmt.Errorf("%s: %w", l.codec.Name(), err)
	}
	return &track{codec: l.codec, samples: l.samples}, sp, nil
}

package hls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	tscodecs "github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
)

const (
	// tsPacket is the size of a packet of a transport stream, bytes.
	tsPacket = 188

	// maxTracks bounds the tracks of a segment.
	maxTracks = 10
)

// A client has no protection against panics of parsers in its goroutines, and does
// not expect all codecs. What it gets is therefore parsed here first.

// survive turns a panic into an error.
func survive(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("invalid segment: panic: %v", v)
	}
}

// checkMedia checks what no playlist has listed.
func checkMedia(body []byte) error {
	var err error
	switch {
	case len(body) == 0:
		return errors.New("an empty segment")
	case isTransportStream(body):
		_, _, err = checkTransportStream(body)
	case len(body) >= 8 && bytes.Equal(body[4:8], []byte("ftyp")):
		_, err = checkInit(body)
	case len(body) >= 8 && body[0] == 0: // a box of reasonable size
		_, err = checkFragments(body, nil)
	}
	return err
}

func isTransportStream(body []byte) bool {
	return len(body) >= 2*tsPacket && body[0] == 0x47 && body[tsPacket] == 0x47
}

// checkFragments finds the span of the leading track too.
func checkFragments(body []byte, of *lead) (s span, err error) {
	defer survive(&err)
	if len(body) == 0 {
		return s, errors.New("an empty segment")
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(body); err != nil {
		return s, fmt.Errorf("invalid segment: %w", err)
	}
	for _, p := range parts {
		for _, t := range p.Tracks {
			if t.BaseTime > 1<<62 {
				return s, errors.New("invalid segment: absurd time")
			}
			if of == nil || t.ID != of.id {
				continue
			}
			if !s.ok {
				s.first, s.ok = int64(t.BaseTime), true
			}
			s.end = int64(t.BaseTime)
			for _, sample := range t.Samples {
				s.end += int64(sample.Duration)
			}
		}
	}
	return s, nil
}

func checkInit(body []byte) (tracks []*fmp4.InitTrack, err error) {
	defer survive(&err)
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(body)); err != nil {
		return nil, fmt.Errorf("invalid initialization segment: %w", err)
	}
	if len(init.Tracks) == 0 || len(init.Tracks) > maxTracks {
		return nil, fmt.Errorf("an initialization segment with %d tracks: between 1 and %d are accepted", len(init.Tracks), maxTracks)
	}
	ids := map[int]bool{}
	for _, t := range init.Tracks {
		if t.TimeScale == 0 || ids[t.ID] {
			return nil, errors.New("invalid initialization segment: no time scale, or a track that is there twice")
		}
		ids[t.ID] = true
		switch t.Codec.(type) {
		case *codecs.AV1, *codecs.VP9, *codecs.H265, *codecs.H264, *codecs.Opus, *codecs.MPEG4Audio, *codecs.FLAC:
		default:
			return nil, fmt.Errorf("codec %s: AV1, VP9, H265, H264, Opus, MPEG-4 Audio and FLAC are accepted",
				strings.TrimPrefix(fmt.Sprintf("%T", t.Codec), "*codecs."))
		}
	}
	return init.Tracks, nil
}

// leadOf finds the track that the client takes for the leading one.
func leadOf(tracks []*fmp4.InitTrack) *lead {
	i := max(slices.IndexFunc(tracks, func(t *fmp4.InitTrack) bool { return t.Codec.IsVideo() }), 0)
	return &lead{id: tracks[i].ID, scale: float64(tracks[i].TimeScale)}
}

// checkTransportStream also returns the span of the leading track, in DTS, and the
// codecs that the client ignores.
func checkTransportStream(body []byte) (s span, ignored string, err error) {
	defer survive(&err)
	switch {
	case len(body) == 0:
		return s, "", errors.New("an empty segment")
	case bytes.HasPrefix(body, []byte("ID3")) || len(body) > 1 && body[0] == 0xff && body[1]&0xf6 == 0xf0:
		return s, "", errors.New("the segments are audio without a container, which is not supported")
	}
	r := &mpegts.Reader{R: bytes.NewReader(body)}
	if err := r.Initialize(); err != nil {
		return s, "", fmt.Errorf("invalid segment: %w", err)
	}
	if len(r.Tracks()) > maxTracks {
		return s, "", fmt.Errorf("a segment with %d tracks: at most %d are accepted", len(r.Tracks()), maxTracks)
	}
	r.OnDecodeError(func(error) {}) // the client reports them
	leading := leadingTrack(r.Tracks())
	for _, t := range r.Tracks() {
		note := func(dts int64) {
			if t != leading {
				return
			}
			if !s.ok {
				s.first, s.ok = dts, true
			}
			s.end = dts
		}
		switch t.Codec.(type) {
		case *tscodecs.H264:
			r.OnDataH264(t, func(_, dts int64, _ [][]byte) error { note(dts); return nil })
		case *tscodecs.MPEG4Audio:
			r.OnDataMPEG4Audio(t, func(pts int64, _ [][]byte) error { note(pts); return nil })
		case *tscodecs.KLV:
			r.OnDataKLV(t, func(pts int64, _ []byte) error { note(pts); return nil })
		default:
			ignored += " " + strings.TrimPrefix(fmt.Sprintf("%T", t.Codec), "*codecs.")
		}
	}
	for {
		if err := r.Read(); err != nil {
			if errors.Is(err, io.EOF) {
				return s, strings.TrimSpace(ignored), nil
			}
			return s, "", fmt.Errorf("invalid segment: %w", err)
		}
	}
}

// leadingTrack finds the track that the client takes for the leading one.
func leadingTrack(tracks []*mpegts.Track) *mpegts.Track {
	var out *mpegts.Track
	rank := 0
	for _, t := range tracks {
		n := 0
		switch t.Codec.(type) {
		case *tscodecs.H264:
			n = 3
		case *tscodecs.MPEG4Audio:
			n = 2
		case *tscodecs.KLV:
			n = 1
		}
		if n > rank {
			out, rank = t, n
		}
	}
	return out
}

package hls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
)

const (
	// tsPacket is the size of a packet of a transport stream, bytes.
	tsPacket = 188

	// maxTracks bounds the tracks of a segment.
	maxTracks = 10
)

// checkMedia parses a segment before the client does, which has no protection
// against panics of parsers in its goroutines, and does not expect all codecs.
func checkMedia(body []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("invalid segment: panic: %v", v)
		}
	}()
	switch {
	case len(body) == 0:
		return errors.New("an empty segment")
	case len(body) >= 2*tsPacket && body[0] == 0x47 && body[tsPacket] == 0x47:
		return checkTransportStream(body)
	case len(body) >= 8 && bytes.Equal(body[4:8], []byte("ftyp")):
		return checkInit(body)
	case len(body) >= 8 && body[0] == 0: // a box of reasonable size
		var parts fmp4.Parts
		if err := parts.Unmarshal(body); err != nil {
			return fmt.Errorf("invalid segment: %w", err)
		}
		for _, p := range parts {
			for _, t := range p.Tracks {
				if t.BaseTime > 1<<62 {
					return errors.New("invalid segment: absurd time")
				}
			}
		}
	}
	return nil
}

func checkInit(body []byte) error {
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(body)); err != nil {
		return fmt.Errorf("invalid initialization segment: %w", err)
	}
	if len(init.Tracks) == 0 || len(init.Tracks) > maxTracks {
		return fmt.Errorf("an initialization segment with %d tracks: between 1 and %d are accepted", len(init.Tracks), maxTracks)
	}
	ids := map[int]bool{}
	for _, t := range init.Tracks {
		if t.TimeScale == 0 || ids[t.ID] {
			return errors.New("invalid initialization segment: no time scale, or a track that is there twice")
		}
		ids[t.ID] = true
		switch t.Codec.(type) {
		case *codecs.AV1, *codecs.VP9, *codecs.H265, *codecs.H264, *codecs.Opus, *codecs.MPEG4Audio, *codecs.FLAC:
		default:
			return fmt.Errorf("codec %s: AV1, VP9, H265, H264, Opus, MPEG-4 Audio and FLAC are accepted",
				strings.TrimPrefix(fmt.Sprintf("%T", t.Codec), "*codecs."))
		}
	}
	return nil
}

func checkTransportStream(body []byte) error {
	r := &mpegts.Reader{R: bytes.NewReader(body)}
	if err := r.Initialize(); err != nil {
		return fmt.Errorf("invalid segment: %w", err)
	}
	if len(r.Tracks()) > maxTracks {
		return fmt.Errorf("a segment with %d tracks: at most %d are accepted", len(r.Tracks()), maxTracks)
	}
	r.OnDecodeError(func(error) {}) // the client reports them
	for {
		if err := r.Read(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("invalid segment: %w", err)
		}
	}
}

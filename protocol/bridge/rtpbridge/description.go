package rtpbridge

import (
	"errors"
	"fmt"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/router/media"
)

// Range of dynamic payload types, RFC 3551 section 6.
const (
	firstDynamic = 96
	lastDynamic  = 127
)

// Ref tells where a track is in a session description. Both fields are nil for a
// track that is not in it.
type Ref struct {
	Media  *description.Media
	Format format.Format
}

// Tracks returns the tracks that a publisher announces in its session
// description, one for each format of each media section, and the place of each
// of them. Formats of the same section share a Group. Back channels are left
// out, and so are formats whose packets cannot be put on a time line because
// they have no clock rate. If no track is left, the error tells why.
func Tracks(desc *description.Session) ([]media.Track, []Ref, error) {
	var tracks []media.Track
	var refs []Ref
	var skipped []error

	for i, m := range desc.Medias {
		if m.IsBackChannel {
			skipped = append(skipped, fmt.Errorf("media %d is a back channel", i+1))
			continue
		}
		first := len(tracks)
		for _, f := range m.Formats {
			if ClockRate(f) <= 0 {
				skipped = append(skipped, fmt.Errorf("media %d: payload type %d (%q) has no clock rate",
					i+1, f.PayloadType(), f.RTPMap()))
				continue
			}
			tracks = append(tracks, media.Track{Codec: codecIn(m, f)})
			refs = append(refs, Ref{Media: m, Format: f})
		}
		if len(tracks)-first > 1 {
			for j := first; j < len(tracks); j++ {
				tracks[j].Group = i + 1
			}
		}
	}

	if len(tracks) == 0 {
		return nil, nil, fmt.Errorf("the session description has no track that can be received: %w",
			errors.Join(append(skipped, errNoTracks)...))
	}
	return tracks, refs, nil
}

var errNoTracks = errors.New("no tracks")

// codecIn is CodecOf with the kind of generic codecs taken from the section.
func codecIn(m *description.Media, f format.Format) media.Codec {
	c := CodecOf(f)
	if g, ok := c.(*media.Generic); ok {
		switch m.Type {
		case description.MediaTypeVideo:
			g.Media = media.Video
		case description.MediaTypeAudio:
			g.Media = media.Audio
		default:
			g.Media = media.Data
		}
	}
	return c
}

// Description returns the session description for readers of tracks, and the
// place of each track in it. Tracks that RTP cannot carry have an empty [Ref]; an
// error is returned only if no track is left.
//
// origins holds the depacketizers of the publisher, by track, as given to the
// stream; it may be nil or hold nils. If it holds a [Depacketizer] of this
// package, then the format for readers is that of the publisher as far as
// packets depend on it, so that a [Packetizer] can pass packets through.
//
// Payload types are static where possible, otherwise 96 and up. Control
// attributes are left empty.
func Description(
	tracks []media.Track, origins []media.Depacketizer,
) (*description.Session, []Ref, error) {
	b := descriptionBuilder{next: firstDynamic, groups: map[int]*description.Media{}}
	refs := make([]Ref, len(tracks))
	var skipped []error

	for i, t := range tracks {
		f, err := readerFormat(t.Codec, originFormat(origins, i), b.next)
		if err != nil {
			skipped = append(skipped, fmt.Errorf("track %d: %w", i+1, err))
			continue
		}
		refs[i] = Ref{Media: b.add(t, f), Format: f}
	}

	if len(b.desc.Medias) == 0 {
		return nil, nil, fmt.Errorf("no track can be sent over RTP: %w",
			errors.Join(append(skipped, errNoTracks)...))
	}
	return &b.desc, refs, nil
}

func originFormat(origins []media.Depacketizer, i int) format.Format {
	if i < len(origins) {
		if d, ok := origins[i].(*Depacketizer); ok && d != nil {
			return d.Format()
		}
	}
	return nil
}

func readerFormat(c media.Codec, origin format.Format, payloadType uint8) (format.Format, error) {
	f, err := FormatOf(c, payloadType)
	if err != nil {
		return nil, err
	}
	adoptWire(f, origin)
	return f, nil
}

type descriptionBuilder struct {
	desc   description.Session
	groups map[int]*description.Media
	next   uint8 // next dynamic payload type
}

// add puts a format into the media section of the group of its track, or into a
// new one.
func (b *descriptionBuilder) add(t media.Track, f format.Format) *description.Media {
	if f.PayloadType() == b.next {
		// beyond 32 formats payload types are used again: they are unique inside
		// a section, which is all that RTSP needs
		if b.next++; b.next > lastDynamic {
			b.next = firstDynamic
		}
	}

	m := b.groups[t.Group]
	if t.Group == 0 || m == nil || hasPayloadType(m, f.PayloadType()) {
		m = &description.Media{Type: mediaType(t.Codec)}
		b.desc.Medias = append(b.desc.Medias, m)
		b.groups[t.Group] = m
	}
	m.Formats = append(m.Formats, f)
	return m
}

func hasPayloadType(m *description.Media, payloadType uint8) bool {
	for _, f := range m.Formats {
		if f.PayloadType() == payloadType {
			return true
		}
	}
	return false
}

func mediaType(c media.Codec) description.MediaType {
	// RFC 3551 section 6: MP2T carries audio and video; players expect it as video
	if _, ok := c.(*media.MPEGTS); ok {
		return description.MediaTypeVideo
	}
	switch c.Kind() {
	case media.Video:
		return description.MediaTypeVideo
	case media.Audio:
		return description.MediaTypeAudio
	}
	return description.MediaTypeApplication
}

package rtmpbridge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/org/mtx/protocol/bridge/internal/amf"
	"github.com/org/mtx/router/media"
)

const (
	// analyzePeriod is how much of a stream is looked at to find its tracks if
	// the metadata does not tell, milliseconds.
	analyzePeriod = 2000
	// maxAnalyzed bounds what is kept meanwhile, bytes and messages.
	maxAnalyzed         = 16 << 20
	maxAnalyzedMessages = 5000
)

// ErrNoTracks tells that nothing in the stream is known.
var ErrNoTracks = errors.New("the stream has no track of a known codec")

// DecoderOptions configure a [Decoder].
type DecoderOptions struct {
	// Tracks is called once, when the tracks of the stream are known. It returns
	// what takes the units. An error ends the decoder. Mandatory.
	Tracks func(tracks []media.Track) (write func(track int, u *media.Unit), err error)

	// Damage is called for what is damaged or not supported, and was passed over.
	// It may be called often. Optional.
	Damage func(err error)
}

// Decoder turns the messages of a publisher into units. It is for one goroutine.
type Decoder struct {
	o     DecoderOptions
	clock unwrapper

	tracks map[trackID]*decTrack
	write  func(track int, u *media.Unit) // nil: still analyzing

	// while analyzing
	pending  []pendingMessage
	bytes    int
	expected [2]int // tracks of audio and video that the metadata announces; -1: it does not
}

type trackID struct {
	video bool
	id    uint8
}

type pendingMessage struct {
	typ  uint8
	ms   int64
	body []byte
}

// NewDecoder returns a decoder.
func NewDecoder(o DecoderOptions) *Decoder {
	if o.Damage == nil {
		o.Damage = func(error) {}
	}
	return &Decoder{o: o, tracks: map[trackID]*decTrack{}, expected: [2]int{-1, -1}}
}

// Write takes a message: its type, its time stamp in milliseconds, and its body,
// which becomes part of units and must not be used afterwards. Messages of other
// types are ignored. Errors are those of [DecoderOptions.Tracks], or
// [ErrNoTracks]: the decoder is of no use afterwards.
func (d *Decoder) Write(typ uint8, timestamp uint32, body []byte) error {
	switch typ {
	case TypeAudio, TypeVideo:
		return d.media(typ, d.clock.take(timestamp), body)
	case TypeAggregate:
		return d.aggregate(timestamp, body)
	case TypeDataAMF3:
		if len(body) > 0 && d.write == nil {
			d.metadata(body[1:])
		}
	case TypeDataAMF0:
		if d.write == nil {
			d.metadata(body)
		}
	}
	return nil
}

// aggregate cuts a message that holds others, in the form of FLV tags with their
// size behind (RTMP 1.0, section 7.1.6).
func (d *Decoder) aggregate(timestamp uint32, b []byte) error {
	const head, tail = 11, 4
	first, offset := true, uint32(0)
	for len(b) > 0 {
		if len(b) < head {
			d.o.Damage(errTagShort)
			return nil
		}
		size := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		ts := uint32(b[7])<<24 | uint32(b[4])<<16 | uint32(b[5])<<8 | uint32(b[6])
		if len(b) < head+size {
			d.o.Damage(errTagShort)
			return nil
		}
		if first {
			first, offset = false, timestamp-ts
		}
		if typ := b[0] & 0x1f; typ != TypeAggregate {
			if err := d.Write(typ, ts+offset, b[head:head+size:head+size]); err != nil {
				return err
			}
		}
		b = b[min(len(b), head+size+tail):]
	}
	return nil
}

func (d *Decoder) media(typ uint8, ms int64, body []byte) error {
	if d.write != nil {
		d.decode(typ, ms, body)
		return nil
	}
	d.probe(typ, body)
	d.pending = append(d.pending, pendingMessage{typ, ms, body})
	d.bytes += len(body)
	if d.complete() || ms-d.pending[0].ms >= analyzePeriod ||
		d.bytes >= maxAnalyzed || len(d.pending) >= maxAnalyzedMessages {
		return d.begin()
	}
	return nil
}

// Begin ends the search for tracks: what is known by now is what there is. It has
// no effect if it was over.
func (d *Decoder) Begin() error {
	if d.write != nil {
		return nil
	}
	return d.begin()
}

func (d *Decoder) begin() error {
	var ids []trackID
	for id, t := range d.tracks {
		t.guess()
		if t.codec == nil {
			d.o.Damage(fmt.Errorf("%s has no configuration: it is left out", id))
			continue
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return ErrNoTracks
	}
	slices.SortFunc(ids, func(a, b trackID) int {
		if a.video != b.video {
			if a.video {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.id, b.id)
	})
	list := make([]media.Track, len(ids))
	for i, id := range ids {
		t := d.tracks[id]
		t.index, t.ready = i, true
		t.clock.rate = int64(t.codec.ClockRate())
		list[i].Codec = t.codec
	}
	write, err := d.o.Tracks(list)
	if err != nil {
		return err
	}
	d.write = write
	pending := d.pending
	d.pending = nil
	for _, m := range pending {
		d.decode(m.typ, m.ms, m.body)
	}
	return nil
}

func (id trackID) String() string {
	kind := "audio"
	if id.video {
		kind = "video"
	}
	return fmt.Sprintf("%s track %d", kind, id.id)
}

// complete tells whether all tracks that the metadata announces are known.
func (d *Decoder) complete() bool {
	if d.expected[0] < 0 {
		return false
	}
	var known [2]int
	for id, t := range d.tracks {
		if t.codec == nil {
			return false
		}
		known[index(id.video)]++
	}
	return known[0] >= d.expected[0] && known[1] >= d.expected[1] && len(d.tracks) > 0
}

func index(video bool) int {
	if video {
		return 1
	}
	return 0
}

// probe learns about tracks.
func (d *Decoder) probe(typ uint8, body []byte) {
	// errors are reported when the message is decoded
	_ = parseTag(typ, body, func(t *tag) {
		if tr := d.track(t); tr != nil {
			tr.learn(t)
		}
	})
}

// maxTracks bounds the number of tracks of a stream.
const maxTracks = 32

// track returns the track of a tag, nil if there are too many.
func (d *Decoder) track(t *tag) *decTrack {
	id := trackID{t.video, t.track}
	tr := d.tracks[id]
	if tr == nil && len(d.tracks) < maxTracks && d.write == nil {
		tr = &decTrack{fourCC: t.codec}
		d.tracks[id] = tr
	}
	return tr
}

// decode turns a message into units.
func (d *Decoder) decode(typ uint8, ms int64, body []byte) {
	err := parseTag(typ, body, func(t *tag) {
		tr := d.track(t)
		if tr == nil || !tr.ready {
			d.o.Damage(fmt.Errorf("%s was not there when the stream began: it is left out", trackID{t.video, t.track}))
			return
		}
		if t.codec != tr.fourCC {
			d.o.Damage(fmt.Errorf("%s changes its codec from %s to %s", trackID{t.video, t.track}, tr.fourCC, t.codec))
			return
		}
		u, err := tr.unit(t, ms)
		switch {
		case err != nil:
			d.o.Damage(fmt.Errorf("%s: %w", trackID{t.video, t.track}, err))
		case u != nil:
			d.write(tr.index, u)
		}
	})
	if err != nil {
		d.o.Damage(err)
	}
}

// metadata looks for what onMetaData tells about the tracks that will come.
func (d *Decoder) metadata(body []byte) {
	data, _ := amf.Unmarshal(body) // what can be read of it
	if len(data) > 0 && data[0] == "@setDataFrame" {
		data = data[1:]
	}
	if len(data) < 2 || data[0] != "onMetaData" {
		return
	}
	o, ok := amf.AsObject(data[1])
	if !ok {
		return
	}
	count := func(codec, tracks string) int {
		id, _ := o.Get(codec)
		switch v := id.(type) {
		case float64:
			if v == 0 {
				return 0
			}
		case string:
			if v == "" {
				return 0
			}
		default:
			return 0
		}
		n := 1
		list, _ := o.Get(tracks)
		if m, ok := amf.AsObject(list); ok {
			for _, e := range m {
				if e.Key != "0" {
					n++
				}
			}
		}
		return n
	}
	audio, video := count("audiocodecid", "audioTrackIdInfoMap"), count("videocodecid", "videoTrackIdInfoMap")
	if audio+video > 0 {
		d.expected = [2]int{audio, video}
	}
}

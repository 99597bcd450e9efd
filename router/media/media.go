// Package media is the neutral media model that every protocol, source and
// sink of mtx shares: codecs, tracks and units. It knows nothing about
// networks or containers.
//
// A stream is a list of [Track]. A track is an elementary stream: one video,
// one audio or one data stream, encoded with a [Codec]. Inside a stream a track
// is identified by its index, never by a pointer or an id of some wire format.
//
// What flows on a track are units. A [Unit] is one access unit of video (one
// picture), or a group of consecutive audio packets, or one data message:
//
//	u := &media.Unit{
//		PTS:     90000 / 30 * n,                    // ticks of the clock rate of the codec
//		Payload: [][]byte{sps, pps, idrSlice},      // H264: one NALU per element
//	}
//
// The meaning of the elements of a payload is documented on each codec. A unit,
// and everything that can be reached from it, is immutable once it was handed
// to a publisher: all readers share it.
//
// The package is a leaf: it imports no other package of this module.
package media

import (
	"time"

	"github.com/pion/rtp"
)

// Kind tells video, audio and data apart.
type Kind uint8

// Kinds of tracks.
const (
	Video Kind = iota + 1
	Audio
	Data
)

// String returns "video", "audio" or "data".
func (k Kind) String() string {
	switch k {
	case Video:
		return "video"
	case Audio:
		return "audio"
	case Data:
		return "data"
	}
	return "unknown"
}

// Track is an elementary stream.
type Track struct {
	// Codec tells how the track is encoded. It is never nil and never modified:
	// when parameters change in the bitstream, the stream replaces it.
	Codec Codec

	// Name is a human-readable name of the track, e.g. of an HLS rendition.
	// Optional.
	Name string

	// Language is a BCP 47 language tag. Optional.
	Language string

	// Group binds tracks that are alternatives of each other: in RTSP, the
	// formats of one media section. Tracks with the same Group that is not zero
	// belong together; zero stands alone.
	Group int
}

// Unit is one access unit (video), a group of packets (audio) or a message
// (data).
//
// A unit carries its media as Payload, as RTP packets, or both. Protocols that
// receive RTP write units that hold packets only; the stream turns them into
// payloads if, and only if, somebody wants payloads.
type Unit struct {
	// PTS is the presentation time stamp, in ticks of the clock rate of the
	// codec. Tracks of one stream share the same origin.
	PTS int64

	// NTP is the absolute time of capture. If zero, the stream fills it in.
	NTP time.Time

	// RandomAccess tells that decoding can start here: a key frame of video,
	// any unit of audio and data. The stream fills it in for units that have a
	// payload; who writes RTP packets must set it, on the first part if the access
	// unit comes in parts (see More).
	RandomAccess bool

	// More tells that the access unit goes on in the next unit of the track,
	// because its packets arrive slowly. Only units without a payload have it.
	More bool

	// Payload holds the encoded media in elements whose meaning depends on the
	// codec. It is nil if only RTP packets are known.
	Payload [][]byte

	// RTP holds the packets that the unit was received in, in order. Sequence
	// numbers, SSRC and payload types are those of the sender.
	RTP []*rtp.Packet
}

// Size returns the number of bytes of the unit: of its payload, or of its RTP
// packets if there is no payload.
func (u *Unit) Size() int {
	n := 0
	if u.Payload != nil {
		for _, p := range u.Payload {
			n += len(p)
		}
		return n
	}
	for _, p := range u.RTP {
		n += p.MarshalSize()
	}
	return n
}

// Depacketizer turns the RTP packets of one track into payloads. Who publishes
// RTP gives the stream one for each track; it is used by one goroutine at a
// time, and only while somebody wants payloads.
type Depacketizer interface {
	// Depacketize takes the next packet of the track and returns the payload
	// that it completes, or nil if more packets are needed. An error means that
	// the current access unit is damaged or incomplete and was skipped.
	Depacketize(pkt *rtp.Packet) ([][]byte, error)
}

// Renewer is a [Depacketizer] that can be made again. It is needed to begin in the
// past with what a path keeps for new readers.
type Renewer interface {
	Depacketizer

	// Renew returns a depacketizer for the same packets that has seen none.
	Renew() Depacketizer
}

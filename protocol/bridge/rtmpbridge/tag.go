package rtmpbridge

import (
	"errors"
	"fmt"
)

// Types of messages (RTMP 1.0, section 7.1).
const (
	TypeAudio     = 8
	TypeVideo     = 9
	TypeDataAMF3  = 15
	TypeDataAMF0  = 18
	TypeAggregate = 22
)

// fourCC is the id of a codec in enhanced RTMP.
type fourCC uint32

func (f fourCC) String() string {
	b := []byte{byte(f >> 24), byte(f >> 16), byte(f >> 8), byte(f)}
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '.'
		}
	}
	return string(b)
}

// Codecs of enhanced RTMP that we know.
const (
	codecAV1  fourCC = 'a'<<24 | 'v'<<16 | '0'<<8 | '1'
	codecVP9  fourCC = 'v'<<24 | 'p'<<16 | '0'<<8 | '9'
	codecHEVC fourCC = 'h'<<24 | 'v'<<16 | 'c'<<8 | '1'
	codecAVC  fourCC = 'a'<<24 | 'v'<<16 | 'c'<<8 | '1'
	codecOpus fourCC = 'O'<<24 | 'p'<<16 | 'u'<<8 | 's'
	codecFLAC fourCC = 'f'<<24 | 'L'<<16 | 'a'<<8 | 'C'
	codecAC3  fourCC = 'a'<<24 | 'c'<<16 | '-'<<8 | '3'
	codecAAC  fourCC = 'm'<<24 | 'p'<<16 | '4'<<8 | 'a'
	codecMP3  fourCC = '.'<<24 | 'm'<<16 | 'p'<<8 | '3'

	// Codecs that plain RTMP only has get a name of our own.
	codecPCMA fourCC = 'P'<<24 | 'C'<<16 | 'M'<<8 | 'A'
	codecPCMU fourCC = 'P'<<24 | 'C'<<16 | 'M'<<8 | 'U'
	codecLPCM fourCC = 'L'<<24 | 'P'<<16 | 'C'<<8 | 'M'
)

// Sound formats and video codec ids of FLV (sections E.4.2.1 and E.4.3.1).
const (
	soundLPCM   = 0
	soundMP3    = 2
	soundLPCMLE = 3
	soundPCMA   = 7
	soundPCMU   = 8
	soundEx     = 9 // enhanced
	soundAAC    = 10
	soundMP3At8 = 14

	videoAVC  = 7
	videoHEVC = 12 // in use before enhanced RTMP
)

// Types of packets of enhanced RTMP.
const (
	packetSequenceStart = 0
	packetCodedFrames   = 1
	packetSequenceEnd   = 2
	packetCodedFramesX  = 3 // video: without composition time
	packetVideoMetadata = 4
	packetChannels      = 4 // audio: multichannel configuration
	packetAudioMulti    = 5
	packetVideoMulti    = 6
	packetModEx         = 7

	oneTrack             = 0
	manyTracks           = 1
	manyTracksManyCodecs = 2
)

// tag is what a message says about a track.
type tag struct {
	video  bool
	track  uint8
	codec  fourCC
	config bool // data is a configuration record, otherwise frames
	key    bool // the encoder says that decoding can start here
	delta  int32
	data   []byte

	// of plain audio (section E.4.2.1)
	rate, bits, channels int
}

var errTagShort = errors.New("message is cut off")

// unsupportedError is about a message that is passed over.
type unsupportedError struct{ what string }

func (e *unsupportedError) Error() string { return "unsupported " + e.what }

// parseTag reads an audio or video message and calls f for each track in it. The
// data of tags is part of the body.
func parseTag(typ uint8, body []byte, f func(*tag)) error {
	switch {
	case len(body) == 0:
		return nil
	case typ == TypeVideo && body[0]&0x80 != 0:
		return parseEx(true, body[0]&0x0f, body[0]>>4&7, body[1:], f)
	case typ == TypeVideo:
		return parsePlainVideo(body, f)
	case body[0]>>4 == soundEx:
		return parseEx(false, body[0]&0x0f, 0, body[1:], f)
	default:
		return parsePlainAudio(body, f)
	}
}

func parsePlainVideo(body []byte, f func(*tag)) error {
	t := tag{video: true, key: body[0]>>4 == frameKey}
	switch id := body[0] & 0x0f; id {
	case videoAVC:
		t.codec = codecAVC
	case videoHEVC:
		t.codec = codecHEVC
	default:
		return &unsupportedError{fmt.Sprintf("video codec %d", id)}
	}
	if body[0]>>4 == frameCommand {
		return nil
	}
	if len(body) < 5 {
		return errTagShort
	}
	switch body[1] {
	case 0:
		t.config = true
	case 1:
	case 2: // end of sequence
		return nil
	default:
		return &unsupportedError{fmt.Sprintf("video packet type %d", body[1])}
	}
	t.delta, t.data = int24(body[2:]), body[5:]
	f(&t)
	return nil
}

const (
	frameKey     = 1
	frameInter   = 2
	frameCommand = 5
)

func parsePlainAudio(body []byte, f func(*tag)) error {
	h := body[0]
	t := tag{data: body[1:], rate: []int{5512, 11025, 22050, 44100}[h>>2&3], bits: 8, channels: 1 + int(h&1)}
	if h&2 != 0 {
		t.bits = 16
	}
	switch format := h >> 4; format {
	case soundAAC:
		if len(body) < 2 {
			return errTagShort
		}
		t.codec, t.config, t.data = codecAAC, body[1] == 0, body[2:]
	case soundMP3, soundMP3At8:
		t.codec = codecMP3
	case soundPCMA:
		t.codec, t.rate = codecPCMA, 8000
	case soundPCMU:
		t.codec, t.rate = codecPCMU, 8000
	case soundLPCM, soundLPCMLE:
		t.codec = codecLPCM
	default:
		return &unsupportedError{fmt.Sprintf("sound format %d", format)}
	}
	f(&t)
	return nil
}

// parseEx reads a message of enhanced RTMP v2 after its first byte.
func parseEx(video bool, packet, frame byte, b []byte, f func(*tag)) error {
	multi := byte(packetAudioMulti)
	if video {
		multi = packetVideoMulti
	}
	for packet == packetModEx {
		var err error
		if packet, b, err = skipModEx(b); err != nil {
			return err
		}
	}
	if video && frame == frameCommand && packet != packetVideoMetadata {
		return nil
	}
	kind := byte(0xff) // not multitrack
	if packet == multi {
		if len(b) < 1 {
			return errTagShort
		}
		kind, packet = b[0]>>4, b[0]&0x0f
		b = b[1:]
	}
	t := tag{video: video, key: frame == frameKey}
	if kind != manyTracksManyCodecs {
		var err error
		if b, err = t.takeCodec(b); err != nil {
			return err
		}
	}
	if kind == 0xff {
		return t.emit(packet, b, f)
	}
	return parseTracks(t, kind, packet, b, f)
}

// parseTracks reads the body of a multitrack message.
func parseTracks(t tag, kind, packet byte, b []byte, f func(*tag)) error {
	for len(b) > 0 {
		var err error
		if kind == manyTracksManyCodecs {
			if b, err = t.takeCodec(b); err != nil {
				return err
			}
		}
		if len(b) < 1 {
			return errTagShort
		}
		t.track, b = b[0], b[1:]
		size := len(b)
		if kind != oneTrack {
			if len(b) < 3 {
				return errTagShort
			}
			size, b = int(b[0])<<16|int(b[1])<<8|int(b[2]), b[3:]
		}
		if size > len(b) {
			return errTagShort
		}
		if err := t.emit(packet, b[:size], f); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// skipModEx passes over a modifier of the packet that follows.
func skipModEx(b []byte) (packet byte, rest []byte, err error) {
	if len(b) < 1 {
		return 0, nil, errTagShort
	}
	n := int(b[0]) + 1
	b = b[1:]
	if n == 256 {
		if len(b) < 2 {
			return 0, nil, errTagShort
		}
		n = int(b[0])<<8 | int(b[1]) + 1
		b = b[2:]
	}
	if len(b) < n+1 {
		return 0, nil, errTagShort
	}
	return b[n] & 0x0f, b[n+1:], nil
}

func (t *tag) takeCodec(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, errTagShort
	}
	t.codec = fourCC(b[0])<<24 | fourCC(b[1])<<16 | fourCC(b[2])<<8 | fourCC(b[3])
	return b[4:], nil
}

func (t *tag) emit(packet byte, b []byte, f func(*tag)) error {
	out := *t
	switch {
	case packet == packetSequenceStart:
		out.config = true
	case packet == packetCodedFrames && t.video && (t.codec == codecAVC || t.codec == codecHEVC):
		if len(b) < 3 {
			return errTagShort
		}
		out.delta, b = int24(b), b[3:]
	case packet == packetCodedFrames, packet == packetCodedFramesX && t.video:
	case packet == packetSequenceEnd, t.video && packet == packetVideoMetadata, !t.video && packet == packetChannels:
		return nil
	default:
		return &unsupportedError{fmt.Sprintf("packet type %d", packet)}
	}
	out.data = b
	f(&out)
	return nil
}

func int24(b []byte) int32 {
	return int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8
}

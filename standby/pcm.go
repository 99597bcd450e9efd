package standby

import (
	"errors"
	"fmt"
	"slices"

	"github.com/org/mtx/router/media"
)

// pcmFormat is how a track of uncompressed audio, or of G711, is in a file. Each of
// its frames there is one sample of all channels.
type pcmFormat struct {
	frame int  // bytes
	word  int  // bytes of a sample of one channel
	swap  bool // it is little-endian
}

// pcmOf returns nil for other codecs.
func pcmOf(c media.Codec, littleEndian bool) *pcmFormat {
	switch c := c.(type) {
	case *media.LPCM:
		return &pcmFormat{frame: c.BitDepth / 8 * c.ChannelCount, word: c.BitDepth / 8, swap: littleEndian}
	case *media.G711:
		return &pcmFormat{frame: c.ChannelCount, word: 1}
	}
	return nil
}

// unpack is an unpackFunc.
func (p *pcmFormat) unpack(b []byte) ([][]byte, error) {
	if len(b)%p.frame != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of samples of %d bytes", len(b), p.frame)
	}
	if p.swap {
		b = slices.Clone(b)
		for i := 0; i < len(b); i += p.word {
			slices.Reverse(b[i : i+p.word])
		}
	}
	return [][]byte{b}, nil
}

// piecesPerSecond is how finely audio is cut that has no frames of its own.
const piecesPerSecond = 50

// cut cuts frames that are longer, or joins those of one sample: what is in one piece
// of the file makes frames of 20 ms. rate is the sample rate, which is the unit of time.
func (p *pcmFormat) cut(frames []frame, rate int) ([]frame, error) {
	most := uint64(max(rate/piecesPerSecond, 1) * p.frame)
	var out []frame
	for i := 0; i < len(frames); {
		pos, size := frames[i].pos, frames[i].size
		if frames[i].duration*int64(p.frame) != int64(size) {
			return nil, fmt.Errorf("frame %d has %d bytes, and a duration of %d samples of %d bytes",
				i+1, size, frames[i].duration, p.frame)
		}
		for i++; i < len(frames) && frames[i].pos == pos+size && frames[i].duration*int64(p.frame) == int64(frames[i].size); i++ {
			size += frames[i].size
		}
		for ; size > 0; size, pos = size-min(size, most), pos+min(size, most) {
			if len(out) == maxSamples {
				return nil, errTooMany
			}
			n := min(size, most)
			out = append(out, frame{pos: pos, size: n, duration: int64(n) / int64(p.frame)})
		}
	}
	return out, nil
}

// quickTimeAudio reads the sample description of uncompressed audio and of G711 in
// QuickTime files, which have no box for the details. It returns nil for others.
func quickTimeAudio(stsd box) (c media.Codec, littleEndian bool, err error) {
	const head, channels, rate = 16, 16, 24 // of the entry; positions of fields
	b := stsd.body
	if len(b) < head+rate+4 {
		return nil, false, nil
	}
	typ, b := string(b[12:16]), b[head:]
	n, hz := int(b[channels])<<8|int(b[channels+1]), int(b[rate])<<8|int(b[rate+1])
	switch typ {
	case "ulaw", "alaw":
		c = &media.G711{MULaw: typ == "ulaw", SampleRate: hz, ChannelCount: n}
	case "sowt", "twos":
		if bits := int(b[channels+2])<<8 | int(b[channels+3]); bits != 16 {
			return nil, false, fmt.Errorf("the codec LPCM with %d bits cannot be used; 16 and 24 are accepted", bits)
		}
		c, littleEndian = &media.LPCM{BitDepth: 16, SampleRate: hz, ChannelCount: n}, typ == "sowt"
	default:
		return nil, false, nil
	}
	return c, littleEndian, checkAudio(hz, n)
}

var errPCMScale = errors.New("its time scale is not its sample rate")

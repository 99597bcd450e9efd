package rtpbridge

import (
	"encoding/binary"
	"errors"

	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/internal/mpegaudio"
)

var (
	errAudioShort    = errors.New("packet of MPEG-1/2 audio is cut off")
	errAudioFragment = errors.New("a fragment of an MPEG-1/2 audio frame is missing")
)

// mpegAudioDecoder takes frames out of packets (RFC 2250, section 3.5): several frames, or
// a part of one. The decoder of the library goes by wrong sizes for layer III of MPEG-2.
type mpegAudioDecoder struct {
	started bool
	part    []byte // of a frame
	size    int    // of that frame
}

func (d *mpegAudioDecoder) decode(pkt *rtp.Packet) ([][]byte, error) {
	const head = 4
	if len(pkt.Payload) <= head {
		return nil, errAudioShort
	}
	offset, data := int(binary.BigEndian.Uint16(pkt.Payload[2:])), pkt.Payload[head:]
	if offset == 0 {
		d.started, d.part = true, nil
		return d.frames(data)
	}
	switch {
	case !d.started: // the client came, or the stream began, in the middle of a frame
		return nil, nil
	case offset != len(d.part) || len(d.part)+len(data) > d.size:
		d.part, d.size = nil, 0
		return nil, errAudioFragment
	}
	d.part = append(d.part, data...)
	if len(d.part) < d.size {
		return nil, nil
	}
	frame := d.part
	d.part, d.size = nil, 0
	return [][]byte{frame}, nil
}

// frames cuts what begins with a frame.
func (d *mpegAudioDecoder) frames(data []byte) ([][]byte, error) {
	var out [][]byte
	for len(data) > 0 {
		h, err := mpegaudio.Parse(data)
		switch {
		case err != nil:
			return nil, err
		case h.Size > len(data) && out != nil:
			return nil, errAudioShort
		case h.Size > len(data):
			d.part, d.size = append(make([]byte, 0, h.Size), data...), h.Size
			return nil, nil
		}
		out = append(out, data[:h.Size:h.Size])
		data = data[h.Size:]
	}
	return out, nil
}

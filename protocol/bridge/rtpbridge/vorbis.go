package rtpbridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/pion/rtp"
)

// The payload of Vorbis over RTP, RFC 5215 section 2.2: a header of 4 bytes
//
//	Ident (24 bits) | F (2 bits) | VDT (2 bits) | number of packets (4 bits)
//
// and then packets, each with a length of 2 bytes in front. F tells whether the
// packet is whole (0) or the first (1), a middle (2) or the last (3) fragment. VDT
// tells raw audio (0) from configuration (1) and comments (2).
const (
	vorbisHeader     = 4
	vorbisMaxPackets = 15
	// vorbisMaxSize bounds a packet that arrives in fragments.
	vorbisMaxSize = 1 << 20
)

var errVorbisFragment = errors.New("fragment of a Vorbis packet is missing: dropped")

type vorbisDecoder struct {
	fragments []byte
	active    bool
	next      uint16 // sequence number of the next fragment
}

func (d *vorbisDecoder) decode(pkt *rtp.Packet) ([][]byte, error) {
	b := pkt.Payload
	if len(b) < vorbisHeader {
		d.active = false
		return nil, errors.New("Vorbis payload is too short")
	}
	fragment, dataType, count := b[3]>>6, b[3]>>4&0x03, int(b[3]&0x0F)
	packets, err := vorbisPackets(b[vorbisHeader:])
	if err != nil {
		d.active = false
		return nil, err
	}

	if dataType != 0 {
		// a configuration in-band repeats that of the session description
		d.active = false
		return nil, nil
	}
	if fragment == 0 {
		d.active = false
		if count != len(packets) {
			return nil, fmt.Errorf("Vorbis payload holds %d packets, its header tells %d", len(packets), count)
		}
		if len(packets) == 0 {
			return nil, nil
		}
		return packets, nil
	}
	if len(packets) != 1 {
		d.active = false
		return nil, errors.New("Vorbis fragment does not hold one packet")
	}
	return d.addFragment(fragment, pkt.SequenceNumber, packets[0])
}

func (d *vorbisDecoder) addFragment(fragment byte, seq uint16, b []byte) ([][]byte, error) {
	if fragment == 1 {
		d.active = true
		d.fragments = append([]byte(nil), b...)
		d.next = seq + 1
		return nil, nil
	}
	if !d.active || seq != d.next || len(d.fragments)+len(b) > vorbisMaxSize {
		d.active = false
		return nil, errVorbisFragment
	}
	d.fragments = append(d.fragments, b...)
	d.next++
	if fragment == 2 {
		return nil, nil
	}
	d.active = false
	packet := d.fragments
	d.fragments = nil
	if len(packet) == 0 {
		return nil, nil
	}
	return [][]byte{packet}, nil
}

func vorbisPackets(b []byte) ([][]byte, error) {
	var out [][]byte
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, errors.New("Vorbis payload is cut off")
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > len(b)-2 {
			return nil, errors.New("Vorbis payload is cut off")
		}
		out = append(out, b[2:2+n])
		b = b[2+n:]
	}
	return out, nil
}

// vorbisIdent returns the ident of the first configuration of a packed
// configuration (RFC 5215 section 3.2.1): it follows the number of
// configurations (32 bits).
func vorbisIdent(configuration []byte) [3]byte {
	if len(configuration) < 7 {
		return [3]byte{}
	}
	return [3]byte(configuration[4:7])
}

// encodeVorbis packs as many packets together as fit, and splits packets that do
// not fit. All have the time stamp of the first: durations of Vorbis packets are
// known to decoders only.
func encodeVorbis(ident [3]byte, maxSize int, payload [][]byte) []*rtp.Packet {
	var out []*rtp.Packet
	emit := func(flags byte, packets [][]byte) {
		b := []byte{ident[0], ident[1], ident[2], flags}
		for _, p := range packets {
			b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
			b = append(b, p...)
		}
		out = append(out, &rtp.Packet{Header: rtp.Header{Version: 2}, Payload: b})
	}

	for len(payload) > 0 {
		n, size := 0, vorbisHeader
		for n < len(payload) && n < vorbisMaxPackets && size+2+len(payload[n]) <= maxSize {
			size += 2 + len(payload[n])
			n++
		}
		if n > 0 {
			emit(byte(n), payload[:n])
			payload = payload[n:]
			continue
		}

		parts := slices.Collect(slices.Chunk(payload[0], maxSize-vorbisHeader-2))
		for i, part := range parts {
			fragment := byte(2)
			switch i {
			case 0:
				fragment = 1
			case len(parts) - 1:
				fragment = 3
			}
			emit(fragment<<6, [][]byte{part})
		}
		payload = payload[1:]
	}
	return out
}

package rtp

import "github.com/pion/rtp"

// Sizes of what is allocated at once. Packets live for about the same time, so
// little memory is held in vain.
const (
	slabBytes   = 32 << 10
	slabPackets = 32
)

// slab allocates memory of packets.
type slab struct {
	bytes   []byte
	packets []rtp.Packet
}

// copy returns a copy of b.
func (s *slab) copy(b []byte) []byte {
	if len(s.bytes) < len(b) {
		s.bytes = make([]byte, max(slabBytes, len(b)))
	}
	out := s.bytes[:len(b):len(b)]
	s.bytes = s.bytes[len(b):]
	copy(out, b)
	return out
}

// packet returns an empty packet.
func (s *slab) packet() *rtp.Packet {
	if len(s.packets) == 0 {
		s.packets = make([]rtp.Packet, slabPackets)
	}
	p := &s.packets[0]
	s.packets = s.packets[1:]
	return p
}

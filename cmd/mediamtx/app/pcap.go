package app

import (
	"encoding/binary"
	"io"
	"net/netip"
	"time"
)

// Parts of capture files (draft-ietf-opsawg-pcap) and of packets.
const (
	pcapMagic   = 0xa1b23c4d // times in nanoseconds
	pcapRaw     = 101        // LINKTYPE_RAW: packets begin with IP
	pcapSnapLen = 1 << 18

	// maxSegment is the payload of one packet, in bytes: as much as IP can name.
	maxSegment = 65535 - 60

	flagFIN, flagSYN, flagPSH, flagACK = 1, 2, 8, 16
)

// pcap writes what goes over a TCP connection as a capture file: with headers
// that were never on the wire, since a program does not see those that were.
type pcap struct {
	w             io.Writer
	local, remote netip.AddrPort
	sent, got     uint32 // sequence numbers of the next byte of either side
	buf           []byte
}

// newPcap writes the header of the file and the beginning of the connection,
// which the remote side opened.
func newPcap(w io.Writer, local, remote netip.AddrPort, now time.Time) (*pcap, error) {
	p := &pcap{w: w, local: unmapped(local), remote: unmapped(remote)}
	h := binary.LittleEndian.AppendUint32(nil, pcapMagic)
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, 0, 0, 0, 0, 0, 0, 0, 0)
	h = binary.LittleEndian.AppendUint32(h, pcapSnapLen)
	h = binary.LittleEndian.AppendUint32(h, pcapRaw)
	if _, err := w.Write(h); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		out   bool
		flags byte
	}{{false, flagSYN}, {true, flagSYN | flagACK}, {false, flagACK}} {
		if err := p.segment(s.out, s.flags, nil, now); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// data writes what was sent or received.
func (p *pcap) data(out bool, b []byte, now time.Time) error {
	for len(b) > 0 {
		n := min(len(b), maxSegment)
		if err := p.segment(out, flagPSH|flagACK, b[:n], now); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// end writes that the connection was closed.
func (p *pcap) end(now time.Time) error { return p.segment(true, flagFIN|flagACK, nil, now) }

func (p *pcap) segment(out bool, flags byte, payload []byte, now time.Time) error {
	src, dst, seq, ack := p.remote, p.local, &p.got, p.sent
	if out {
		src, dst, seq, ack = p.local, p.remote, &p.sent, p.got
	}
	b := p.buf[:0]
	b = append(b, make([]byte, 16)...)
	b = appendIP(b, src.Addr(), dst.Addr(), 20+len(payload))
	head := len(b)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint32(b, *seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	b = append(b, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[head+16:], checksum(pseudo(src.Addr(), dst.Addr(), len(b)-head), b[head:]))
	*seq += uint32(len(payload))
	if flags&(flagSYN|flagFIN) != 0 {
		*seq++
	}
	size := uint32(len(b) - 16)
	binary.LittleEndian.PutUint32(b, uint32(now.Unix()))
	binary.LittleEndian.PutUint32(b[4:], uint32(now.Nanosecond()))
	binary.LittleEndian.PutUint32(b[8:], size)
	binary.LittleEndian.PutUint32(b[12:], size)
	p.buf = b
	_, err := p.w.Write(b)
	return err
}

const protocolTCP = 6

// appendIP appends the header of IPv4 (RFC 791) or IPv6 (RFC 8200).
func appendIP(b []byte, src, dst netip.Addr, size int) []byte {
	if !src.Is4() || !dst.Is4() {
		s, d := src.As16(), dst.As16()
		b = append(b, 6<<4, 0, 0, 0, byte(size>>8), byte(size), protocolTCP, 64)
		return append(append(b, s[:]...), d[:]...)
	}
	s, d := src.As4(), dst.As4()
	at := len(b)
	b = append(b, 4<<4|5, 0, byte((size+20)>>8), byte(size+20), 0, 0, 0x40, 0, 64, protocolTCP, 0, 0)
	b = append(append(b, s[:]...), d[:]...)
	binary.BigEndian.PutUint16(b[at+10:], checksum(0, b[at:]))
	return b
}

// pseudo is the sum of the pseudo header of TCP (RFC 9293 section 3.1).
func pseudo(src, dst netip.Addr, size int) uint32 {
	sum := uint32(protocolTCP + size)
	for _, a := range []netip.Addr{src, dst} {
		b := a.AsSlice()
		if !src.Is4() || !dst.Is4() {
			long := a.As16()
			b = long[:]
		}
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
	}
	return sum
}

// checksum is that of the internet (RFC 1071).
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) > 0 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

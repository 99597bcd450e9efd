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
	pcapHeader  = 24 // bytes of the file
	pcapRecord  = 16 // bytes in front of each packet

	// maxSegment is the payload of one packet, in bytes: as much as IP can name.
	maxSegment = 65535 - 60

	// maxDatagram is the payload of a datagram, in bytes, over IPv4.
	maxDatagram = 65535 - 20 - 8

	flagFIN, flagSYN, flagPSH, flagACK = 1, 2, 8, 16

	protocolTCP, protocolUDP = 6, 17
)

// capture is a capture file of packets with headers that were never on the wire,
// since a program does not see those that were.
type capture struct {
	w   io.Writer
	buf []byte
}

// newCapture writes the header of the file.
func newCapture(w io.Writer) (*capture, error) {
	h := binary.LittleEndian.AppendUint32(make([]byte, 0, pcapHeader), pcapMagic)
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, 0, 0, 0, 0, 0, 0, 0, 0)
	h = binary.LittleEndian.AppendUint32(h, pcapSnapLen)
	h = binary.LittleEndian.AppendUint32(h, pcapRaw)
	_, err := w.Write(h)
	return &capture{w: w}, err
}

// packet writes one packet. header is that of TCP or UDP behind the ports, with a
// checksum of zero, which has its place in bytes sum and sum+1.
func (c *capture) packet(now time.Time, protocol byte, src, dst netip.AddrPort, header []byte, sum int, payload []byte) error {
	size := 4 + len(header) + len(payload)
	b := c.buf[:0]
	b = append(b, make([]byte, pcapRecord)...)
	b = appendIP(b, protocol, src.Addr(), dst.Addr(), size)
	head := len(b)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = append(b, header...)
	b = append(b, payload...)
	check := checksum(pseudo(protocol, src.Addr(), dst.Addr(), size), b[head:])
	if check == 0 && protocol == protocolUDP {
		check = 0xffff // zero would be none (RFC 768)
	}
	binary.BigEndian.PutUint16(b[head+4+sum:], check)
	length := uint32(len(b) - pcapRecord)
	binary.LittleEndian.PutUint32(b, uint32(now.Unix()))
	binary.LittleEndian.PutUint32(b[4:], uint32(now.Nanosecond()))
	binary.LittleEndian.PutUint32(b[8:], length)
	binary.LittleEndian.PutUint32(b[12:], length)
	c.buf = b
	_, err := c.w.Write(b)
	return err
}

// datagram writes one of UDP.
func (c *capture) datagram(now time.Time, src, dst netip.AddrPort, payload []byte) error {
	payload = payload[:min(len(payload), maxDatagram)] // those of IPv6 may be a little larger
	h := binary.BigEndian.AppendUint16(make([]byte, 0, 4), uint16(8+len(payload)))
	return c.packet(now, protocolUDP, unmapped(src), unmapped(dst), append(h, 0, 0), 2, payload)
}

// tcpCapture is the capture file of a TCP connection.
type tcpCapture struct {
	*capture
	local, remote netip.AddrPort
	sent, got     uint32 // sequence numbers of the next byte of either side
}

// newTCPCapture writes the header of the file and the beginning of the connection,
// which the remote side opened.
func newTCPCapture(w io.Writer, local, remote netip.AddrPort, now time.Time) (*tcpCapture, error) {
	c, err := newCapture(w)
	if err != nil {
		return nil, err
	}
	p := &tcpCapture{capture: c, local: unmapped(local), remote: unmapped(remote)}
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
func (p *tcpCapture) data(out bool, b []byte, now time.Time) error {
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
func (p *tcpCapture) end(now time.Time) error { return p.segment(true, flagFIN|flagACK, nil, now) }

func (p *tcpCapture) segment(out bool, flags byte, payload []byte, now time.Time) error {
	src, dst, seq, ack := p.remote, p.local, &p.got, p.sent
	if out {
		src, dst, seq, ack = p.local, p.remote, &p.sent, p.got
	}
	h := binary.BigEndian.AppendUint32(make([]byte, 0, 16), *seq)
	h = binary.BigEndian.AppendUint32(h, ack)
	h = append(h, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	*seq += uint32(len(payload))
	if flags&(flagSYN|flagFIN) != 0 {
		*seq++
	}
	return p.packet(now, protocolTCP, src, dst, h, 12, payload)
}

// appendIP appends the header of IPv4 (RFC 791) or IPv6 (RFC 8200).
func appendIP(b []byte, protocol byte, src, dst netip.Addr, size int) []byte {
	if !src.Is4() || !dst.Is4() {
		s, d := src.As16(), dst.As16()
		b = append(b, 6<<4, 0, 0, 0, byte(size>>8), byte(size), protocol, 64)
		return append(append(b, s[:]...), d[:]...)
	}
	s, d := src.As4(), dst.As4()
	at := len(b)
	b = append(b, 4<<4|5, 0, byte((size+20)>>8), byte(size+20), 0, 0, 0x40, 0, 64, protocol, 0, 0)
	b = append(append(b, s[:]...), d[:]...)
	binary.BigEndian.PutUint16(b[at+10:], checksum(0, b[at:]))
	return b
}

// pseudo is the sum of the pseudo header of TCP and UDP (RFC 9293 section 3.1).
func pseudo(protocol byte, src, dst netip.Addr, size int) uint32 {
	sum := uint32(protocol) + uint32(size)
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

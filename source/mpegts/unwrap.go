package mpegts

import "errors"

// Fields of RTP packets (RFC 3550 section 5.1) and of transport packets.
const (
	rtpHeaderSize  = 12
	rtpTypeMP2T    = 33
	firstTypeRTCP  = 192 // RFC 5761 section 4: second byte of RTCP packets
	lastTypeRTCP   = 223
	tsPacketSize   = 188
	tsSyncByte     = 0x47
	rtpExtension   = 0x10
	rtpPadding     = 0x20
	rtpMarkerMask  = 0x7f
	rtpCSRCMask    = 0x0f
	rtpVersionBits = 0x80
)

var errNotMP2T = errors.New("a datagram between the RTP packets of a transport stream is none of them")

// unwrapper removes the headers of transport streams that come inside RTP.
type unwrapper struct {
	rtp bool // the last datagram was RTP
}

// datagram returns what a datagram carries of a transport stream; nil if it has
// no part in it.
func (u *unwrapper) datagram(b []byte) ([]byte, error) {
	if payload := mp2t(b); payload != nil {
		u.rtp = true
		return payload, nil
	}
	switch {
	case !u.rtp:
		return b, nil
	case b[0] == tsSyncByte && len(b)%tsPacketSize == 0:
		u.rtp = false // another sender
		return b, nil
	case b[0]&0xc0 == rtpVersionBits && len(b) > 1 && b[1] >= firstTypeRTCP && b[1] <= lastTypeRTCP:
		return nil, nil
	}
	return nil, errNotMP2T
}

// mp2t returns the transport packets in an RTP packet, RFC 2250 section 2. They
// are whole; otherwise it is no such packet.
func mp2t(b []byte) []byte {
	if len(b) < rtpHeaderSize+tsPacketSize || b[0]&0xc0 != rtpVersionBits || b[1]&rtpMarkerMask != rtpTypeMP2T {
		return nil
	}
	start := rtpHeaderSize + 4*int(b[0]&rtpCSRCMask)
	if b[0]&rtpExtension != 0 {
		if start+4 > len(b) {
			return nil
		}
		start += 4 + 4*(int(b[start+2])<<8|int(b[start+3]))
	}
	end := len(b)
	if b[0]&rtpPadding != 0 {
		end -= int(b[end-1])
	}
	if start >= end || b[start] != tsSyncByte || (end-start)%tsPacketSize != 0 {
		return nil
	}
	return b[start:end]
}

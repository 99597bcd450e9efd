package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// Parameter sets of a 1280x720 baseline stream, so that a server which parses
// them finds nothing to complain about.
var (
	spsNALU = []byte{
		0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xec, 0x04, 0x40, 0x00,
		0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0f, 0x03, 0xc6, 0x0c, 0xa8,
	}
	ppsNALU = []byte{0x68, 0xce, 0x0f, 0xc8}
)

// NALU types (RFC 6184 section 5.2).
const (
	naluSlice = 1
	naluIDR   = 5
	naluSTAPA = 24
	naluFUA   = 28
)

const (
	payloadType = 96
	clockRate   = 90000
	// maxPayload is the RTP payload of full packets: below what servers cut
	// packets at, so that none has to be split on its way.
	maxPayload = 1400
)

// A stamp sits in every slice, behind its first 3 bytes: stampMagic, the send
// time and the frame number. Numbers are written in 7-bit groups with the high
// bit set, so that no start code can appear and nothing has to be escaped.
var stampMagic = []byte{0xf1, 0xa7, 0x9b, 0xd3, 0xe5, 0xc9, 0xb7, 0x8d}

const (
	stampTimeLen  = 10
	stampFrameLen = 5
	stampLen      = 8 + stampTimeLen + stampFrameLen
	sliceHeader   = 3
)

// epoch anchors the monotonic clock that publishers and readers share.
var epoch = time.Now()

// now is the time since epoch in nanoseconds, never 0.
func now() int64 { return int64(time.Since(epoch)) + 1 }

func put7(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = 0x80 | byte(v&0x7f)
		v >>= 7
	}
}

func get7(b []byte) uint64 {
	var v uint64
	for _, c := range b {
		v = v<<7 | uint64(c&0x7f)
	}
	return v
}

// putStamp writes a stamp at the start of b.
func putStamp(b []byte, sent int64, frame uint32) {
	copy(b, stampMagic)
	put7(b[8:8+stampTimeLen], uint64(sent))
	put7(b[8+stampTimeLen:stampLen], uint64(frame))
}

// findStamp looks for a stamp in b.
func findStamp(b []byte) (sent int64, frame uint32, ok bool) {
	i := bytes.Index(b, stampMagic)
	if i < 0 || i+stampLen > len(b) {
		return 0, 0, false
	}
	b = b[i+8:]
	return int64(get7(b[:stampTimeLen])), uint32(get7(b[stampTimeLen : stampTimeLen+stampFrameLen])), true
}

// makeSlice returns a slice NALU of size bytes with a valid header and a body
// that cannot be compressed, holds no start code and has room for a stamp.
func makeSlice(size int, idr bool, r *rand.Rand) []byte {
	b := make([]byte, max(size, sliceHeader+stampLen+1))
	for i := range b {
		b[i] = byte(r.IntN(250)) + 4
	}
	if idr {
		copy(b, []byte{0x65, 0x88, 0x84})
	} else {
		copy(b, []byte{0x41, 0x9a, 0x21})
	}
	putStamp(b[sliceHeader:], 0, 0)
	return b
}

// frame is an access unit as interleaved RTP packets (RFC 2326 section 10.12),
// ready to be patched and sent any number of times.
type frame struct {
	buf     []byte
	packets []int // where each RTP header starts in buf
	stamp   int   // where the stamp starts in buf
}

// newFrame packetizes NALUs (RFC 6184, packetization-mode 1). One of them must
// come from makeSlice.
func newFrame(nalus ...[]byte) *frame {
	f := &frame{}
	for i, nalu := range nalus {
		last := i == len(nalus)-1
		if len(nalu) <= maxPayload {
			f.add(last, nalu)
			continue
		}
		indicator, header := nalu[0]&0xe0|naluFUA, nalu[0]&0x1f|0x80
		for rest := nalu[1:]; len(rest) > 0; header &^= 0x80 {
			n := min(len(rest), maxPayload-2)
			if n == len(rest) {
				header |= 0x40
			}
			f.add(last && n == len(rest), []byte{indicator, header}, rest[:n])
			rest = rest[n:]
		}
	}
	f.stamp = bytes.Index(f.buf, stampMagic)
	return f
}

// add appends one packet whose payload is the concatenation of parts.
func (f *frame) add(marker bool, parts ...[]byte) {
	size := 12
	for _, p := range parts {
		size += len(p)
	}
	f.buf = append(f.buf, '$', 0)
	f.buf = binary.BigEndian.AppendUint16(f.buf, uint16(size))
	f.packets = append(f.packets, len(f.buf))
	pt := byte(payloadType)
	if marker {
		pt |= 0x80
	}
	f.buf = append(f.buf, 0x80, pt, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0xab, 0xcd)
	for _, p := range parts {
		f.buf = append(f.buf, p...)
	}
}

// patch sets sequence numbers from seq on, the RTP time and the stamp.
func (f *frame) patch(seq uint16, rtpTime uint32, sent int64, number uint32) {
	for _, at := range f.packets {
		binary.BigEndian.PutUint16(f.buf[at+2:], seq)
		binary.BigEndian.PutUint32(f.buf[at+4:], rtpTime)
		seq++
	}
	putStamp(f.buf[f.stamp:], sent, number)
}

// sessionDescription is the SDP of the stream.
func sessionDescription() string {
	b64 := base64.StdEncoding.EncodeToString
	return "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=bench\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n" +
		"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n" +
		"a=fmtp:96 packetization-mode=1; sprop-parameter-sets=" + b64(spsNALU) + "," + b64(ppsNALU) +
		"; profile-level-id=42C01F\r\na=control:trackID=0\r\n"
}

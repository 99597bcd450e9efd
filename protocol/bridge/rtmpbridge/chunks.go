package rtmpbridge

import "encoding/binary"

// maxMessage is the largest message that has a size of 24 bits, with its headers.
const maxMessage = 1<<24 - 1024

const (
	headerSize   = 12 // of a complete chunk header (RTMP 1.0, section 5.3.1)
	extendedSize = 4
	extendedTime = 0xffffff
)

// chunked is a message that is being written. Its body is cut into chunks in the
// end: most messages need one only.
type chunked struct {
	stream byte // chunk stream
	typ    byte
	time   uint32 // milliseconds

	buf  []byte
	head int // where the header begins in buf
	body int // where the body does
}

// begin writes the header behind dst.
func (m *chunked) begin(dst []byte) {
	m.head = len(dst)
	ts := min(m.time, extendedTime)
	m.buf = append(dst, m.stream, byte(ts>>16), byte(ts>>8), byte(ts), 0, 0, 0, m.typ, streamID, 0, 0, 0) //nolint:gocritic // dst is taken over
	if ts == extendedTime {
		m.buf = binary.BigEndian.AppendUint32(m.buf, m.time)
	}
	m.body = len(m.buf)
}

func (m *chunked) write(p []byte)  { m.buf = append(m.buf, p...) }
func (m *chunked) bytes(p ...byte) { m.buf = append(m.buf, p...) }
func (m *chunked) fourCC(c fourCC) { m.buf = binary.BigEndian.AppendUint32(m.buf, uint32(c)) }
func (m *chunked) int24(v int32)   { m.bytes(byte(v>>16), byte(v>>8), byte(v)) }
func (m *chunked) size() int       { return len(m.buf) - m.body }
func (m *chunked) nalu(p []byte) {
	m.buf = append(binary.BigEndian.AppendUint32(m.buf, uint32(len(p))), p...)
}

// end fills in the size, and puts headers between the chunks.
func (m *chunked) end() []byte {
	size := m.size()
	m.buf[m.head+4], m.buf[m.head+5], m.buf[m.head+6] = byte(size>>16), byte(size>>8), byte(size)
	if size <= ChunkSize {
		return m.buf
	}
	between := 1
	if m.time >= extendedTime {
		between += extendedSize
	}
	more := (size - 1) / ChunkSize // chunks after the first
	old := len(m.buf)
	m.buf = append(m.buf, make([]byte, more*between)...)
	// from the last chunk to the second, so that nothing is overwritten
	for i := more; i > 0; i-- {
		from := m.body + i*ChunkSize
		to := from + (i-1)*between
		copy(m.buf[to+between:], m.buf[from:min(from+ChunkSize, old)])
		m.buf[to] = 0xc0 | m.stream
		if between > 1 {
			binary.BigEndian.PutUint32(m.buf[to+1:], m.time)
		}
	}
	return m.buf
}

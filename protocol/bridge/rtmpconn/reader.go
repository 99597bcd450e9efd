package rtmpconn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// maxMessage is the largest message that is accepted while media flows, bytes.
	maxMessage = 10 << 20
	// maxCommand is the largest message that is accepted from who has not been
	// let in, and the largest one that is not media.
	maxCommand = 64 << 10
	// maxControl is the largest protocol control message.
	maxControl = 1 << 10
	// maxPending bounds, in bytes, messages that are under way on all chunk
	// streams together.
	maxPending = 2 * maxMessage
	// maxChunkStreams bounds the number of chunk streams. Encoders use about 6.
	maxChunkStreams = 64

	defaultChunkSize = 128
	extendedTime     = 0xffffff
	readBuffer       = 4 << 10
)

var (
	errNoName       = errors.New("it has no name or no transaction")
	errNoPrevious   = errors.New("a chunk continues a message that has not begun")
	errInterrupted  = errors.New("a message begins before the last one of its chunk stream has ended")
	errChunkStreams = fmt.Errorf("more than %d chunk streams", maxChunkStreams)
	errPending      = fmt.Errorf("more than %d bytes of messages that do not end", maxPending)
)

// reader joins chunks (RTMP 1.0, section 5.3).
type reader struct {
	br        *bufio.Reader
	count     countingReader
	chunkSize uint32
	streams   map[uint32]*chunkStream
	pending   int
	maxMedia  int // largest media message
}

type chunkStream struct {
	started  bool
	extended bool   // the last header had an extended time stamp
	field    uint32 // time stamp or delta, as it was sent
	delta    uint32
	msg      Message // the last header
	size     int     // of the message
	body     []byte
	reading  bool // a message is under way
}

type countingReader struct {
	r io.Reader
	n uint64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += uint64(n)
	return n, err
}

func newReader(r io.Reader) *reader {
	out := &reader{
		count: countingReader{r: r}, chunkSize: defaultChunkSize,
		streams: map[uint32]*chunkStream{}, maxMedia: maxCommand,
	}
	out.br = bufio.NewReaderSize(&out.count, readBuffer)
	return out
}

// read returns the next message.
func (r *reader) read() (Message, error) {
	for {
		cs, err := r.chunk()
		if err != nil {
			return Message{}, err
		}
		if cs != nil {
			m := cs.msg
			m.Body = cs.body
			r.pending -= len(cs.body)
			cs.body, cs.reading = nil, false
			return m, nil
		}
	}
}

// chunk reads a chunk, and returns its stream if it completes a message.
func (r *reader) chunk() (*chunkStream, error) {
	format, id, err := r.basicHeader()
	if err != nil {
		return nil, err
	}
	cs := r.streams[id]
	if cs == nil {
		if len(r.streams) >= maxChunkStreams {
			return nil, errChunkStreams
		}
		cs = &chunkStream{}
		r.streams[id] = cs
	}
	switch {
	case format != 0 && !cs.started:
		return nil, errNoPrevious
	case format != 3 && cs.reading:
		return nil, errInterrupted
	}
	if err := r.messageHeader(cs, format); err != nil {
		return nil, err
	}
	if err := r.checkSize(cs); err != nil {
		return nil, err
	}
	if err := r.payload(cs); err != nil {
		return nil, err
	}
	if len(cs.body) < cs.size {
		return nil, nil
	}
	return cs, nil
}

func (r *reader) basicHeader() (format byte, id uint32, err error) {
	b, err := r.br.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	format, id = b>>6, uint32(b&0x3f)
	if id >= 2 {
		return format, id, nil
	}
	long := id == 1 // ids 64 to 65599 in two bytes, otherwise 64 to 319 in one
	if b, err = r.br.ReadByte(); err != nil {
		return 0, 0, unexpected(err)
	}
	id = 64 + uint32(b)
	if long {
		if b, err = r.br.ReadByte(); err != nil {
			return 0, 0, unexpected(err)
		}
		id += uint32(b) << 8
	}
	return format, id, nil
}

func (r *reader) messageHeader(cs *chunkStream, format byte) error {
	var h [11]byte
	n := [4]int{11, 7, 3, 0}[format]
	if _, err := io.ReadFull(r.br, h[:n]); err != nil {
		return unexpected(err)
	}
	if format < 3 {
		cs.field = uint24(h[:])
		cs.extended = cs.field == extendedTime
	}
	if format < 2 {
		cs.size, cs.msg.Type = int(uint24(h[3:])), h[6]
	}
	if format == 0 {
		cs.msg.StreamID = binary.LittleEndian.Uint32(h[7:])
	}
	if cs.extended {
		if err := r.extended(cs, format); err != nil {
			return err
		}
	}
	if cs.reading {
		return nil // in the middle of a message
	}
	cs.started, cs.reading = true, true
	switch format {
	case 0:
		cs.msg.Timestamp, cs.delta = cs.field, 0
	case 1, 2:
		cs.delta = cs.field
		cs.msg.Timestamp += cs.delta
	default:
		cs.msg.Timestamp += cs.delta
	}
	return nil
}

// extended reads an extended time stamp. Chunks that continue a message repeat
// it, but not those of all encoders, and some write zero.
func (r *reader) extended(cs *chunkStream, format byte) error {
	p, err := r.br.Peek(4)
	if err != nil {
		return unexpected(err)
	}
	v := binary.BigEndian.Uint32(p)
	if format == 3 && v != cs.field && v != cs.msg.Timestamp && v != 0 {
		return nil
	}
	if format != 3 {
		cs.field = v
	}
	_, err = r.br.Discard(4)
	return err
}

// checkSize refuses messages before memory is spent on them.
func (r *reader) checkSize(cs *chunkStream) error {
	limit := maxCommand
	switch cs.msg.Type {
	case TypeAudio, TypeVideo, TypeAggregate:
		limit = r.maxMedia
	case TypeSetChunkSize, TypeAbort, TypeAcknowledge, TypeUserControl, TypeWindowAckSize, TypeSetPeerBandwidth:
		limit = maxControl
	}
	if cs.size > limit {
		return fmt.Errorf("message of type %d has %d bytes: at most %d are accepted", cs.msg.Type, cs.size, limit)
	}
	return nil
}

// payload reads the part of the message that is in the chunk. Large messages get
// memory as they arrive.
func (r *reader) payload(cs *chunkStream) error {
	const step = 64 << 10
	n := min(cs.size-len(cs.body), int(r.chunkSize))
	if cs.body == nil && cs.size > 0 {
		cs.body = make([]byte, 0, min(cs.size, step))
	}
	for n > 0 {
		if len(cs.body) == cap(cs.body) {
			body := make([]byte, len(cs.body), min(cs.size, 2*cap(cs.body)))
			copy(body, cs.body)
			cs.body = body
		}
		k := min(n, cap(cs.body)-len(cs.body))
		if r.pending += k; r.pending > maxPending {
			return errPending
		}
		at := len(cs.body)
		cs.body = cs.body[:at+k]
		if _, err := io.ReadFull(r.br, cs.body[at:]); err != nil {
			return unexpected(err)
		}
		n -= k
	}
	return nil
}

// abort drops the message that is under way on a chunk stream.
func (r *reader) abort(id uint32) {
	if cs := r.streams[id]; cs != nil {
		r.pending -= len(cs.body)
		cs.body, cs.reading = nil, false
	}
}

// setChunkSize takes what the other side announces. Sizes above that of the
// largest message mean the same as that (section 5.4.1).
func (r *reader) setChunkSize(v uint32) error {
	if v == 0 || v > 0x7fffffff {
		return fmt.Errorf("chunk size %d: it must be between 1 and 2147483647", v)
	}
	r.chunkSize = min(v, 1<<24)
	return nil
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

// unexpected makes the end of input in the middle of something an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

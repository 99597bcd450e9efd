package rtmpconn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	"github.com/bluenviron/gortmplib/pkg/message"
)

const (
	// ChunkSize is the size of the chunks that we send, bytes. It is announced
	// before media begins.
	ChunkSize = 65536

	// ackWindow is after how many bytes sides acknowledge what they received.
	ackWindow = 2500000
	// minAckWindow bounds how often we acknowledge.
	minAckWindow = 4096

	// StreamID is the message stream that media is on.
	StreamID = 1
	// wireStreamID is StreamID as gortmplib has it, in the wrong byte order.
	wireStreamID = StreamID << 24

	chunkStreamCommand = 3
	chunkStreamStatus  = 5
)

// Conn is an RTMP connection after the handshake. Read is for one goroutine,
// Write and the functions made of it for any number of them.
type Conn struct {
	r      *reader
	in     atomic.Uint64 // bytes read
	window uint64        // the other side wants to be told after so many bytes
	acked  uint64

	mu  sync.Mutex
	w   io.Writer
	out atomic.Uint64 // bytes written by Write
	buf bytes.Buffer
	mw  *message.Writer
}

func newConn(rw io.ReadWriter) *Conn {
	c := &Conn{r: newReader(rw), w: rw}
	c.mw = message.NewWriter(&c.buf, bytecounter.NewWriter(io.Discard), false)
	return c
}

// SetWriter makes messages go elsewhere from now on: to who writes media too.
func (c *Conn) SetWriter(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.w = w
}

// AcceptMedia lets media messages in, which may be large.
func (c *Conn) AcceptMedia() { c.r.maxMedia = maxMessage }

// BytesRead returns the number of bytes that were received.
func (c *Conn) BytesRead() uint64 { return c.in.Load() }

// BytesWritten returns the number of bytes that were sent by this type.
func (c *Conn) BytesWritten() uint64 { return c.out.Load() }

// Read returns the next message that is not about the connection itself; it
// answers pings and acknowledges.
func (c *Conn) Read() (Message, error) {
	for {
		m, err := c.r.read()
		c.in.Store(c.r.count.n)
		if err != nil {
			return Message{}, err
		}
		if err := c.acknowledge(); err != nil {
			return Message{}, err
		}
		handled, err := c.control(&m)
		if err != nil {
			return Message{}, err
		}
		if !handled {
			return m, nil
		}
	}
}

func (c *Conn) acknowledge() error {
	n := c.r.count.n
	if c.window == 0 || n-c.acked < c.window {
		return nil
	}
	c.acked = n
	return c.write(&message.Acknowledge{Value: uint32(n)})
}

// control handles protocol control messages and user control messages (sections
// 5.4 and 7.1.7).
func (c *Conn) control(m *Message) (handled bool, err error) {
	word := func(at int) (uint32, error) {
		if len(m.Body) < at+4 {
			return 0, fmt.Errorf("message of type %d has %d bytes only", m.Type, len(m.Body))
		}
		return binary.BigEndian.Uint32(m.Body[at:]), nil
	}
	switch m.Type {
	case TypeSetChunkSize:
		v, err := word(0)
		if err != nil {
			return true, err
		}
		return true, c.r.setChunkSize(v)
	case TypeAbort:
		v, err := word(0)
		if err == nil {
			c.r.abort(v)
		}
		return true, err
	case TypeWindowAckSize:
		v, err := word(0)
		if err == nil && v != 0 {
			c.window = uint64(max(v, minAckWindow))
		}
		return true, err
	case TypeAcknowledge, TypeSetPeerBandwidth:
		return true, nil
	case TypeUserControl:
		const pingRequest = 6
		if len(m.Body) < 6 || binary.BigEndian.Uint16(m.Body) != pingRequest {
			return true, nil
		}
		when := binary.BigEndian.Uint32(m.Body[2:])
		return true, c.write(&message.UserControlPingResponse{ServerTime: when})
	}
	return false, nil
}

// WriteChunks writes whole messages that are cut into chunks already. They must
// keep to the chunk streams 4 and 6, and those that somebody else writes to
// begin with complete (type 0) headers.
func (c *Conn) WriteChunks(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flush(p)
}

// write writes messages.
func (c *Conn) write(list ...message.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf.Reset()
	for _, m := range list {
		if err := c.mw.Write(m); err != nil {
			return err
		}
	}
	return c.flush(c.buf.Bytes())
}

func (c *Conn) flush(p []byte) error {
	n, err := c.w.Write(p)
	c.out.Add(uint64(n))
	return err
}

// command makes a command message.
func command(stream uint32, name string, id float64, args ...any) *message.CommandAMF0 {
	m := &message.CommandAMF0{ChunkStreamID: chunkStreamCommand, Name: name, CommandID: int(id), Arguments: args}
	if stream != 0 {
		m.ChunkStreamID, m.MessageStreamID = chunkStreamStatus, stream
	}
	return m
}

// status makes an onStatus command, or the information object of an answer.
func statusObject(level, code, description string) amf0.Object {
	return amf0.Object{
		{Key: "level", Value: level}, {Key: "code", Value: code}, {Key: "description", Value: description},
	}
}

func onStatus(level, code, description string) *message.CommandAMF0 {
	return command(wireStreamID, "onStatus", 0, nil, statusObject(level, code, description))
}

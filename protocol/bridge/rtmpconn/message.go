package rtmpconn

import (
	"fmt"

	"github.com/bluenviron/gortmplib/pkg/amf0"

	"github.com/org/mtx/protocol/bridge/internal/amf"
)

// Types of messages (RTMP 1.0, sections 5.4 and 7.1).
const (
	TypeSetChunkSize     = 1
	TypeAbort            = 2
	TypeAcknowledge      = 3
	TypeUserControl      = 4
	TypeWindowAckSize    = 5
	TypeSetPeerBandwidth = 6
	TypeAudio            = 8
	TypeVideo            = 9
	TypeDataAMF3         = 15
	TypeCommandAMF3      = 17
	TypeDataAMF0         = 18
	TypeCommandAMF0      = 20
	TypeAggregate        = 22
)

// Message is a message as it was received.
type Message struct {
	Type      uint8
	StreamID  uint32
	Timestamp uint32 // milliseconds; wraps around after 49 days
	Body      []byte // of its own: it is never used again by the reader
}

// IsMedia tells the messages that carry a stream.
func (m *Message) IsMedia() bool {
	switch m.Type {
	case TypeAudio, TypeVideo, TypeDataAMF0, TypeDataAMF3, TypeAggregate:
		return true
	}
	return false
}

// Command is a remote call.
type Command struct {
	Name string
	ID   float64 // of the transaction
	Args amf0.Data
}

// Command reads the message as a command; ok is false if it is none. Commands
// that are damaged are errors.
func (m *Message) Command() (cmd Command, ok bool, err error) {
	body := m.Body
	switch {
	case m.Type == TypeCommandAMF3 && len(body) > 0:
		body = body[1:] // format selector; what follows is AMF 0
	case m.Type == TypeCommandAMF0:
	default:
		return Command{}, false, nil
	}
	data, err := amf.Unmarshal(body)
	if len(data) < 2 {
		return Command{}, true, fmt.Errorf("invalid command: %w", errOr(err, errNoName))
	}
	if cmd.Name, ok = data[0].(string); !ok {
		return Command{}, true, fmt.Errorf("invalid command: %w", errNoName)
	}
	if cmd.ID, ok = data[1].(float64); !ok {
		return Command{}, true, fmt.Errorf("invalid command %.20q: %w", cmd.Name, errNoName)
	}
	cmd.Args = data[2:]
	if err != nil && len(cmd.Args) == 0 {
		return Command{}, true, fmt.Errorf("invalid command %.20q: %w", cmd.Name, err)
	}
	return cmd, true, nil
}

// text returns an argument that is a string.
func (c *Command) text(i int) (string, bool) {
	if i >= len(c.Args) {
		return "", false
	}
	s, ok := c.Args[i].(string)
	return s, ok
}

// object returns an argument that is an object; nil if it is not.
func (c *Command) object(i int) amf0.Object {
	if i >= len(c.Args) {
		return nil
	}
	o, _ := amf.AsObject(c.Args[i])
	return o
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

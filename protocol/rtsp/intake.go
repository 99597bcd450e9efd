package rtsp

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// maxStrange is how much a connection may send before its first RTSP request,
// bytes: the HTTP requests of tunnels, which the library reads without limit.
const maxStrange = 1 << 20

// maxWSMessage is the largest WebSocket message, bytes. The library reads whole
// messages into memory; they hold one RTSP request or one interleaved frame.
const maxWSMessage = 1 << 20

// postPause is how long the second request of an HTTP tunnel waits: clients send
// it when they see the answer to the first one, which the library writes just
// before it is prepared for the second one.
const postPause = 30 * time.Millisecond

var (
	errStrange   = errors.New("too much data before the first request")
	errWSMessage = errors.New("WebSocket message is too large")
)

// intake bounds what a connection makes the library keep in memory.
type intake struct {
	strange atomic.Int64 // bytes read before the first request
	trusted atomic.Bool  // there was a request
	ws      atomic.Pointer[wsGuard]
}

// trust lifts the limit of the beginning.
func (i *intake) trust() { i.trusted.Store(true) }

// sending sees what is written: the answer that turns a connection into a
// WebSocket.
func (i *intake) sending(p []byte) {
	const switching = "HTTP/1.1 101 "
	if !i.trusted.Load() && len(p) > len(switching) && string(p[:len(switching)]) == switching {
		i.ws.CompareAndSwap(nil, &wsGuard{})
	}
}

func (i *intake) read(c net.Conn, p []byte) (int, error) {
	n, err := c.Read(p)
	if !i.trusted.Load() && i.strange.Load() == 0 && string(p[:n]) == "POST" {
		time.Sleep(postPause)
	}
	if !i.trusted.Load() && i.strange.Add(int64(n)) > maxStrange {
		return 0, errStrange
	}
	if ws := i.ws.Load(); ws != nil && !ws.take(p[:n]) {
		return 0, errWSMessage
	}
	return n, err
}

// wsGuard follows the frames of a WebSocket (RFC 6455 section 5.2).
type wsGuard struct {
	head  [14]byte
	n     int    // bytes of head
	left  uint64 // bytes of the payload that did not come yet
	total uint64 // bytes of the message so far
}

// take reads on, and reports whether the message is small enough.
func (g *wsGuard) take(p []byte) bool {
	for len(p) > 0 {
		if g.left > 0 {
			k := min(g.left, uint64(len(p)))
			p, g.left = p[k:], g.left-k
			continue
		}
		g.head[g.n] = p[0]
		g.n++
		p = p[1:]
		size, ok := g.size()
		if !ok {
			continue
		}
		g.n, g.left = 0, size
		switch opcode := g.head[0] & 0x0f; {
		case opcode == 0: // goes on
			g.total += size
		case opcode < 8:
			g.total = size
		case size > 125: // control frames come in between and are short
			return false
		}
		if size > maxWSMessage || g.total > maxWSMessage {
			return false
		}
	}
	return true
}

// size returns the size of the payload once the head is complete.
func (g *wsGuard) size() (uint64, bool) {
	if g.n < 2 {
		return 0, false
	}
	size, need := uint64(g.head[1]&0x7f), 2
	switch size {
	case 126:
		need += 2
	case 127:
		need += 8
	}
	if g.head[1]&0x80 != 0 {
		need += 4 // mask
	}
	if g.n < need {
		return 0, false
	}
	switch size {
	case 126:
		size = uint64(binary.BigEndian.Uint16(g.head[2:]))
	case 127:
		size = binary.BigEndian.Uint64(g.head[2:])
	}
	return size, true
}

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

// intake stands between a connection and the library: it bounds what is kept in
// memory, and hides what would make the library fail.
type intake struct {
	trusted atomic.Bool // there was a request
	ws      atomic.Pointer[wsGuard]

	// of the goroutine that reads
	strange int    // bytes read before the first request
	head    []byte // the first four bytes
	rest    []byte // read, not handed over
	buf     []byte
}

// trust lifts the limit of the beginning.
func (i *intake) trust() { i.trusted.Store(true) }

// switching is how the answer begins that turns a connection into a WebSocket.
const switching = "HTTP/1.1 101 "

// write calls f to write p. The library panics if the answer to a WebSocket
// request cannot be written: then it has to learn it from the next Read.
func (i *intake) write(p []byte, f func([]byte) (int, error)) (int, error) {
	if len(p) < len(switching) || string(p[:len(switching)]) != switching || i.trusted.Load() {
		return f(p)
	}
	i.ws.Store(&wsGuard{})
	_, _ = f(p)
	return len(p), nil
}

func (i *intake) read(c net.Conn, p []byte) (int, error) {
	if len(i.head) == 4 && string(i.head) == "GET " && !i.trusted.Load() && i.ws.Load() == nil {
		return i.readByte(c, p)
	}
	var n int
	var err error
	if len(i.rest) > 0 {
		n = copy(p, i.rest)
		i.rest = i.rest[n:]
	} else {
		i.buf = nil
		n, err = i.count(c.Read(p))
	}
	if k := 4 - len(i.head); k > 0 {
		i.head = append(i.head, p[:min(k, n)]...)
		if string(i.head) == "POST" {
			time.Sleep(postPause)
		}
	}
	if ws := i.ws.Load(); ws != nil && !ws.take(p[:n]) {
		return 0, errWSMessage
	}
	return n, err
}

// readByte hands over an HTTP request byte by byte, so that the library, which
// buffers, has nothing of what follows when it switches to WebSocket: it would
// panic.
func (i *intake) readByte(c net.Conn, p []byte) (int, error) {
	if len(i.rest) == 0 {
		if i.buf == nil {
			i.buf = make([]byte, 1024)
		}
		n, err := i.count(c.Read(i.buf))
		if n == 0 {
			return 0, err
		}
		i.rest = i.buf[:n]
	}
	n := copy(p[:min(1, len(p))], i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// count applies the limit of the beginning.
func (i *intake) count(n int, err error) (int, error) {
	if !i.trusted.Load() {
		if i.strange += n; i.strange > maxStrange {
			return 0, errStrange
		}
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

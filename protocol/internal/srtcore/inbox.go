package srtcore

import (
	"errors"
	"io"
	"sync"
)

// packetBuffer holds the payload of a packet that was received.
type packetBuffer [maxPayload]byte

var packetBuffers = sync.Pool{New: func() any { return new(packetBuffer) }}

func getPacketBuffer() *packetBuffer { return packetBuffers.Get().(*packetBuffer) } // see New

func putPacketBuffer(b *packetBuffer) { packetBuffers.Put(b) }

// inbox is what waits for Conn.Read.
type inbox struct {
	limit int

	mu    sync.Mutex
	ready sync.Cond
	queue []delivery
	first int // index of the packet that is read next
	off   int // bytes of it that have been read
	bytes int
	err   error
	lost  uint64
}

func newInbox(limit int) *inbox {
	i := &inbox{limit: limit}
	i.ready.L = &i.mu
	return i
}

// push adds a packet and takes its buffer over. What does not fit is lost.
func (i *inbox) push(d delivery) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.bytes > 0 && i.bytes+d.size > i.limit || i.err != nil {
		i.lost++
		putPacketBuffer(d.buf)
		return
	}
	if i.first > 0 && len(i.queue) == cap(i.queue) {
		n := copy(i.queue, i.queue[i.first:])
		clear(i.queue[n:])
		i.queue, i.first = i.queue[:n], 0
	}
	i.queue = append(i.queue, d)
	i.bytes += d.size
	i.ready.Signal()
}

func (i *inbox) close(err error) {
	if errors.Is(err, ErrPeerClosed) {
		err = io.EOF
	}
	i.mu.Lock()
	i.err = err
	i.mu.Unlock()
	i.ready.Broadcast()
}

func (i *inbox) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.first == len(i.queue) {
		if i.err != nil {
			return 0, i.err
		}
		i.ready.Wait()
	}
	d := &i.queue[i.first]
	n := copy(p, d.buf[i.off:d.size])
	i.off += n
	i.bytes -= n
	if i.off == d.size {
		putPacketBuffer(d.buf)
		*d = delivery{}
		i.off = 0
		i.first++
		if i.first == len(i.queue) {
			i.queue, i.first = i.queue[:0], 0
		}
	}
	return n, nil
}

// dropped returns how many packets did not fit.
func (i *inbox) dropped() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lost
}

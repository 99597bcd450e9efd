package egress

import (
	"math/bits"
	"sync/atomic"
)

// Blocks are pooled by capacity in powers of two, so that a block that waits in a queue or in a cache
// of access units never holds much more memory than it has data.
const (
	minBlockBits = 10 // 1 KiB
	maxBlockBits = 20 // 1 MiB; larger ones are left to the garbage collector
	blockClasses = maxBlockBits - minBlockBits + 1
)

// frameHeader is the size of "$", channel and length (RFC 2326 section 10.12).
const frameHeader = 4

// Block is an encoded access unit, or part of one. It is filled by its maker and immutable once it is part of a message
// that was sent. It goes back to the pool with its last reference.
type Block struct {
	// Data holds interleaved frames or packets, back to back.
	Data []byte

	// Sizes are the sizes of the packets in Data, in bytes. Interleaved blocks have none.
	Sizes []int

	// Packets is the number of packets in Data.
	Packets int

	pool *Pool
	refs atomic.Int32
}

// Get returns an empty block with one reference and room for about size bytes. Appending more is allowed.
func (p *Pool) Get(size int) *Block {
	class := 0
	if size > 1<<minBlockBits {
		class = bits.Len(uint(size-1)) - minBlockBits
	}
	if class >= blockClasses {
		b := &Block{Data: make([]byte, 0, size), pool: p}
		b.refs.Store(1)
		return b
	}
	b, ok := p.blocks[class].Get().(*Block)
	if !ok {
		b = &Block{Data: make([]byte, 0, 1<<(class+minBlockBits)), pool: p}
	}
	b.refs.Store(1)
	return b
}

// AppendFrame adds a packet as an interleaved frame. Packets of more than 65535 bytes do not fit into a frame and are left out.
func (b *Block) AppendFrame(channel uint8, packet []byte) {
	if len(packet) > 0xffff {
		return
	}
	b.Data = append(b.Data, '$', channel, byte(len(packet)>>8), byte(len(packet)))
	b.Data = append(b.Data, packet...)
	b.Packets++
}

// AppendPacket adds a packet as it is.
func (b *Block) AppendPacket(packet []byte) {
	b.Data = append(b.Data, packet...)
	b.Sizes = append(b.Sizes, len(packet))
	b.Packets++
}

// AppendFrames adds all packets of flat, a block made with AppendPacket, as interleaved frames.
func (b *Block) AppendFrames(channel uint8, flat *Block) {
	off := 0
	for _, n := range flat.Sizes {
		b.AppendFrame(channel, flat.Data[off:off+n])
		off += n
	}
}

// Retain adds a reference.
func (b *Block) Retain() { b.refs.Add(1) }

// Release gives one reference back. With the last one the block is reused: it must not be touched afterwards.
func (b *Block) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("egress: block released too often")
	}
	class := bits.Len(uint(cap(b.Data))) - 1 - minBlockBits
	if class < 0 || class >= blockClasses {
		return
	}
	b.Data, b.Sizes, b.Packets = b.Data[:0], b.Sizes[:0], 0
	b.pool.blocks[class].Put(b)
}

package egress

import "time"

const (
	// maxBatch is how many messages sendmmsg(2) takes at once (UIO_MAXIOV).
	maxBatch = 1024

	// inlineBatch serves one or two readers.
	inlineBatch = 32

	// maxSegments and maxGSOBytes bound one message with UDP_SEGMENT. Newer kernels allow more segments.
	maxSegments = 64
	maxGSOBytes = 65000

	// scratchSize is the memory for datagrams made per reader; beyond a quarter of it the batch is flushed between readers.
	// A batch of a group of its own has less: there are as many as streams.
	scratchSize       = 512 << 10
	inlineScratchSize = 128 << 10
)

// Batch collects datagrams and sends them with as few system calls as the system allows. It belongs to one goroutine
// at a time.
type Batch struct {
	entries []entry // capacity is fixed
	now     int64   // Unix time in nanoseconds
	backlog bool    // what a reader begins with is delivered

	// The runs of the block that was added last, which usually is the next one too.
	runs      []run
	runsBlock *Block

	scratch     []byte
	scratchSize int
	sys         batchSys
	plain       plainSender
}

// entry is one message of sendmmsg(2): a datagram, or several of one size (the last may be shorter).
type entry struct {
	dest    *Destination
	count   *Counters
	data    []byte
	segment int // size of a datagram, in bytes
	packets int
	control bool
}

// run is a part of a block that can be an entry.
type run struct {
	off, len, segment, packets int
}

// NewBatch returns a batch that is flushed by itself after limit messages. Zero means 1024, which also is the maximum.
// The batches that readers are called with are made by the pool; this is for senders of their own, such as retransmissions.
func NewBatch(limit int) *Batch {
	if limit <= 0 || limit > maxBatch {
		limit = maxBatch
	}
	b := &Batch{entries: make([]entry, 0, min(limit, inlineBatch)), scratchSize: scratchSize, sys: newBatchSys(limit)}
	if limit <= inlineBatch {
		b.scratchSize = inlineScratchSize
	}
	return b
}

// Now returns the time at which the present message began to be delivered, without asking the clock again.
func (b *Batch) Now() time.Time { return time.Unix(0, b.clock()) }

// clock returns Now as Unix time in nanoseconds.
func (b *Batch) clock() int64 {
	if b.now == 0 {
		b.now = time.Now().UnixNano()
	}
	return b.now
}

// SendBlock adds the packets of a block. The block must stay referenced until the batch is flushed. c may be nil.
func (b *Batch) SendBlock(d *Destination, blk *Block, c *Counters, control bool) {
	if blk != b.runsBlock {
		b.runs = appendRuns(b.runs[:0], blk.Sizes)
		b.runsBlock = blk
	}
	for i := range b.runs {
		r := &b.runs[i]
		b.add(d, blk.Data[r.off:r.off+r.len], r.segment, r.packets, c, control)
	}
}

// Send adds datagrams that lie back to back in data: all of segment bytes, but for the last which may be
// shorter. data must stay as it is until the batch is flushed; Scratch gives such memory. c may be nil.
func (b *Batch) Send(d *Destination, data []byte, segment int, c *Counters, control bool) {
	if len(data) == 0 || segment <= 0 {
		return
	}
	most := min(maxSegments, max(maxGSOBytes/segment, 1)) * segment
	for len(data) > 0 {
		n := min(len(data), most)
		b.add(d, data[:n:n], segment, (n+segment-1)/segment, c, control)
		data = data[n:]
	}
}

// Scratch returns n bytes that are valid until the batch is flushed after the present Deliver, or, outside
// of it, until Flush is called.
func (b *Batch) Scratch(n int) []byte {
	if b.scratch == nil {
		b.scratch = make([]byte, 0, b.scratchSize)
	}
	used := len(b.scratch)
	if used+n > cap(b.scratch) {
		return make([]byte, n)
	}
	b.scratch = b.scratch[:used+n]
	return b.scratch[used : used+n : used+n]
}

// Room returns how many bytes Scratch can give without allocating. Who has handed over all it took may call Flush to make
// room.
func (b *Batch) Room() int { return b.scratchSize - len(b.scratch) }

// between is called after each reader.
func (b *Batch) between() {
	if len(b.scratch) > b.scratchSize/4 {
		b.flush()
	}
}

// Flush sends what was added.
func (b *Batch) Flush() {
	b.flush()
	b.now = 0
}

func (b *Batch) flush() {
	b.send()
	b.scratch = b.scratch[:0]
	b.runsBlock = nil
}

// add appends an entry, or one per packet where segmentation is not to be had.
func (b *Batch) add(d *Destination, data []byte, segment, packets int, c *Counters, control bool) {
	s := d.socket
	if packets > 1 && (s.mode.Load() != modeGSO || int32(segment) > d.gsoMax.Load()) {
		for len(data) > 0 {
			n := min(segment, len(data))
			b.push(entry{d, c, data[:n], n, 1, control})
			data = data[n:]
		}
		return
	}
	b.push(entry{d, c, data, segment, packets, control})
}

func (b *Batch) push(e entry) {
	if n := len(b.entries); n > 0 && b.entries[n-1].dest.socket != e.dest.socket {
		b.send()
	}
	b.entries = append(b.entries, e)
	if len(b.entries) >= b.sys.limit {
		b.send()
	}
}

// send sends the entries, which are all of one socket.
func (b *Batch) send() {
	if len(b.entries) == 0 {
		return
	}
	b.clock()
	s := b.entries[0].dest.socket
	if s.Tapped() {
		b.show(s)
	}
	if s.mode.Load() == modePlain {
		b.sendPlain(s)
	} else {
		b.sendBatch(s)
	}
	clear(b.entries)
	b.entries = b.entries[:0]
}

func (e *entry) sent(packets, bytes int, now int64) {
	if e.count != nil {
		e.count.Sent(packets, bytes, e.control, now)
	}
}

func (e *entry) lost(packets int) {
	if e.count != nil {
		e.count.Lost(packets)
	}
}

// appendRuns splits packets of the given sizes, back to back, into runs that one message with UDP_SEGMENT can carry:
// packets of one size, of which the last may be shorter.
func appendRuns(dst []run, sizes []int) []run {
	off := 0
	for i := 0; i < len(sizes); {
		r := run{off: off, segment: sizes[i]}
		for i < len(sizes) && r.packets < maxSegments {
			n := sizes[i]
			if r.packets > 0 && (n > r.segment || n == 0 || r.len+n > maxGSOBytes) {
				break
			}
			r.len += n
			r.packets++
			i++
			if n < r.segment || n == 0 {
				break
			}
		}
		off += r.len
		dst = append(dst, r)
	}
	return dst
}

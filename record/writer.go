package record

import (
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/router"
)

// Keys of log records.
const (
	keyError   = "error"
	keyFile    = "file"
	keyDropped = "droppedParts"
	keyTrack   = "track"
	keyCodec   = "codec"
	keyReason  = "reason"
)

// job is a part on its way to the store.
type job struct {
	seg    *segmentFile
	chunks []chunk       // to be written one after another
	size   int64         // bytes of all
	end    time.Duration // of the part, from the start of its segment
	last   bool          // there may be no data
}

// chunk is a buffer, which goes back to the pool, without its beginning.
type chunk struct {
	buf  []byte
	skip int
}

func (c chunk) bytes() []byte { return c.buf[c.skip:] }

// segmentFile is a segment on its way to the store.
type segmentFile struct {
	start  time.Time
	broken atomic.Bool // a part was lost: nothing else may follow
	queued bool        // the writer knows it; of the recorder

	// of the writer
	file     File
	name     string
	size     int64 // bytes of whole parts
	duration time.Duration
	done     bool
}

// writer writes parts in a goroutine of its own, so that a slow disk holds up
// nobody.
type writer struct {
	sink    Sink
	pattern Pattern
	run     *router.SinkRun
	log     *slog.Logger

	mu      sync.Mutex
	wake    *sync.Cond
	queue   []job
	waiting int64 // bytes in queue, and of the part that is being written
	closing bool
	free    [][]byte
	outage  outage

	ended chan struct{}
}

// outage is a time in which parts are lost.
type outage struct {
	active bool
	parts  int // lost
	calm   int // parts that were written since
}

// calmParts is how many parts must be written without a loss until an outage is
// over, so that a disk that is almost fast enough does not fill the log.
const calmParts = 10

// maxFree is how many buffers are kept for other parts. Buffers beyond
// maxFreeSize are not: they are of an exceptional part.
const (
	maxFree     = 4
	maxFreeSize = 4 << 20
)

func newWriter(s Sink, p Pattern, run *router.SinkRun) *writer {
	w := &writer{sink: s, pattern: p, run: run, log: run.Log, ended: make(chan struct{})}
	w.wake = sync.NewCond(&w.mu)
	go w.work()
	return w
}

// close returns when everything is written.
func (w *writer) close() {
	w.mu.Lock()
	w.closing = true
	w.wake.Signal()
	w.mu.Unlock()
	<-w.ended
}

// push never blocks. The part is dropped if the store is too slow.
func (w *writer) push(j job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	full := w.waiting > 0 && w.waiting+j.size > w.sink.MaxPartSize
	if full && j.size > 0 {
		j.seg.broken.Store(true)
		w.lostLocked("the store is too slow", nil)
		w.recycleLocked(j.chunks)
		if !j.seg.queued {
			return
		}
		j = job{seg: j.seg, last: true} // nothing else follows
	}
	if j.size == 0 && !j.seg.queued {
		return // nothing was written, nothing is to be closed
	}
	j.seg.queued = true
	w.waiting += j.size
	w.queue = append(w.queue, j)
	w.wake.Signal()
}

// buffer returns an empty buffer.
func (w *writer) buffer() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.free); n > 0 {
		b := w.free[n-1]
		w.free = w.free[:n-1]
		return b
	}
	return nil
}

func (w *writer) recycle(buf []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recycleLocked([]chunk{{buf: buf}})
}

func (w *writer) recycleLocked(chunks []chunk) {
	for _, c := range chunks {
		if n := cap(c.buf); len(w.free) < maxFree && n <= maxFreeSize && n >= headRoom {
			w.free = append(w.free, c.buf[:0])
		}
	}
}

// lost counts a part; what is logged is the first of an outage.
func (w *writer) lost(why string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lostLocked(why, err)
}

func (w *writer) lostLocked(why string, err error) {
	w.sink.State.dropped.Add(1)
	w.outage.parts++
	w.outage.calm = 0
	if w.outage.active {
		return
	}
	w.outage.active = true
	args := []any{keyReason, why}
	if err != nil {
		args = append(args, keyError, err)
	}
	w.log.Error("recording is interrupted, parts are dropped", args...)
}

func (w *writer) written(n int64) {
	w.sink.State.parts.Add(1)
	w.sink.State.bytes.Add(uint64(n))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.outage.calm++; w.outage.active && w.outage.calm >= calmParts {
		w.log.Info("recording goes on", keyDropped, w.outage.parts)
		w.outage = outage{}
	}
}

func (w *writer) work() {
	defer close(w.ended)
	for {
		j, ok := w.next()
		if !ok {
			return
		}
		w.do(j)
		w.mu.Lock()
		w.waiting -= j.size
		w.recycleLocked(j.chunks)
		w.mu.Unlock()
	}
}

func (w *writer) next() (job, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 {
		if w.closing {
			return job{}, false
		}
		w.wake.Wait()
	}
	j := w.queue[0]
	w.queue[0] = job{}
	w.queue = w.queue[1:]
	return j, true
}

// do writes a part.
func (w *writer) do(j job) {
	s := j.seg
	if j.size > 0 {
		if s.done {
			w.lost("the segment is incomplete", nil)
			return
		}
		if err := w.write(s, j); err != nil {
			s.broken.Store(true)
			w.lost("the store fails", err)
			w.end(s)
			return
		}
		w.written(j.size)
	}
	if j.last && !s.done {
		w.end(s)
	}
}

// errNoSpace stands for what the system would say if the disk were smaller.
var errNoSpace = errors.New("less space is free than the configured minimum")

func (w *writer) write(s *segmentFile, j job) error {
	if m := w.sink.MinFreeSpace; m > 0 {
		if free, err := w.sink.Store.Free(w.pattern.Root()); err == nil && free < uint64(m+j.size) {
			return errNoSpace
		}
	}
	if s.file == nil {
		if err := w.create(s); err != nil {
			return err
		}
	}
	for _, c := range j.chunks {
		if _, err := s.file.Write(c.bytes()); err != nil {
			return err
		}
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	first := s.size == 0
	if first {
		if err := s.file.Publish(); err != nil {
			return err
		}
	}
	s.size += j.size
	s.duration = j.end
	if first {
		w.sink.State.segments.Add(1)
		w.run.EmitSegment(s.name, false, 0)
	}
	return nil
}

// create makes the file. If there is one of that name, it takes the next that is
// free: time has gone backwards, or the pattern has no microseconds.
func (w *writer) create(s *segmentFile) error {
	step := time.Second
	if strings.Contains(w.pattern.text, "%f") {
		step = time.Microsecond
	}
	var err error
	start := s.start
	for range 10 {
		name := w.pattern.Name(w.run.Path, start)
		start = start.Add(step)
		w.sink.State.opened(name)
		if s.file, err = w.sink.Store.Create(name); err == nil {
			s.name = name
			return nil
		}
		s.file = nil
		w.sink.State.closed(name)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return err
}

// end closes a segment, without what was written in part.
func (w *writer) end(s *segmentFile) {
	s.done = true
	if s.file == nil {
		return
	}
	var errs error
	if s.broken.Load() && s.size > 0 {
		errs = errors.Join(s.file.Truncate(s.size), s.file.Sync())
	}
	errs = errors.Join(errs, s.file.Close())
	s.file = nil
	if s.size == 0 {
		errs = errors.Join(errs, w.sink.Store.Remove(w.pattern.Root(), s.name))
	}
	w.sink.State.closed(s.name)
	if errs != nil && !errors.Is(errs, errRemoved) { // which was logged
		w.log.Warn("segment is not closed properly", keyFile, s.name, keyError, errs)
	}
	if s.size > 0 {
		w.run.EmitSegment(s.name, true, s.duration)
	}
}

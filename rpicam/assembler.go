package rpicam

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Pictures wait so long for their time stamp before it is clear that none will
// come. A busy machine may read many pictures before it reads their stamps.
const (
	maxFirstWait = 500 * time.Millisecond // if there was none yet
	maxWait      = 3 * time.Second
	maxWaiting   = 1024 // pictures
)

// picture is an encoded picture.
type picture struct {
	payload [][]byte
	arrived time.Time
}

// assembler brings pictures and their time stamps together. They come through
// two pipes: the program writes all of a picture, then its stamp. So when the
// stamp is there, the picture is complete, although nothing behind it tells.
type assembler struct {
	deliver func(pts int64, ntp time.Time, payload [][]byte) error
	now     func() time.Time

	mu       sync.Mutex // guards the following, and the reading of pictures
	split    splitter
	line     *timeline
	stamped  bool // stamps are expected
	pictures int  // so far
	stamps   int  // so far
	waiting  []picture
	stamp    []time.Duration // that wait for their picture
	err      error           // the first
	chunk    []byte
}

// picture takes a picture from the splitter.
func (a *assembler) picture(payload [][]byte) {
	a.pictures++
	a.waiting = append(a.waiting, picture{payload, a.now()})
	if a.stamped && a.waited() {
		a.unstamped()
	}
	a.match()
}

// waited tells whether stamps are late beyond hope.
func (a *assembler) waited() bool {
	most := maxWait
	if a.stamps == 0 {
		most = maxFirstWait
	}
	return len(a.waiting) > maxWaiting || a.now().Sub(a.waiting[0].arrived) > most
}

// match delivers what is known.
func (a *assembler) match() {
	for len(a.waiting) > 0 && a.err == nil {
		p := a.waiting[0]
		var pts int64
		var ntp time.Time
		switch {
		case !a.stamped:
			pts, ntp = a.line.arrived(p.arrived)
		case len(a.stamp) == 0:
			return
		default:
			pts, ntp = a.line.captured(a.stamp[0], p.arrived)
			a.stamp = a.stamp[1:]
		}
		a.waiting[0] = picture{}
		a.waiting = a.waiting[1:]
		a.err = a.deliver(pts, ntp, p.payload)
	}
}

// take takes bytes of pictures.
func (a *assembler) take(b []byte) error {
	if a.err == nil {
		if err := a.split.write(b); a.err == nil {
			a.err = err
		}
	}
	return a.err
}

// takeStamp takes a stamp, after all that was written before it was taken.
func (a *assembler) takeStamp(d time.Duration) error {
	begun := a.pictures
	if a.split.open() {
		begun++
	}
	if a.err != nil || !a.stamped || a.stamps >= begun {
		return a.err // some encoders stamp a buffer that holds parameters only
	}
	a.stamps++
	a.stamp = append(a.stamp, d)
	a.match()
	if a.err == nil && a.pictures < a.stamps {
		if err := a.split.flush(); a.err == nil {
			a.err = err
		}
	}
	return a.err
}

// unstamped goes on without stamps.
func (a *assembler) unstamped() {
	a.stamped, a.stamp = false, nil
	a.match()
}

// readStamps reads stamps until the end, and catches up with pictures first
// whenever one comes.
func (a *assembler) readStamps(stamps, pictures *os.File, log *slog.Logger) error {
	defer func() { _, _ = io.Copy(io.Discard, stamps) }() // the program must not be held up
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.unstamped()
	}()
	sc := bufio.NewScanner(stamps)
	sc.Buffer(make([]byte, 0, 256), 256)
	for sc.Scan() {
		d, ok, err := parseStamp(sc.Bytes())
		if err != nil {
			log.Warn("time stamps of the camera program are ignored", "error", err)
			return nil
		}
		if !ok {
			continue
		}
		a.mu.Lock()
		err = a.catchUp(pictures)
		if err == nil {
			err = a.takeStamp(d)
		}
		a.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// buffer is what is read into. mu is locked.
func (a *assembler) buffer() []byte {
	if a.chunk == nil {
		a.chunk = make([]byte, 64<<10)
	}
	return a.chunk
}

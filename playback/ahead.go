package playback

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"
)

// Headers are far apart in a file, and each one tells where the next one is. While
// none of them is in the memory of the system, a disk that answers many requests
// at once waits for ours. So if reading turns out to be slow, others go ahead, from
// several places in the file, so that what comes next is in memory already. They
// change nothing else.

const (
	// aheadAfter is the number of fragments after which the speed is looked at.
	aheadAfter = 32
	// aheadSlow is the time per fragment from which on it is worthwhile: in memory,
	// a few microseconds are usual.
	aheadSlow = 30 * time.Microsecond
	// aheadLeast is how much of a file must be left, in bytes.
	aheadLeast = 32 << 20
	// aheadPlaces is how many go ahead.
	aheadPlaces = 8
	// aheadSearch is how far each one looks for a fragment to begin with, in bytes.
	aheadSearch = 4 << 20
)

// isLocal tells whether the system keeps what was read: it is a file of the system.
func isLocal(r io.ReaderAt) bool {
	_, ok := r.(interface{ Fd() uintptr })
	return ok
}

// ahead reads the headers of a file from an offset on, until the function that it
// returns is called.
func ahead(ctx context.Context, r io.ReaderAt, from, size int64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	each := (size - from) / aheadPlaces
	for i := range int64(aheadPlaces) {
		begin := from + i*each
		wg.Go(func() { readHeaders(ctx, r, begin, min(begin+each, size)) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// readHeaders follows the chain of boxes that begins with the first fragment after
// an offset.
func readHeaders(ctx context.Context, r io.ReaderAt, from, to int64) {
	pos := findFragment(ctx, r, from, min(to, from+aheadSearch))
	w := window{r: r, size: to}
	for pos >= 0 && pos < to && ctx.Err() == nil {
		kind, _, end, err := w.header(pos)
		if err != nil {
			return
		}
		if n := end - pos; kind == "moof" && n > windowSize && n <= maxFragment {
			_, _ = w.read(pos, int(n)) // that of other boxes is not needed
		}
		pos = end
	}
}

// findFragment returns the offset of the first "moof"; -1: there is none.
func findFragment(ctx context.Context, r io.ReaderAt, from, to int64) int64 {
	const overlap = 15
	buf := make([]byte, copySize)
	for at := from; at < to && ctx.Err() == nil; at += copySize - overlap {
		n, _ := r.ReadAt(buf[:min(copySize, to-at)], at)
		b := buf[:n]
		for i := 0; ; {
			j := bytes.Index(b[i:], []byte("moof"))
			if j < 0 {
				break
			}
			i += j + 4
			if i >= 8 && i+8 <= len(b) && string(b[i+4:i+8]) == "mfhd" {
				return at + int64(i) - 8
			}
		}
		if n < copySize {
			break
		}
	}
	return -1
}

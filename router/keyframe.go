package router

import (
	"sync"
	"time"

	"github.com/org/mtx/router/media"
)

const (
	// keyFramePause is the least time between two requests for key frames: they
	// cost the publisher bandwidth, or quality.
	keyFramePause = 500 * time.Millisecond

	// keyFramePatience is how long a key frame may take until it is asked for
	// again: requests get lost.
	keyFramePatience = time.Second

	// keyFrameTries is how often one is asked for.
	keyFrameTries = 5
)

// RequestKeyFrame asks the publisher for a key frame, if it can be asked (see
// [PublishOptions]): for readers that join, or that lost something. It never
// blocks, and may be called as often as readers like: requests that come too
// fast are joined to one that is sent a moment later. It is sent again if no key
// frame comes.
//
// A subscription asks by itself when it begins. Who feeds readers from a tap asks
// for each of them.
func (s *Stream) RequestKeyFrame() { s.keys.request() }

// keyFrames are the requests for key frames of a stream.
type keyFrames struct {
	// set before others see the stream
	ask   func() // nil: the publisher cannot be asked
	video []bool // by track

	mu      sync.Mutex
	timer   *time.Timer
	wanted  bool // somebody asked since the last request
	asking  bool
	closed  bool
	last    time.Time // of the last request
	tries   int       // of the last request
	missing []bool    // by track: no key frame has come since
}

func (k *keyFrames) init(tracks []media.Track, ask func()) {
	k.ask = ask
	k.video, k.missing = make([]bool, len(tracks)), make([]bool, len(tracks))
	for i, t := range tracks {
		k.video[i] = t.Codec.Kind() == media.Video
	}
}

func (k *keyFrames) request() {
	if k.ask == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.wanted {
		return
	}
	k.wanted = true
	if !k.asking {
		k.afterLocked(max(0, keyFramePause-time.Since(k.last)))
	}
}

func (k *keyFrames) afterLocked(d time.Duration) {
	if k.timer == nil {
		k.timer = time.AfterFunc(d, k.send)
		return
	}
	k.timer.Reset(d)
}

// send is called by the timer.
func (k *keyFrames) send() {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed || k.asking || !k.wanted && !k.missingLocked():
		return
	case k.wanted:
		k.wanted, k.tries = false, 0
	}
	k.asking = true
	k.tries++
	copy(k.missing, k.video)
	k.mu.Unlock()
	k.ask()
	k.mu.Lock()
	k.asking, k.last = false, time.Now()
	switch {
	case k.closed:
	case k.wanted:
		k.afterLocked(keyFramePause)
	case k.tries < keyFrameTries:
		k.afterLocked(keyFramePatience)
	}
}

func (k *keyFrames) missingLocked() bool {
	for _, m := range k.missing {
		if m {
			return true
		}
	}
	return false
}

// came is called for every key frame.
func (k *keyFrames) came(track int) {
	if k.ask == nil || !k.video[track] {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.missing[track] = false
}

// close is called at the end of the stream.
func (k *keyFrames) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

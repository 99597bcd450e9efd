package router

import (
	"sync"
	"time"
)

// keyFramePause is the least time between two requests for key frames: they
// cost the publisher bandwidth, or quality.
const keyFramePause = 500 * time.Millisecond

// RequestKeyFrame asks the publisher for a key frame, if it can be asked (see
// [PublishOptions]): for readers that join, or that lost something. It never
// blocks, and may be called as often as readers like: requests that come too
// fast are joined to one that is sent a moment later.
//
// A subscription asks by itself when it begins. Who feeds readers from a tap asks
// for each of them.
func (s *Stream) RequestKeyFrame() { s.keys.request() }

// keyFrames are the requests for key frames of a stream.
type keyFrames struct {
	ask func() // nil: the publisher cannot be asked. Set before others see the stream

	mu     sync.Mutex
	timer  *time.Timer // of the request that is under way; nil if there is none
	last   time.Time   // when the last one was sent
	closed bool
}

func (k *keyFrames) request() {
	if k.ask == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.timer != nil {
		return
	}
	k.timer = time.AfterFunc(max(0, keyFramePause-time.Since(k.last)), k.send)
}

func (k *keyFrames) send() {
	k.mu.Lock()
	closed := k.closed
	k.mu.Unlock()
	if closed {
		return
	}
	k.ask()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer, k.last = nil, time.Now()
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

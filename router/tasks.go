package router

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// tasks counts the goroutines of a router. Unlike sync.WaitGroup, it may be
// asked to start one at any time: after wait it refuses.
type tasks struct {
	log    *slog.Logger // of hooks that panic
	mu     sync.Mutex
	n      int
	closed bool
	idle   sync.Cond
}

func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	go func() {
		defer t.done()
		f()
	}()
	return true
}

func (t *tasks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 {
		t.idle.Broadcast()
	}
}

// slowStop is how long something may take to stop until it is named in the log: who
// calls Close or Apply, and waits, wants to know for what.
const slowStop = 10 * time.Second

// await waits for the end of what log is about.
func await(log *slog.Logger, done <-chan struct{}) {
	t := time.NewTimer(slowStop)
	defer t.Stop()
	select {
	case <-done:
		return
	case <-t.C:
	}
	log.Warn("does not stop, and is waited for")
	<-done
}

// wait blocks until no task is left; none can be started afterwards.
func (t *tasks) wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle.L = &t.mu
	for t.n > 0 {
		t.idle.Wait()
	}
	t.closed = true
}

// queue runs functions one after another, in the order in which they were
// pushed, outside of the locks of those who push. It owns a goroutine only
// while it has something to do. The zero value is ready.
type queue struct {
	mu      sync.Mutex
	list    []func()
	running bool
}

func (q *queue) push(t *tasks, f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, f)
	if !q.running {
		q.running = t.start(q.run)
	}
}

func (q *queue) run() {
	for {
		q.mu.Lock()
		if len(q.list) == 0 {
			q.running = false
			q.list = nil
			q.mu.Unlock()
			return
		}
		f := q.list[0]
		q.list = q.list[1:]
		q.mu.Unlock()
		f()
	}
}

// busy tells whether something is left to do.
func (q *queue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running
}

// call runs a function of a hook; a panic ends that function only.
func (t *tasks) call(f func()) {
	_ = protect(t.log, func() error { f(); return nil })
}

// gate is a mutex whose lock can be given up. Its capacity is 1.
type gate chan struct{}

// lock fails if ctx is done, or closed is closed, before the lock is free.
func (g gate) lock(ctx context.Context, closed <-chan struct{}) error {
	if ctx.Err() != nil { // or chance decides
		return context.Cause(ctx)
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-closed:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g gate) unlock() { <-g }

// PanicError is the error of a plugin that panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // as text, see [debug.Stack]
}

// Error implements error, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// protect turns a panic of f into an error, and logs its stack.
func protect(log *slog.Logger, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			pe := &PanicError{Value: v, Stack: debug.Stack()}
			log.Error("panic", keyError, pe, keyStack, string(pe.Stack))
			err = pe
		}
	}()
	return f()
}

// pauseAfter logs the end of a source or a sink and waits before the next try.
// It returns false if there should be none: ctx, or what done stands for, ended.
func pauseAfter(ctx context.Context, log *slog.Logger, err error, d time.Duration, done <-chan struct{}) bool {
	if err == nil {
		log.Info("stopped, will restart", keyPause, d)
	} else {
		log.Error("stopped, will restart", keyError, err, keyPause, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
	case <-ctx.Done():
	}
	return false
}

// sleep waits, but not longer than ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

package router

import (
	"context"
	"slices"
	"sync"
	"time"
)

// sourceRun is a source that is running, or being restarted after a failure.
type sourceRun struct {
	cancel  context.CancelFunc
	updates chan Source

	mu  sync.Mutex
	src Source // what the next run uses
}

// set delivers a new value of a HotSource.
func (s *sourceRun) set(src Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.src = src
	select { // only the last update matters
	case <-s.updates:
	default:
	}
	s.updates <- src
}

// take returns the value to run and forgets updates that led to it.
func (s *sourceRun) take() Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.updates:
	default:
	}
	return s.src
}

// startSourceLocked starts the source of the path if it has one that is not
// running. query is that of the reader that caused it.
func (p *Path) startSourceLocked(query string) {
	if _, ok := p.conf.Source.(Redirector); ok || p.conf.Source == nil || p.src != nil || p.closed {
		return
	}
	ctx, cancel := context.WithCancel(p.r.ctx)
	s := &sourceRun{cancel: cancel, updates: make(chan Source, 1), src: p.conf.Source}
	prev, done := p.srcDone, make(chan struct{})
	run := &SourceRun{
		Path: p.name, Config: p.conf, Updates: s.updates,
		Log:    p.log.With(keySource, s.src.Type()),
		groups: p.groups, query: query, typ: s.src.Type(), path: p,
	}
	started := p.r.tasks.start(func() {
		defer close(done)
		defer cancel()
		if prev != nil {
			<-prev // two runs never overlap: they may want the same device or port
		}
		supervise(ctx, run.Log, p.r.retryPause, func() error {
			defer p.endSource()
			return s.take().Run(ctx, run)
		})
	})
	if !started {
		cancel()
		return
	}
	p.src, p.srcDone = s, done
}

// endSource ends the publication of a source that returned without closing it.
func (p *Path) endSource() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pub != nil && !invites(p.conf.Source) {
		p.endLocked(ErrStreamClosed)
	}
}

func (p *Path) stopSourceLocked() {
	if p.src != nil {
		p.src.cancel()
		p.src = nil
	}
}

func (p *Path) stopIdleLocked() {
	if p.idle != nil {
		p.idle.Stop()
		p.idle = nil
	}
}

// checkIdleLocked arranges the end of an on-demand source that nobody reads.
func (p *Path) checkIdleLocked() {
	p.stopIdleLocked()
	if p.src == nil || !p.conf.OnDemand.Enabled || len(p.readers) > 0 || p.waiting > 0 {
		return
	}
	src := p.src
	p.idle = time.AfterFunc(p.conf.OnDemand.CloseAfter, func() {
		p.mu.Lock()
		if p.src == src && p.conf.OnDemand.Enabled && len(p.readers) == 0 && p.waiting == 0 {
			p.idle = nil
			p.log.Info("on-demand source is stopped: nobody reads")
			p.stopSourceLocked()
			if p.pub != nil && !invites(p.conf.Source) {
				p.endLocked(ErrStreamClosed)
			}
		}
		p.mu.Unlock()
		p.r.collect(p)
	})
}

// sinkRun is a sink at work on one stream.
type sinkRun struct {
	sink   Sink
	stream *Stream
	cancel context.CancelFunc
	done   chan struct{}
}

// syncSinksLocked starts and stops sinks, one by one, so that those which run
// are those of the configuration, on the current stream.
func (p *Path) syncSinksLocked() {
	var want []Sink
	var stream *Stream
	if p.pub != nil {
		want, stream = slices.Clone(p.conf.Sinks), p.pub.stream
	}
	var keep []*sinkRun
	for _, s := range p.sinks {
		i := slices.IndexFunc(want, func(w Sink) bool { return s.stream == stream && equal(s.sink, w) })
		if i < 0 {
			// a stream that ended is drained by the sink itself; a sink that was
			// removed is stopped
			if s.stream == stream || p.closed {
				s.cancel()
			}
			continue
		}
		want = slices.Delete(want, i, i+1)
		keep = append(keep, s)
	}
	p.sinks = keep
	for _, w := range want {
		p.startSinkLocked(w, stream)
	}
}

func (p *Path) startSinkLocked(sink Sink, stream *Stream) {
	ctx, cancel := context.WithCancel(p.r.ctx)
	s := &sinkRun{sink: sink, stream: stream, cancel: cancel, done: make(chan struct{})}
	run := &SinkRun{
		Path: p.name, Config: p.conf, Stream: stream,
		Log:    p.log.With(keySink, sink.Type()),
		groups: p.groups, path: p,
	}
	started := p.r.tasks.start(func() {
		defer close(s.done)
		defer cancel()
		supervise(ctx, run.Log, p.r.retryPause, func() error {
			if stream.Err() != nil {
				return ErrStreamClosed
			}
			return sink.Run(ctx, run)
		})
	})
	if !started {
		cancel()
		return
	}
	p.sinks = append(p.sinks, s)
}

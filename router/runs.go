package router

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
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
	log := p.log.With(keySource, s.src.Type())
	started := p.r.tasks.start(func() {
		defer close(done)
		defer cancel()
		if prev != nil {
			<-prev // two runs never overlap: they may want the same device or port
		}
		p.runSource(ctx, log, s, query)
	})
	if !started {
		cancel()
		return
	}
	p.src, p.srcDone = s, done
}

// runSource runs a source until ctx is done, again whenever it returns.
func (p *Path) runSource(ctx context.Context, log *slog.Logger, s *sourceRun, query string) {
	for ctx.Err() == nil {
		err := protect(log, func() error {
			defer p.endSource()
			src := s.take()
			p.mu.Lock()
			run := &SourceRun{
				Path: p.name, Config: p.conf, Log: log, Updates: s.updates,
				Groups: p.groups, Query: query, typ: src.Type(), path: p,
			}
			p.mu.Unlock()
			return src.Run(ctx, run)
		})
		if ctx.Err() != nil || !pauseAfter(ctx, log, err, p.r.retryPause(), nil) {
			return
		}
	}
}

// endSource ends the publication of a source that returned without closing it.
func (p *Path) endSource() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if invites(p.conf.Source) {
		return
	}
	p.dropNextLocked(ErrStreamClosed)
	if p.pub != nil {
		p.endLocked(ErrStreamClosed, false)
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
			if p.pub == nil || !invites(p.conf.Source) {
				p.endAllLocked(ErrStreamClosed)
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
	failed atomic.Bool // it waits for its next try
	early  *Subscription
}

// syncSinksLocked starts and stops sinks, one by one, so that those which run
// are those of the configuration, on the current stream.
func (p *Path) syncSinksLocked() {
	var want []Sink
	var stream *Stream
	if p.stream != nil {
		want, stream = slices.Clone(p.conf.Sinks), p.stream
	}
	p.ending, p.leaving = atWork(p.ending), atWork(p.leaving)
	var keep []*sinkRun
	for _, s := range p.sinks {
		if s.stream != stream {
			p.ending = append(p.ending, s) // it reads what is left and ends by itself
			continue
		}
		i := slices.IndexFunc(want, func(w Sink) bool { return equal(s.sink, w) })
		if i < 0 {
			p.stopSinkLocked(s)
			continue
		}
		want = slices.Delete(want, i, i+1)
		keep = append(keep, s)
	}
	p.sinks = keep
	if p.closed {
		for _, s := range p.ending {
			p.stopSinkLocked(s)
		}
		p.ending = nil
	}
	for _, w := range want {
		p.startSinkLocked(w, stream)
	}
}

// atWork selects the sinks that have not returned yet.
func atWork(runs []*sinkRun) []*sinkRun {
	return slices.DeleteFunc(slices.Clone(runs), func(s *sinkRun) bool { return isDone(s.done) })
}

func (p *Path) stopSinkLocked(s *sinkRun) {
	s.cancel()
	p.leaving = append(p.leaving, s)
}

// startSinkLocked starts a sink as soon as those that were stopped are gone:
// they may want the same file or destination.
func (p *Path) startSinkLocked(sink Sink, stream *Stream) {
	ctx, cancel := context.WithCancel(p.r.ctx)
	s := &sinkRun{sink: sink, stream: stream, cancel: cancel, done: make(chan struct{})}
	log, prev := p.log.With(keySink, sink.Type()), p.leaving
	if e, ok := sink.(EarlySink); ok && stream.isNew() {
		var err error
		if s.early, err = stream.Subscribe(e.EarlySubscription()); err != nil {
			log.Error("beginning of the stream is missed", keyError, err)
		}
	}
	started := p.r.tasks.start(func() {
		defer p.r.collect(p)
		defer close(s.done)
		defer cancel()
		defer s.closeEarly()
		for _, o := range prev {
			<-o.done
		}
		p.runSink(ctx, log, s)
	})
	if !started {
		s.closeEarly()
		cancel()
		return
	}
	p.sinks = append(p.sinks, s)
}

// closeEarly ends the subscription to the beginning of the stream, if there is one.
func (s *sinkRun) closeEarly() {
	if s.early != nil {
		s.early.Close()
		s.early = nil
	}
}

// runSink runs a sink until its stream is over, again if it fails before.
func (p *Path) runSink(ctx context.Context, log *slog.Logger, s *sinkRun) {
	for ctx.Err() == nil && (s.early != nil || !isDone(s.stream.done)) {
		err := protect(log, func() error {
			p.mu.Lock()
			run := &SinkRun{Path: p.name, Config: p.conf, Log: log, Stream: s.stream, Early: s.early, Groups: p.groups, path: p}
			p.mu.Unlock()
			defer s.closeEarly()
			return s.sink.Run(ctx, run)
		})
		if ctx.Err() != nil || isDone(s.stream.done) {
			if err != nil && !errors.Is(err, ErrStreamClosed) && ctx.Err() == nil {
				log.Error("stopped", keyError, err)
			}
			return
		}
		s.failed.Store(true)
		if !pauseAfter(ctx, log, err, p.r.retryPause(), s.stream.done) {
			return
		}
		s.failed.Store(false)
	}
}

// sinkInfosLocked tells how the sinks of the configuration are doing.
func (p *Path) sinkInfosLocked() []SinkInfo {
	atWork := slices.Clone(p.sinks)
	out := make([]SinkInfo, len(p.conf.Sinks))
	for i, c := range p.conf.Sinks {
		out[i] = SinkInfo{Type: c.Type(), State: "idle"}
		at := slices.IndexFunc(atWork, func(s *sinkRun) bool { return s.stream == p.stream && equal(s.sink, c) })
		if at < 0 {
			continue
		}
		out[i].State = "running"
		if atWork[at].failed.Load() {
			out[i].State = "failed"
		}
		atWork = slices.Delete(atWork, at, at+1)
	}
	return out
}

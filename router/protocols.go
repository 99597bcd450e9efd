package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
)

// running is a protocol that serves.
type running struct {
	proto   Protocol
	host    *Host
	cancel  context.CancelFunc
	stopped chan struct{}
	err     error // set before stopped is closed
}

func (r *Router) startProtocol(ctx context.Context, p Protocol) error {
	pctx, cancel := context.WithCancel(r.ctx)
	h := &Host{
		r: r, proto: p.Name(), log: r.log.With(keyProtocol, p.Name()),
		ready: make(chan struct{}), updates: make(chan Protocol, 1),
	}
	run := &running{proto: p, host: h, cancel: cancel, stopped: make(chan struct{})}
	if !r.tasks.start(func() { r.serve(pctx, run) }) {
		cancel()
		return ErrClosed
	}
	select {
	case <-h.ready:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running[p.Name()] = run
		return nil
	case <-run.stopped:
		cancel()
		return fmt.Errorf("%s: %w", p.Name(), cmp.Or(run.err, context.Cause(r.ctx)))
	case <-ctx.Done():
		cancel()
		await(h.log, run.stopped)
		return fmt.Errorf("%s: not ready in time: %w", p.Name(), context.Cause(ctx))
	}
}

// serve runs a protocol. Its end is fatal for the router unless it was asked
// for, or unless the protocol never became ready.
func (r *Router) serve(ctx context.Context, run *running) {
	defer close(run.stopped)
	run.err = protect(run.host.log, func() error { return run.proto.Serve(ctx, run.host) })
	if run.err == nil && ctx.Err() == nil {
		run.err = errors.New("stopped by itself")
	}
	select {
	case <-run.host.ready:
		if ctx.Err() == nil {
			run.host.log.Error("protocol failed, the router stops", keyError, run.err)
			r.cancel(fmt.Errorf("%s: %w", run.proto.Name(), run.err))
		}
	default:
	}
}

func (r *Router) stopProtocol(name string) {
	r.mu.Lock()
	run := r.running[name]
	delete(r.running, name)
	r.mu.Unlock()
	if run != nil {
		run.cancel()
		await(run.host.log, run.stopped)
	}
}

// update delivers a new value to a HotProtocol.
func (run *running) update(p Protocol) {
	select { // only the last update matters
	case <-run.host.updates:
	default:
	}
	run.host.updates <- p
}

// Protocols returns the names of the running protocols, sorted.
func (r *Router) Protocols() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.running))
}

// ProtocolAddrs returns the addresses at which a running protocol accepts
// clients, as it reported them: what to ask after listening on port 0.
func (r *Router) ProtocolAddrs(name string) []net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if run := r.running[name]; run != nil {
		return run.host.addrs
	}
	return nil
}

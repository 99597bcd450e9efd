package router

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
)

// Apply moves the router to another configuration with the least disturbance:
// what did not change keeps running, with its clients. If the configuration is
// wrong nothing changes; if a new protocol cannot start, the previous ones are
// restored and the old configuration stays in force. ctx bounds the start of
// protocols.
func (r *Router) Apply(ctx context.Context, next Config) (Changes, error) {
	return r.edit(ctx, func(Config) Config { return next })
}

// AddPath adds a path, or replaces one of the same name. It is Apply with one
// more path.
func (r *Router) AddPath(ctx context.Context, p PathConfig) error {
	_, err := r.edit(ctx, func(c Config) Config { return c.WithPath(p) })
	return err
}

// RemovePath removes a path. It returns [ErrPathNotFound] if the configuration
// has none of this name.
func (r *Router) RemovePath(ctx context.Context, name string) error {
	found := false
	_, err := r.edit(ctx, func(c Config) Config {
		found = slices.ContainsFunc(c.Paths, func(p PathConfig) bool { return p.Name == name })
		return c.WithoutPath(name)
	})
	if err == nil && !found {
		return &PathError{"remove", name, ErrPathNotFound}
	}
	return err
}

func (r *Router) edit(ctx context.Context, f func(Config) Config) (Changes, error) {
	r.applyMu.Lock()
	defer r.applyMu.Unlock()
	old := r.cfg.Load()
	cfg := f(old.Config)
	next, err := compile(&cfg)
	if err != nil {
		return Changes{}, err
	}
	if r.ctx.Err() != nil {
		return Changes{}, ErrClosed
	}
	ch := Diff(&old.Config, &next.Config)
	if !r.started { // nothing runs yet
		r.cfg.Store(next)
		return ch, nil
	}
	if err := r.exchange(ctx, &ch, old, next); err != nil {
		return Changes{}, err
	}
	r.syncPaths(old, next)
	if !ch.Empty() {
		r.log.Info("configuration applied", "changes", ch)
	}
	hooks := *r.hooks.Load()
	r.events.push(&r.tasks, func() {
		for _, h := range hooks {
			if h.ConfigApplied != nil {
				h.ConfigApplied(ch)
			}
		}
	})
	return ch, nil
}

// exchange stops and starts protocols, or restores what was.
func (r *Router) exchange(ctx context.Context, ch *Changes, old, next *compiled) error {
	if len(ch.ProtocolsStopped)+len(ch.ProtocolsStarted)+len(ch.ProtocolsUpdated) == 0 {
		return nil
	}
	defer r.listeners.park()()
	np, op := byName(next.Protocols), byName(old.Protocols)
	for _, n := range ch.ProtocolsStopped {
		r.stopProtocol(n)
	}
	for i, n := range ch.ProtocolsStarted {
		err := r.startProtocol(ctx, np[n])
		if err == nil {
			continue
		}
		for _, m := range ch.ProtocolsStarted[:i] {
			r.stopProtocol(m)
		}
		for _, m := range ch.ProtocolsStopped {
			// not bound to ctx: it may be what made the start fail
			if err2 := r.startProtocol(r.ctx, op[m]); err2 != nil {
				err = errors.Join(err, err2)
				r.cancel(err) // neither configuration can serve
			}
		}
		return err
	}
	for _, n := range ch.ProtocolsUpdated {
		r.running[n].update(np[n])
	}
	return nil
}

// update delivers a new value to a HotProtocol.
func (run *running) update(p Protocol) {
	run.proto = p
	select { // only the last update matters
	case <-run.host.updates:
	default:
	}
	run.host.updates <- p
}

// Protocols returns the names of the running protocols, sorted.
func (r *Router) Protocols() []string {
	r.applyMu.Lock()
	defer r.applyMu.Unlock()
	return slices.Sorted(maps.Keys(r.running))
}

// ProtocolAddrs returns the addresses at which a running protocol accepts
// clients, as it reported them: what to ask after listening on port 0.
func (r *Router) ProtocolAddrs(name string) []net.Addr {
	r.applyMu.Lock()
	defer r.applyMu.Unlock()
	if run := r.running[name]; run != nil {
		return run.host.addrs
	}
	return nil
}

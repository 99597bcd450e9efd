package router

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
)

// Apply moves the router to another configuration with the least disturbance:
// what did not change keeps running, with its clients. If the configuration is
// wrong nothing changes; if a new protocol cannot start, the previous ones are
// restored and the old configuration stays in force. ctx bounds the start of
// protocols, and the wait for another Apply that is at work.
//
// Apply waits for the protocols, sources, standbys and sinks that it stops, so a protocol
// must not call it on a goroutine that its own Serve waits for, unless it knows
// that it is not among those.
func (r *Router) Apply(ctx context.Context, next Config) (Changes, error) {
	return r.edit(ctx, func(Config) (Config, error) { return next, nil })
}

// AddPath adds a path, or replaces one of the same name. It is Apply with one
// more path.
func (r *Router) AddPath(ctx context.Context, p PathConfig) error {
	_, err := r.edit(ctx, func(c Config) (Config, error) { return c.WithPath(p), nil })
	return err
}

// RemovePath removes a path. It returns [ErrPathNotFound] if the configuration
// has none of this name.
func (r *Router) RemovePath(ctx context.Context, name string) error {
	_, err := r.edit(ctx, func(c Config) (Config, error) {
		if !slices.ContainsFunc(c.Paths, func(p PathConfig) bool { return p.Name == name }) {
			return c, &PathError{"remove", name, ErrPathNotFound}
		}
		return c.WithoutPath(name), nil
	})
	return err
}

func (r *Router) edit(ctx context.Context, f func(Config) (Config, error)) (Changes, error) {
	if err := r.applying.lock(ctx, r.ctx.Done()); err != nil {
		return Changes{}, err
	}
	defer r.applying.unlock()
	old := r.cfg.Load()
	cfg, err := f(old.Config)
	if err != nil {
		return Changes{}, err
	}
	next, err := compile(&cfg)
	if err != nil {
		return Changes{}, err
	}
	if r.ctx.Err() != nil {
		return Changes{}, ErrClosed
	}
	ch := Diff(&old.Config, &next.Config)
	if !ch.Auth {
		next.Auth = old.Auth // what it remembers and keeps open stays of use
	}
	if !r.started { // nothing runs yet
		r.cfg.Store(next)
		if ch.Auth {
			r.closeAuth(old.Auth)
		}
		return ch, nil
	}
	if err := r.exchange(ctx, &ch, old, next); err != nil {
		return Changes{}, err
	}
	r.syncPaths(next)
	if ch.Auth {
		r.closeAuth(old.Auth)
	}
	if !ch.Empty() {
		r.log.Info("configuration applied", slog.Any("changes", ch))
	}
	hooks := *r.hooks.Load()
	r.events.push(&r.tasks, func() {
		for _, h := range hooks {
			if h.ConfigApplied != nil {
				r.tasks.call(func() { h.ConfigApplied(ch) })
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
	stopped, started := among(old.Protocols, ch.ProtocolsStopped), among(next.Protocols, ch.ProtocolsStarted)
	for _, p := range slices.Backward(stopped) {
		r.stopProtocol(p.Name())
	}
	for i, p := range started {
		err := r.startProtocol(ctx, p)
		if err == nil {
			continue
		}
		for _, q := range slices.Backward(started[:i]) {
			r.stopProtocol(q.Name())
		}
		for _, q := range stopped {
			// not bound to ctx: it may be what made the start fail
			if err2 := r.startProtocol(r.ctx, q); err2 != nil {
				err = errors.Join(err, err2)
				r.cancel(err) // neither configuration can serve
			}
		}
		return err
	}
	for _, p := range among(next.Protocols, ch.ProtocolsUpdated) {
		r.running[p.Name()].update(p)
	}
	return nil
}

// closeAuth closes an authenticator that is not in force anymore.
func (r *Router) closeAuth(a Authenticator) {
	if c, ok := a.(io.Closer); ok {
		_ = protect(r.log, c.Close)
	}
}

// among selects protocols by name and keeps their order.
func among(ps []Protocol, names []string) []Protocol {
	return slices.DeleteFunc(slices.Clone(ps), func(p Protocol) bool { return !slices.Contains(names, p.Name()) })
}

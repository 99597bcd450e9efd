package router

import (
	"maps"
	"slices"
)

// livePath finds or creates the path of a grant, if the grant is still good.
func (r *Router) livePath(g *Grant) (*Path, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.ctx.Err() != nil {
		return nil, ErrClosed
	}
	conf, groups := r.cfg.Load().match(g.req.Path)
	if conf == nil || conf != g.conf && !g.conf.canUpdate(conf) {
		return nil, &PathError{"open", g.req.Path, ErrConfigChanged}
	}
	return r.openLocked(g.req.Path, conf, groups), nil
}

// openLocked returns a path, new if needed: then its source, its standby, its sinks and
// its events come after those of a path of the same name that is ending.
func (r *Router) openLocked(name string, conf *PathConfig, groups []string) *Path {
	if p, ok := r.paths[name]; ok {
		return p
	}
	p := &Path{r: r, name: name, groups: groups, conf: conf, log: r.log.With(keyPath, name)}
	if old := r.ending[name]; old != nil {
		p.events, p.leaving = old.events, slices.Clone(old.leaving)
		p.srcDone, p.standbyDone = old.srcDone, old.standbyDone
	} else {
		p.events = new(queue)
	}
	r.paths[name] = p
	ev := PathEvent{Path: name, Groups: groups, Config: conf}
	p.obs.begin(p.events, &r.tasks, *r.hooks.Load(), func(h *Hooks) func() { return h.pathCreated(ev) })
	return p
}

// forgetLocked removes a path that was closed. It is remembered until what it ran
// and its hooks are done. The result is closed when what it ran is.
func (r *Router) forgetLocked(p *Path) (gone <-chan struct{}) {
	delete(r.paths, p.name)
	done := make(chan struct{})
	if p.isGone() && !p.events.busy() {
		close(done)
		return done
	}
	r.ending[p.name] = p
	r.tasks.start(func() {
		p.wait()
		close(done)
		drained := make(chan struct{})
		p.events.push(&r.tasks, func() { close(drained) })
		<-drained
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ending[p.name] == p {
			delete(r.ending, p.name)
		}
	})
	return done
}

// collect forgets a path that was made for a client and is not used anymore.
func (r *Router) collect(p *Path) {
	p.mu.Lock()
	p.lingerLocked()
	unused := p.unusedLocked()
	p.mu.Unlock()
	if !unused {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unusedLocked() && r.paths[p.name] == p {
		r.dropLocked(p)
	}
}

// dropLocked forgets a path that has nothing to stop; its lock is held.
func (r *Router) dropLocked(p *Path) {
	p.closed = true
	p.obs.end(p.events, &r.tasks)
	r.forgetLocked(p)
}

// syncPaths makes the live paths those of next.
func (r *Router) syncPaths(next *compiled) {
	var waits []<-chan struct{}
	defer func() { // without mu: only other calls of Apply wait
		for _, gone := range waits {
			<-gone
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.cfg.Store(next)
	for _, p := range slices.Collect(maps.Values(r.paths)) {
		conf, groups := next.match(p.name)
		if gone := r.syncPathLocked(p, conf, groups); gone != nil {
			waits = append(waits, gone)
		}
	}
	for i := range next.Paths {
		c := &next.Paths[i]
		if isDynamic(c.Name) {
			continue
		}
		p := r.openLocked(c.Name, c, nil)
		p.mu.Lock()
		p.openStandbyLocked(r.queueSize())
		if !c.OnDemand.Enabled {
			p.startSourceLocked("")
		}
		p.mu.Unlock()
	}
}

// syncPathLocked moves a live path to another configuration, nil if there is
// none for it anymore. If it had to be closed, gone is closed when what it ran is.
func (r *Router) syncPathLocked(p *Path, conf *PathConfig, groups []string) (gone <-chan struct{}) {
	if conf != nil && p.update(conf, groups) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lingerLocked()
		if p.unusedLocked() {
			r.dropLocked(p)
		}
		return nil
	}
	p.close(ErrConfigChanged)
	return r.forgetLocked(p)
}

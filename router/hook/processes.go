package hook

import (
	"os"
	"sync"
)

// Processes are the commands that run, for a program that has to end at once
// and cannot wait until they do. The zero value is ready for use.
type Processes struct {
	mu      sync.Mutex
	running map[*os.Process]struct{}
	over    bool
}

// Kill ends all of them, with their children, and each that starts later.
func (p *Processes) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for r := range p.running {
		kill(r)
	}
}

// add is for a process that was started; remove is called when it is gone.
func (p *Processes) add(r *os.Process) (remove func()) {
	if p == nil {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		kill(r)
	}
	if p.running == nil {
		p.running = map[*os.Process]struct{}{}
	}
	p.running[r] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.running, r)
	}
}

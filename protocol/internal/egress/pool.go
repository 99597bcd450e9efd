package egress

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// gatherReaders is how many readers of a group are put on one shard before another one is used, since each shard costs
// a wake-up per message.
const gatherReaders = 8

// Pool is a set of workers ("shards") that serve the readers of all streams of a protocol server. It also recycles
// blocks and messages.
type Pool struct {
	shards []*shard
	wg     sync.WaitGroup
	closed atomic.Bool

	mu    sync.Mutex
	loads []int // readers per shard

	blocks   [blockClasses]sync.Pool
	messages sync.Pool
}

// NewPool starts a pool. Zero shards means one per processor (GOMAXPROCS).
func NewPool(shards int) *Pool {
	if shards <= 0 {
		shards = runtime.GOMAXPROCS(0)
	}
	p := &Pool{loads: make([]int, shards)}
	for range shards {
		s := newShard()
		p.shards = append(p.shards, s)
		p.wg.Go(s.run)
	}
	return p
}

// Close stops the workers and returns when they have ended. Messages that are under way or sent later are lost.
// Sockets and readers are left as they are.
func (p *Pool) Close() {
	p.closed.Store(true)
	for _, s := range p.shards {
		s.close()
	}
	p.wg.Wait()
}

// assign picks the shard for another reader of a group which has own[i] readers on shard i: one that the
// group wakes anyway if it has few of them and is not much busier than the others, otherwise the least loaded.
func (p *Pool) assign(own []int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := 0
	for i, n := range p.loads {
		if n < p.loads[best] {
			best = i
		}
	}
	for i, n := range own {
		if n > 0 && n < gatherReaders && p.loads[i] < p.loads[best]+gatherReaders {
			best = i
			break
		}
	}
	p.loads[best]++
	return best
}

func (p *Pool) unassign(shard int) {
	p.mu.Lock()
	p.loads[shard]--
	p.mu.Unlock()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// load is a steady load: all readers share one path.
type load struct {
	publishers int // 0 = 1
	readers    int // 0 = count what is published instead of what is read
	bps        int
	udp        bool
}

// sample is the state of everything that is counted at one moment.
type sample struct {
	at                              time.Time
	server, self                    usage
	machine                         time.Duration
	packets, bytes, lost, lostFrame int64
}

func (l load) run(ctx context.Context, e *env) (values, error) {
	s, err := e.launcher.start(ctx, e.server, 0)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if e.readers > 0 && l.readers > 0 {
		l.readers = e.readers
	}

	pubs, err := startPublishers(ctx, s.addr, max(l.publishers, 1), l.bps)
	if err != nil {
		return nil, s.explain(err)
	}
	if err := sleep(ctx, time.Second); err != nil {
		return nil, err
	}
	before, err := s.usage()
	if err != nil {
		return nil, err
	}
	var recording atomic.Bool
	readers, err := attach(ctx, s.addr, l, &recording)
	defer closeAll(readers)
	if err != nil {
		return nil, s.explain(err)
	}
	attached, err := s.usage()
	if err != nil {
		return nil, err
	}
	go keepAlive(ctx, readers)
	if err := sleep(ctx, e.warm); err != nil {
		return nil, err
	}

	from, err := take(s, pubs, readers)
	if err != nil {
		return nil, err
	}
	recording.Store(true)
	err = sleep(ctx, e.dur)
	recording.Store(false)
	if err != nil {
		return nil, err
	}
	to, err := take(s, pubs, readers)
	if err != nil {
		return nil, err
	}
	for _, p := range pubs {
		if err := p.failed(); err != nil {
			return nil, s.explain(err)
		}
	}
	if to.packets == from.packets {
		return nil, errors.New("nothing was delivered")
	}
	v := steadyValues(from, to, readers)
	if n := float64(len(readers)); n > 0 {
		v[rssReader] = float64(to.server.rss-before.rss) / 1024 / n
		v[attachCPU] = milliseconds(attached.cpu()-before.cpu()) / n
	}
	if e.strace {
		count := func() int64 { n, _, _, _ := totals(pubs, readers); return n }
		if err := countCalls(ctx, s.pid(), e.launcher.dir, count, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// steadyValues computes what happened between two samples.
func steadyValues(from, to sample, readers []*reader) values {
	elapsed := to.at.Sub(from.at)
	cpu := to.server.cpu() - from.server.cpu()
	self := to.self.cpu() - from.self.cpu()
	mb := float64(to.bytes-from.bytes) / 1e6
	v := values{
		cpuPacket: float64(cpu.Microseconds()) / float64(to.packets-from.packets),
		cpuMB:     milliseconds(cpu) / mb,
		cpuCores:  cpu.Seconds() / elapsed.Seconds(),
		delivered: mb * 8 / elapsed.Seconds(),
		rss:       float64(to.server.rss) / (1 << 20),
		loadCPU:   self.Seconds() / elapsed.Seconds(),
		otherCPU:  max(0, (to.machine-from.machine-cpu-self).Seconds()/elapsed.Seconds()),
	}
	if len(readers) == 0 {
		return v
	}
	var latencies []int64
	var ended int
	for _, r := range readers {
		latencies = append(latencies, r.takeLatencies()...)
		if r.gone() {
			ended++
		}
	}
	slices.Sort(latencies)
	v[latencyP50] = float64(percentile(latencies, 0.5)) / 1e6
	v[latencyP99] = float64(percentile(latencies, 0.99)) / 1e6
	v[latencyMax] = float64(percentile(latencies, 1)) / 1e6
	v[lost] = float64(to.lost - from.lost)
	v[lostFrames] = float64(to.lostFrame - from.lostFrame)
	v[gone] = float64(ended)
	return v
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// take samples everything.
func take(s *server, pubs []*publisher, readers []*reader) (sample, error) {
	var err1, err2, err3 error
	x := sample{at: time.Now()}
	x.server, err1 = s.usage()
	x.self, err2 = readUsage(os.Getpid())
	x.machine, err3 = machineBusy()
	x.packets, x.bytes, x.lost, x.lostFrame = totals(pubs, readers)
	return x, errors.Join(err1, err2, err3)
}

// totals adds up what arrived at the readers, or without readers what was sent.
func totals(pubs []*publisher, readers []*reader) (packets, bytes, lost, lostFrames int64) {
	for _, r := range readers {
		packets += r.packets.Load()
		bytes += r.bytes.Load()
		lost += r.lost.Load()
		lostFrames += r.lostFrames.Load()
	}
	if len(readers) == 0 {
		for _, p := range pubs {
			packets += p.packets.Load()
			bytes += p.bytes.Load()
		}
	}
	return packets, bytes, lost, lostFrames
}

func pathName(i int) string { return fmt.Sprintf("bench%d", i) }

// startPublishers starts n publishers, spread evenly over the frame period.
func startPublishers(ctx context.Context, addr string, n, bps int) ([]*publisher, error) {
	period := time.Second / streamFPS
	var pubs []*publisher
	for i := range n {
		p, err := publish(ctx, addr, pathName(i), bps, streamFPS, time.Duration(i)*period/time.Duration(n))
		if err != nil {
			return nil, err
		}
		pubs = append(pubs, p)
	}
	return pubs, nil
}

// attach connects all readers of a load, some at a time.
func attach(ctx context.Context, addr string, l load, recording *atomic.Bool) ([]*reader, error) {
	const atOnce = 4
	read := readTCP
	if l.udp {
		read = readUDP
	}
	readers := make([]*reader, l.readers)
	errs := make([]error, l.readers)
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range readers {
		slots <- struct{}{}
		wg.Go(func() {
			readers[i], errs[i] = read(ctx, addr, pathName(0), newMeter(streamFPS, recording))
			<-slots
		})
	}
	wg.Wait()
	readers = slices.DeleteFunc(readers, func(r *reader) bool { return r == nil })
	return readers, firstOf(errs)
}

// firstOf reduces the errors of many clients, which mostly have one cause, to
// the first one.
func firstOf(errs []error) error {
	errs = slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return fmt.Errorf("%w (and %d more errors)", errs[0], len(errs)-1)
}

func closeAll(readers []*reader) {
	for _, r := range readers {
		r.close()
	}
}

// keepAlive prolongs all sessions until ctx ends: servers drop those that are
// silent for a minute.
func keepAlive(ctx context.Context, readers []*reader) {
	for sleep(ctx, 20*time.Second) == nil {
		for _, r := range readers {
			_ = r.client.keepAlive() // a lost connection is seen by its reader
		}
	}
}

// sleep waits for d, or fails with ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

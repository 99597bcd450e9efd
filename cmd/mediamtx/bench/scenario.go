package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// scenario is one kind of load.
type scenario struct {
	name, about string
	mtxOnly     bool     // the baseline has nothing to compare
	show        []metric // what the text report shows
	targets     []target
	run         func(context.Context, *env) (values, error)
}

// env is what one run of a scenario works with.
type env struct {
	options
	launcher *launcher
	server   string
}

const streamFPS = 30

var defaultScenarios = []string{"rtsp-tcp", "rtsp-udp", "join", "join-cache", "memory", "idle", "ingest"}

func allScenarios() []scenario {
	fanOutShow := []metric{
		cpuPacket, cpuMB, cpuCores, latencyP50, latencyP99, latencyMax, lost, lostFrames, gone,
		delivered, rssReader, attachCPU, loadCPU, otherCPU, writesPacket, sendsPacket, mmsgPacket,
	}
	noLoss := []target{
		{metric: lost, limit: 0}, {metric: lostFrames, limit: 0}, {metric: gone, limit: 0},
	}
	return []scenario{
		{
			name: "rtsp-tcp", about: "200 readers of 4 Mbit/s over RTSP/TCP",
			show:    fanOutShow,
			targets: append([]target{{cpuPacket, true, 0.20}, {latencyP99, true, 0.33}}, noLoss...),
			run:     load{readers: 200, bps: 4_000_000}.run,
		},
		{
			name: "rtsp-udp", about: "200 readers of 4 Mbit/s over RTSP/UDP",
			show:    fanOutShow,
			targets: append([]target{{cpuPacket, true, 0.35}}, noLoss...),
			run:     load{readers: 200, bps: 4_000_000, udp: true}.run,
		},
		{
			name: "rtsp-tcp-500", about: "500 readers of 1 Mbit/s over RTSP/TCP",
			show:    fanOutShow,
			targets: append([]target{{cpuPacket, true, 0.40}}, noLoss...),
			run:     load{readers: 500, bps: 1_000_000}.run,
		},
		{
			name: "join", about: "time from dial to the first key frame over RTSP/TCP, key frames 1 s apart",
			show: []metric{joinFrame, joinKey, joinKeyMax},
			run:  runJoin,
		},
		{
			name: "join-cache", about: "the same with a GOP cache",
			mtxOnly: true,
			show:    []metric{joinFrame, joinKey, joinKeyMax},
			targets: []target{{joinKey, false, 20}},
			run: func(ctx context.Context, e *env) (values, error) {
				cached, l := *e, *e.launcher
				l.env = []string{"MTX_PATHDEFAULTS_GOPCACHE=yes"}
				cached.launcher = &l
				return runJoin(ctx, &cached)
			},
		},
		{
			name: "memory", about: "memory and set-up cost of 300 readers of a slow stream over RTSP/TCP",
			show:    []metric{rssReader, attachCPU, rss, gone},
			targets: []target{{rssReader, true, 0.65}, {gone, false, 0}},
			run:     load{readers: 300, bps: 250_000}.run,
		},
		{
			name: "idle", about: "memory of a server without clients, with no and with 1000 configured paths",
			mtxOnly: true,
			show:    []metric{startup, rss, startupPaths, rssPaths, rssPath},
			targets: []target{{rssPaths, false, 25}, {rssPath, false, 4}},
			run:     runIdle,
		},
		{
			name: "ingest", about: "50 publishers of 4 Mbit/s over RTSP/TCP, no readers",
			show:    []metric{cpuPacket, cpuMB, cpuCores, delivered, rss, loadCPU, otherCPU},
			targets: []target{{cpuPacket, true, 0.55}},
			run:     load{publishers: 50, bps: 4_000_000}.run,
		},
	}
}

// runJoin lets readers come at moments that are spread over the time between
// two key frames, so that waiting for the next one shows.
func runJoin(ctx context.Context, e *env) (values, error) {
	const joins = 30
	const apart = 110 * time.Millisecond
	s, err := e.launcher.start(ctx, e.server, 0)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if _, err := startPublishers(ctx, s.addr, 1, 4_000_000); err != nil {
		return nil, err
	}
	if err := sleep(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	toFrame, toKey, errs := make([]int64, joins), make([]int64, joins), make([]error, joins)
	var wg sync.WaitGroup
	for i := range joins {
		if err := sleep(ctx, apart+rand.N(20*time.Millisecond)); err != nil {
			break
		}
		wg.Go(func() { toFrame[i], toKey[i], errs[i] = join(ctx, s.addr) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := firstOf(errs); err != nil {
		return nil, s.explain(err)
	}
	slices.Sort(toFrame)
	slices.Sort(toKey)
	return values{
		joinFrame:  float64(percentile(toFrame, 0.5)) / 1e6,
		joinKey:    float64(percentile(toKey, 0.5)) / 1e6,
		joinKeyMax: float64(percentile(toKey, 1)) / 1e6,
	}, nil
}

// join returns the nanoseconds from dial to the first frame and key frame.
func join(ctx context.Context, addr string) (toFrame, toKey int64, err error) {
	m := newMeter(streamFPS, &atomic.Bool{})
	dial := now()
	r, err := readTCP(ctx, addr, pathName(0), m)
	if err != nil {
		return 0, 0, err
	}
	defer r.close()
	select {
	case <-m.keyed:
		return m.firstFrame.Load() - dial, m.firstKey.Load() - dial, nil
	case <-m.ended:
		return 0, 0, fmt.Errorf("the reader ended before its first key frame: %w", m.err)
	case <-time.After(requestTimeout):
		return 0, 0, fmt.Errorf("no key frame within %v", requestTimeout)
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
}

// runIdle compares a server without configured paths with one that has many.
func runIdle(ctx context.Context, e *env) (values, error) {
	const paths = 1000
	measure := func(n int) (time.Duration, int64, error) {
		s, err := e.launcher.start(ctx, e.server, n)
		if err != nil {
			return 0, 0, err
		}
		defer s.stop()
		if err := sleep(ctx, max(e.warm, time.Second)); err != nil {
			return 0, 0, err
		}
		u, err := s.usage()
		return s.startup, u.rss, err
	}
	start0, rss0, err := measure(0)
	if err != nil {
		return nil, err
	}
	start1, rss1, err := measure(paths)
	if err != nil {
		return nil, err
	}
	return values{
		startup:      milliseconds(start0),
		startupPaths: milliseconds(start1),
		rss:          float64(rss0) / (1 << 20),
		rssPaths:     float64(rss1) / (1 << 20),
		rssPath:      float64(rss1-rss0) / 1024 / paths,
	}, nil
}

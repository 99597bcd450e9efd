package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// publisher sends a synthetic stream over RTSP/TCP, one write per frame.
type publisher struct {
	client *rtspClient
	fps    int
	key    *frame
	deltas []*frame

	packets, bytes atomic.Int64
	err            error // valid once done is closed
	done           chan struct{}
}

// publish starts a publisher. Its first frame is sent after phase, by which
// several publishers are spread over the frame period. It ends with ctx.
func publish(ctx context.Context, addr, path string, bps, fps int, phase time.Duration) (*publisher, error) {
	c, err := dialRTSP(ctx, addr, path)
	if err != nil {
		return nil, err
	}
	if err := c.record(); err != nil {
		c.close()
		return nil, fmt.Errorf("publish %s: %w", path, err)
	}
	// one second holds a key frame of the size of four others, and fps-1 others
	size := bps / 8 / (fps + 3)
	r := rand.New(rand.NewPCG(1, 2))
	p := &publisher{
		client: c,
		fps:    fps,
		key:    newFrame(spsNALU, ppsNALU, makeSlice(4*size, true, r)),
		done:   make(chan struct{}),
	}
	for range 4 {
		p.deltas = append(p.deltas, newFrame(makeSlice(size, false, r)))
	}
	go io.Copy(io.Discard, c.br) // RTCP of the server; ends with the connection
	go p.run(ctx, phase)
	return p, nil
}

func (p *publisher) run(ctx context.Context, phase time.Duration) {
	defer close(p.done)
	defer p.client.close()
	defer context.AfterFunc(ctx, p.client.close)() // a write may be blocked
	var seq uint16
	next := time.Now().Add(phase)
	timer := time.NewTimer(phase)
	defer timer.Stop()
	for n := uint32(0); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		f := p.key
		if k := int(n) % p.fps; k != 0 {
			f = p.deltas[k%len(p.deltas)]
		}
		f.patch(seq, uint32(uint64(n)*clockRate/uint64(p.fps)), now(), n+1)
		seq += uint16(len(f.packets))
		p.client.conn.SetWriteDeadline(time.Now().Add(requestTimeout))
		if _, err := p.client.conn.Write(f.buf); err != nil {
			if ctx.Err() == nil {
				p.err = fmt.Errorf("publisher: %w", err)
			}
			return
		}
		p.packets.Add(int64(len(f.packets)))
		p.bytes.Add(int64(len(f.buf) - 4*len(f.packets)))
		next = next.Add(time.Second / time.Duration(p.fps))
		timer.Reset(time.Until(next))
	}
}

// failed returns why the publisher ended by itself, nil while it runs.
func (p *publisher) failed() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

package srt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"
	"go.uber.org/goleak"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(readersEnv); addr != "" {
		os.Exit(runReaders(addr))
	}
	// The test client of the library leaves a goroutine behind for every
	// connection, which waits to report its end.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/datarhei/gosrt.DialWithContext.func1"))
}

// patience bounds waits; none lasts that long unless a test fails.
const patience = 20 * time.Second

// rig is a router with an SRT server.
type rig struct {
	t    testing.TB
	r    *router.Router
	addr string
	log  *routertest.Log
}

func anyPath() router.Config {
	return router.Config{Paths: []router.PathConfig{{Name: router.AllOthers}}, AuthPause: -1}
}

func newRig(t testing.TB, cfg router.Config) *rig {
	t.Helper()
	return newRigWith(t, cfg, &Server{Addr: "127.0.0.1:0"})
}

func newRigWith(t testing.TB, cfg router.Config, srv *Server) *rig {
	t.Helper()
	log := &routertest.Log{}
	cfg.Protocols = append(cfg.Protocols, srv)
	r := routertest.New(t, cfg, router.WithLogger(log.Logger()))
	return &rig{t: t, r: r, addr: r.ProtocolAddrs("srt")[0].String(), log: log}
}

func (g *rig) noPanic() {
	g.t.Helper()
	if g.log.Count("panic") > 0 {
		g.t.Error(g.log)
	}
}

// dial calls the server.
func (g *rig) dial(streamID, passphrase string) gosrt.Conn {
	g.t.Helper()
	c, err := g.tryDial(streamID, passphrase)
	if err != nil {
		g.t.Fatalf("%v\n%s", err, g.log)
	}
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (g *rig) tryDial(streamID, passphrase string) (gosrt.Conn, error) {
	cfg := gosrt.DefaultConfig()
	cfg.StreamId, cfg.Passphrase, cfg.PayloadSize = streamID, passphrase, 1316
	cfg.ConnectionTimeout = patience
	type result struct {
		c   gosrt.Conn
		err error
	}
	done := make(chan result, 1)
	// without the label of the test, see TestMain
	go pprof.Do(context.Background(), pprof.Labels(), func(context.Context) {
		pprof.SetGoroutineLabels(context.Background())
		c, err := gosrt.Dial("srt", g.addr, cfg)
		done <- result{c, err}
	})
	select {
	case r := <-done:
		return r.c, r.err
	case <-time.After(2 * patience):
		return nil, errors.New("the library ignores its own timeout")
	}
}

// client reads.
type client struct {
	t    testing.TB
	conn gosrt.Conn
	done chan struct{}

	mu      sync.Mutex
	tracks  []media.Track
	units   [][]*media.Unit
	damaged []error
	err     error
	changed chan struct{} // capacity 1
}

func (g *rig) read(streamID, passphrase string) *client {
	g.t.Helper()
	c := &client{t: g.t, conn: g.dial(streamID, passphrase), done: make(chan struct{}), changed: make(chan struct{}, 1)}
	go c.run()
	g.t.Cleanup(func() {
		_ = c.conn.Close()
		<-c.done
	})
	return c
}

func (c *client) run() {
	defer close(c.done)
	d := mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			c.tracks, c.units = tracks, make([][]*media.Unit, len(tracks))
			return func(track int, u *media.Unit) { c.units[track] = append(c.units[track], u) }, nil
		},
		Damaged: func(err error) { c.damaged = append(c.damaged, err) },
	})
	defer func() { _ = d.Close() }()
	buf := make([]byte, 2048)
	for {
		n, err := c.conn.Read(buf)
		c.mu.Lock()
		if err == nil {
			_, err = d.Write(buf[:n])
		}
		c.err = err
		c.mu.Unlock()
		select {
		case c.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// await waits for a condition, which is checked with the lock held.
func (c *client) await(what string, cond func() bool) {
	c.t.Helper()
	limit := time.After(patience)
	for {
		c.mu.Lock()
		ok, err, n := cond(), c.err, make([]int, len(c.units))
		for i := range c.units {
			n[i] = len(c.units[i])
		}
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c.changed:
		case <-limit:
			c.t.Fatalf("%s: nothing after %v (units %v, error %v)", what, patience, n, err)
		}
	}
}

// has waits for a number of units of a track and returns them.
func (c *client) has(track, n int) []*media.Unit {
	c.t.Helper()
	c.await(fmt.Sprintf("%d units of track %d", n, track+1), func() bool { return len(c.units) > track && len(c.units[track]) >= n })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.units[track]
}

// over waits for the end.
func (c *client) over() error {
	c.t.Helper()
	select {
	case <-c.done:
		return c.err
	case <-time.After(patience):
		c.t.Fatal("the connection was not closed")
		return nil
	}
}

// feed publishes sample units until the test ends.
type feed struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// publish makes the program itself publish samples, at 30 pictures per second.
func (g *rig) publish(path string) *router.Publisher {
	g.t.Helper()
	pub, err := g.r.Publish(g.t.Context(), path, routertest.SampleTracks())
	if err != nil {
		g.t.Fatal(err)
	}
	f := startFeed(func(track int, u *media.Unit) error {
		pub.Write(track, u)
		return pub.Err()
	})
	g.t.Cleanup(func() {
		f.stop()
		pub.Close()
	})
	return pub
}

func startFeed(write func(int, *media.Unit) error) *feed {
	ctx, cancel := context.WithCancel(context.Background())
	f := &feed{cancel, make(chan struct{})}
	go func() {
		defer close(f.done)
		t := time.NewTicker(time.Second / 30)
		defer t.Stop()
		for n, audio := 0, 0; ; n++ {
			if write(0, routertest.SampleUnit(0, n)) != nil {
				return
			}
			for ; audio < n*50/30; audio++ {
				if write(1, routertest.SampleUnit(1, audio)) != nil {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
	return f
}

// over waits until the feed was stopped by the other side.
func (f *feed) over(t testing.TB) {
	t.Helper()
	select {
	case <-f.done:
	case <-time.After(patience):
		t.Fatal("the publisher goes on")
	}
}

func (f *feed) stop() {
	f.cancel()
	<-f.done
}

// push makes a client publish samples.
func (g *rig) push(streamID, passphrase string) *feed {
	g.t.Helper()
	c := g.dial(streamID, passphrase)
	m, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{Tracks: routertest.SampleTracks()})
	if err != nil {
		g.t.Fatal(err)
	}
	var buf []byte
	f := startFeed(func(track int, u *media.Unit) error {
		u.RandomAccess = track == 0 && len(u.Payload) > 1
		if buf, _, err = m.Append(buf[:0], track, u); err != nil {
			return err
		}
		for out := buf; len(out) > 0; {
			n := min(len(out), 1316)
			if _, err := c.Write(out[:n]); err != nil {
				return err
			}
			out = out[n:]
		}
		return nil
	})
	g.t.Cleanup(f.stop)
	return f
}

// sessions returns what the Control API shows.
func (g *rig) sessions(state string) []*Details {
	var out []*Details
	for i := range g.r.Sessions(kind) {
		if d, ok := i.Details.(*Details); ok && (state == "" || d.State == state) {
			out = append(out, d)
		}
	}
	return out
}

// raw is a socket that speaks no SRT by itself.
func (g *rig) raw() *net.UDPConn {
	g.t.Helper()
	a, err := net.ResolveUDPAddr("udp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	c, err := net.DialUDP("udp", nil, a)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

// isRejection tells the code of a refusal, which the library prints in base 32.
func isRejection(err error, code int) bool {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	text := ""
	for n := code + 1000; n > 0; n /= 32 {
		text = string(digits[n%32]) + text
	}
	return err != nil && strings.Contains(err.Error(), text)
}

package srt

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/protocol/bridge/srtclient"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
	"github.com/org/mtx/source/internal/pulltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func freePort(t testing.TB) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().String()
}

// push calls a source that waits, and sends samples until the test ends; again
// and again, if the source leaves.
func push(t testing.TB, url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			c, err := srtclient.New(srtclient.Options{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			conn, err := c.Connect(ctx)
			if err != nil {
				continue
			}
			send(ctx, conn)
			conn.Close()
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func send(ctx context.Context, conn *srtclient.Conn) {
	m, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{Tracks: routertest.SampleTracks()})
	if err != nil {
		return
	}
	tick := time.NewTicker(time.Second / 30)
	defer tick.Stop()
	for n := 0; ; n++ {
		for track := range 2 {
			u := routertest.SampleUnit(track, n)
			u.RandomAccess = len(u.Payload) > 1
			out, _, err := m.Append(nil, track, u)
			if err == nil {
				_, err = conn.Write(out)
			}
			if err != nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func TestConformance(t *testing.T) {
	addr := freePort(t)
	routertest.TestSource(t, func() router.Source { return Source{URL: "srt://" + addr + "?mode=listener&latency=50"} }, func(t testing.TB) {
		push(t, "srt://"+addr+"?conntimeo=500&latency=50")
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	r, log := pulltest.Run(t, Source{URL: "srt://" + addr + "?mode=listener&latency=20&passphrase=secretword", ReadTimeout: time.Second})
	connect := func() *srtclient.Conn {
		for limit := time.Now().Add(pulltest.Patience); time.Now().Before(limit); {
			c, err := srtclient.New(srtclient.Options{URL: "srt://" + addr + "?conntimeo=300&latency=20&passphrase=secretword"})
			if err != nil {
				t.Fatal(err)
			}
			if conn, err := c.Connect(t.Context()); err == nil {
				return conn
			}
		}
		t.Fatal("no connection")
		return nil
	}
	// somebody who sends nothing
	conn := connect()
	routertest.Eventually(t, "the silent peer is dropped", func() bool { return log.Count("no media came within 1s") > 0 })
	conn.Close()
	// somebody who sends garbage, and then closes
	conn = connect()
	for range 50 {
		if _, err := conn.Write(bytes.Repeat([]byte{1, 2, 3}, 400)); err != nil {
			break
		}
	}
	routertest.Eventually(t, "garbage is reported", func() bool { return log.Count("no transport packet") > 0 })
	conn.Close()
	routertest.Eventually(t, "the end is reported", func() bool { return log.Count("closed by the peer") > 0 })
	// somebody who goes on with garbage
	before := log.Count("no media came within 1s")
	conn = connect()
	routertest.Eventually(t, "the peer without media is dropped", func() bool {
		_, _ = conn.Write(bytes.Repeat([]byte{1, 2, 3}, 400))
		return log.Count("no media came within 1s") > before
	})
	conn.Close()
	// and it works again
	push(t, "srt://"+addr+"?conntimeo=500&latency=20&passphrase=secretword")
	routertest.WaitReady(t, r, pulltest.Path)
	if log.Count("secretword") > 0 || log.Count("panic") > 0 {
		t.Error(log.String())
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		s    Source
		want string
	}{
		{Source{URL: "srt://h:1"}, ""},
		{Source{URL: "srt://:9000?mode=listener"}, ""},
		{Source{URL: "udp://h:1"}, `scheme "udp"`},
		{Source{URL: "srt://h:1?latency=-1"}, "latency=-1"},
		{Source{URL: "srt://h:1", UDPReadBufferSize: -1}, "UDP read buffer size"},
	} {
		err := ca.s.Validate()
		if ca.want == "" && err != nil || ca.want != "" && (err == nil || !strings.Contains(err.Error(), ca.want)) {
			t.Errorf("%+v: %v", ca.s, err)
		}
	}
}

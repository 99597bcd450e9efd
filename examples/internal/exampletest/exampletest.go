// Package exampletest runs the example programs in tests and talks to them with
// an RTSP client.
package exampletest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/routertest"
)

// patience bounds waits of tests that fail.
const patience = 20 * time.Second

// Start runs the run function of an example on a free address, and waits until
// it accepts connections. At the end of the test it is stopped; then it must
// return no error and leave nothing behind.
func Start(t *testing.T, run func(ctx context.Context, addr string) error) (addr string) {
	t.Helper()
	routertest.CheckLeaks(t)
	addr = routertest.FreeAddr(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, addr) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("run does not return")
		}
	})
	routertest.Eventually(t, "the program accepts connections", func() bool {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
	return addr
}

func newClient() *gortsplib.Client {
	tcp := gortsplib.ProtocolTCP
	return &gortsplib.Client{Protocol: &tcp, ReadTimeout: patience, WriteTimeout: patience}
}

// Publish publishes an H264 stream of 30 frames per second, from
// [routertest.SampleUnit], until the end of the test.
func Publish(t *testing.T, url string) {
	t.Helper()
	forma := &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	desc := &description.Session{Medias: []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{forma}}}}
	c := newClient()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := c.StartRecording(url, desc)
		if err == nil {
			break
		}
		if time.Now().After(deadline) { // the publisher before may not be gone yet
			t.Fatal(err)
		}
		c = newClient()
	}
	enc, err := forma.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
		c.Close()
	})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / 30)
		defer tick.Stop()
		for n := 0; ; n++ {
			u := routertest.SampleUnit(0, n)
			pkts, err := enc.Encode(u.Payload)
			if err != nil {
				t.Error(err)
				return
			}
			for _, p := range pkts {
				p.Timestamp += uint32(u.PTS)
				if err := c.WritePacketRTP(desc.Medias[0], p); err != nil {
					t.Errorf("publishing: %v", err)
					return
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// Play reads a stream as soon as there is one, until the end of the test or
// until packet returns true for one of its packets.
func Play(t *testing.T, url string, packet func(forma format.Format, p *rtp.Packet) bool) {
	t.Helper()
	u, err := base.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	var c *gortsplib.Client
	var desc *description.Session
	routertest.Eventually(t, "a stream at "+url, func() bool {
		c = newClient()
		c.Scheme, c.Host = u.Scheme, u.Host
		if err = c.Start(); err != nil {
			return false
		}
		if desc, _, err = c.Describe(u); err != nil {
			c.Close()
			return false
		}
		return true
	})
	defer c.Close()
	if err = c.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		t.Fatal(err)
	}
	found := make(chan struct{}, 1)
	c.OnPacketRTPAny(func(_ *description.Media, forma format.Format, p *rtp.Packet) {
		if packet(forma, p) {
			select {
			case found <- struct{}{}:
			default:
			}
		}
	})
	if _, err = c.Play(nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-found:
	case <-time.After(patience):
		t.Fatalf("the packet that was expected from %s does not come", url)
	}
}

// CanDescribe tells whether a stream can be read at a URL.
func CanDescribe(t *testing.T, url string) error {
	t.Helper()
	u, err := base.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient()
	c.Scheme, c.Host = u.Scheme, u.Host
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _, err = c.Describe(u)
	return err
}

// Output collects what a program prints.
type Output struct {
	lines chan string
}

// NewOutput returns an empty output.
func NewOutput() *Output { return &Output{lines: make(chan string, 10000)} }

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	select {
	case o.lines <- string(b):
	default: // nobody looks at it anymore
	}
	return len(b), nil
}

// Wait waits for a line that cond accepts, and returns it.
func (o *Output) Wait(t *testing.T, what string, cond func(line string) bool) string {
	t.Helper()
	expired := time.After(patience)
	for {
		select {
		case l := <-o.lines:
			if cond(l) {
				return l
			}
		case <-expired:
			t.Fatalf("the program does not print %s", what)
		}
	}
}

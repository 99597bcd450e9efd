package srtclient

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().String()
}

type result struct {
	conn *Conn
	err  error
}

func connect(ctx context.Context, c *Client) chan result {
	out := make(chan result, 1)
	go func() {
		conn, err := c.Connect(ctx)
		out <- result{conn, err}
	}()
	return out
}

// One client waits for the other.
func TestConnect(t *testing.T) {
	t.Parallel()
	for _, params := range []string{"", "&passphrase=0123456789&pbkeylen=24"} {
		addr := freePort(t)
		got := make(chan []byte, 10)
		ln, err := New(Options{
			URL:    "srt://" + addr + "?mode=listener&latency=50" + params,
			OnData: func(b []byte) { got <- bytes.Clone(b) },
		})
		if err != nil {
			t.Fatal(err)
		}
		waiting := connect(t.Context(), ln)
		c, err := New(Options{URL: "srt://" + addr + "?latency=50&iptos=8&ipttl=10" + params})
		if err != nil {
			t.Fatal(err)
		}
		if c.Address() != addr || c.Mode() != Caller || c.PayloadSize() != 1316 {
			t.Error(c.Address(), c.Mode(), c.PayloadSize())
		}
		conn, err := c.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		peer := <-waiting
		if peer.err != nil {
			t.Fatal(peer.err)
		}
		data := bytes.Repeat([]byte{1}, 2*1316+188)
		if _, err := conn.Write(data); err != nil {
			t.Error(err)
		}
		var all []byte
		for len(all) < len(data) {
			select {
			case b := <-got:
				all = append(all, b...)
			case <-time.After(patience):
				t.Fatalf("%d bytes came", len(all))
			}
		}
		if _, err := peer.conn.Write(data); err == nil {
			t.Error("a connection that was waited for can send")
		}
		conn.Close()
		select {
		case <-peer.conn.Done():
		case <-time.After(patience):
			t.Fatal("the peer does not notice the end")
		}
		if peer.conn.Err() == nil || conn.Err() == nil {
			t.Error("no reasons")
		}
		peer.conn.Close()
	}
}

func TestConnectErrors(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	ln, err := New(Options{URL: "srt://" + addr + "?mode=listener&passphrase=0123456789"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := connect(ctx, ln)
	for _, ca := range []struct{ url, want string }{
		{"srt://" + addr + "?passphrase=another one", "wrong passphrase"},
		{"srt://" + addr, "one side has a passphrase"},
		{"srt://" + freePort(t) + "?conntimeo=300", "the peer does not answer"},
		{"srt://name.invalid:1?conntimeo=1000", "name.invalid"},
	} {
		c, err := New(Options{URL: strings.ReplaceAll(ca.url, " ", "+")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), ca.want) {
			t.Errorf("%s: %v", ca.url, err)
		}
	}
	cancel()
	if r := <-waiting; !errors.Is(r.err, context.Canceled) {
		t.Errorf("%v", r.err)
	}
	for _, url := range []string{"srt://h", "http://h:1"} {
		if _, err := New(Options{URL: url}); err == nil {
			t.Errorf("%s was taken", url)
		}
	}
}

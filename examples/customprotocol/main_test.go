package main

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx"
	"github.com/org/mtx/examples/internal/exampletest"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	addr := routertest.FreeAddr(t)
	routertest.TestProtocol(t, func() router.Protocol { return &Lines{Addr: addr} })
}

func dial(t *testing.T, addr, hello string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err = fmt.Fprintln(c, hello); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPublishAndRead(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, mtx.Config{
		Protocols: []mtx.Protocol{&Lines{Addr: "127.0.0.1:0"}},
		Paths:     []mtx.PathConfig{{Name: "~^chat-(.+)$"}},
	})
	addr := r.ProtocolAddrs("lines")[0].String()
	pub := dial(t, addr, "PUB chat-a")
	routertest.WaitReady(t, r, "chat-a")
	sub := dial(t, addr, "READ chat-a")
	routertest.WaitReaders(t, r, "chat-a", 1)
	_, _ = fmt.Fprintln(pub, "hello")
	lines := bufio.NewScanner(sub)
	if !lines.Scan() || lines.Text() != "hello" {
		t.Fatalf("got %q, %v", lines.Text(), lines.Err())
	}
	_ = pub.Close() // ends the stream, and so the reader
	if lines.Scan() {
		t.Errorf("got %q after the end", lines.Text())
	}
	if bufio.NewScanner(dial(t, addr, "nonsense")).Scan() {
		t.Error("nonsense got an answer")
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	addr := exampletest.Start(t, run)
	routertest.Eventually(t, "a line arrives", func() bool {
		pub := dial(t, addr, "PUB chat")
		defer func() { _ = pub.Close() }()
		sub := dial(t, addr, "READ chat") // refused if it comes before the publisher
		got := make(chan bool, 1)
		go func() { got <- bufio.NewScanner(sub).Scan() }()
		for {
			_, _ = fmt.Fprintln(pub, "hello")
			select {
			case ok := <-got:
				return ok
			case <-time.After(time.Millisecond):
			}
		}
	})
}

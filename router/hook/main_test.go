package hook_test

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// childVar makes the test program be the command of a hook.
const childVar = "MTX_TEST_CHILD"

// patience bounds waits of tests that fail.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if addr := os.Getenv(childVar); addr != "" {
		child(addr)
		return
	}
	goleak.VerifyTestMain(m)
}

// call is what a command tells the test.
type call struct {
	Args []string
	Env  map[string]string
	Word string // "interrupted", or empty at the start
}

// child tells the test how it was called, and then does what its first argument
// says. The test sees its end by the end of the connection.
func child(addr string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		os.Exit(3)
	}
	env := map[string]string{}
	for _, e := range os.Environ() {
		k, v, _ := strings.Cut(e, "=")
		env[k] = v
	}
	out := json.NewEncoder(conn)
	_ = out.Encode(call{Args: os.Args[1:], Env: env})
	switch os.Args[1] {
	case "exit":
	case "fail":
		os.Exit(1)
	case "wait":
		<-signals
		_ = out.Encode(call{Word: "interrupted"})
	case "stubborn":
		for range signals {
			_ = out.Encode(call{Word: "interrupted"})
		}
	case "parent": // leaves a child that does not listen to signals
		cmd := exec.Command(os.Args[0], "stubborn")
		if err := cmd.Start(); err != nil {
			os.Exit(4)
		}
		<-signals
	case "leave": // leaves a child in the background
		cmd := exec.Command(os.Args[0], "wait")
		if err := cmd.Start(); err != nil {
			os.Exit(4)
		}
	}
}

// children are commands that call the test.
type children struct {
	t    *testing.T
	ln   net.Listener
	self string
}

type running struct {
	t    *testing.T
	conn net.Conn
	dec  *json.Decoder
	call call
}

func newChildren(t *testing.T) *children {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &children{t, ln, self}
}

// env also keeps the race detector from holding up the end of a process.
func (c *children) env() []string {
	return []string{childVar + "=" + c.ln.Addr().String(), "GORACE=atexit_sleep_ms=0"}
}

// next waits for a command to start.
func (c *children) next() *running {
	c.t.Helper()
	_ = c.ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := c.ln.Accept()
	if err != nil {
		c.t.Fatal("no command was started: ", err)
	}
	c.t.Cleanup(func() { conn.Close() })
	r := &running{t: c.t, conn: conn, dec: json.NewDecoder(conn)}
	r.call = r.read()
	return r
}

// none checks that no command was started. What the test waited for before must
// make sure that it would have been.
func (c *children) none() {
	c.t.Helper()
	c.noneWithin(time.Millisecond)
}

func (c *children) noneWithin(d time.Duration) {
	c.t.Helper()
	_ = c.ln.(*net.TCPListener).SetDeadline(time.Now().Add(d))
	if conn, err := c.ln.Accept(); err == nil {
		conn.Close()
		c.t.Fatal("a command was started that should not be")
	}
}

func (r *running) read() (c call) {
	r.t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(patience))
	if err := r.dec.Decode(&c); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// wantInterrupt waits until the command was interrupted.
func (r *running) wantInterrupt() {
	r.t.Helper()
	if c := r.read(); c.Word != "interrupted" {
		r.t.Fatalf("got %+v", c)
	}
}

// wantEnd waits until the process is gone.
func (r *running) wantEnd() {
	r.t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, r.conn); err != nil && strings.Contains(err.Error(), "timeout") {
		r.t.Fatal("the process still runs")
	}
}

func (r *running) wantEnv(want map[string]string) {
	r.t.Helper()
	for k, v := range want {
		if got, ok := r.call.Env[k]; !ok || got != v {
			r.t.Errorf("%s is %q, want %q", k, got, v)
		}
	}
}

func text() []media.Track { return []media.Track{{Codec: &media.KLV{}}} }

// publishAs publishes as a client of a protocol does.
func publish(t *testing.T, r *router.Router, path string) *router.Publisher {
	t.Helper()
	pub, err := r.Publish(t.Context(), path, text(), router.PublishOptions{Peer: router.Peer{Type: "testConn", ID: "id1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub
}

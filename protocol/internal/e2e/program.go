package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Program is a program at work.
type Program struct {
	Cmd            *exec.Cmd
	Stdout, Stderr Output
	Done           <-chan struct{} // closed at its end
	Err            error           // how it ended, once Done is closed
}

// Launch starts a program, in an empty folder, that ends with the test. What it
// complained about is shown if the test fails.
func Launch(t testing.TB, name string, args ...string) *Program {
	t.Helper()
	return LaunchWith(t, nil, name, args...)
}

// LaunchWith is [Launch] with additions to the environment.
func LaunchWith(t testing.TB, env []string, name string, args ...string) *Program {
	t.Helper()
	cmd := exec.Command(name, args...) //nolint:noctx // it is stopped at the end of the test
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), env...)
	return launch(t, cmd)
}

func launch(t testing.TB, cmd *exec.Cmd) *Program {
	t.Helper()
	done := make(chan struct{})
	p := &Program{Cmd: cmd, Done: done}
	cmd.Stdout, cmd.Stderr = &p.Stdout, &p.Stderr
	cmd.WaitDelay = time.Second // of processes that it left behind
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.Err = cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(cmd.Args, " "), Tail(p.Stderr.String()))
		}
	})
	return p
}

// Wait waits until the program has ended well.
func (p *Program) Wait(t testing.TB) {
	t.Helper()
	select {
	case <-p.Done:
		if p.Err != nil {
			t.Fatalf("%s: %v\n%s", filepath.Base(p.Cmd.Path), p.Err, Tail(p.Stderr.String()))
		}
	case <-time.After(patience):
		t.Fatalf("%s has not ended", filepath.Base(p.Cmd.Path))
	}
}

// Stop ends the program as a user would, and kills it if that does not help.
func (p *Program) Stop() {
	_ = p.Cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.Done:
	case <-time.After(stopTime):
		_ = p.Cmd.Process.Kill()
		<-p.Done
	}
}

// Tail is the end of a text: what is of interest in the output of a program.
func Tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "..." + s[len(s)-most:]
	}
	return s
}

// Output is what a program prints. It is written to by one goroutine and read by
// others.
type Output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed at the next write; nil if nobody waits
}

// Write appends to the output.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.buf.Write(p)
}

// String returns what was printed up to now.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// WaitFor waits until the text is as wanted, and reports whether that was so in
// time.
func (o *Output) WaitFor(wanted func(string) bool) bool {
	expired := time.After(patience)
	for {
		o.mu.Lock()
		text := o.buf.String()
		if o.changed == nil {
			o.changed = make(chan struct{})
		}
		changed := o.changed
		o.mu.Unlock()
		if wanted(text) {
			return true
		}
		select {
		case <-changed:
		case <-expired:
			return false
		}
	}
}

package rpicam

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	// grace is how long the program may take to end when it is interrupted.
	grace = 2 * time.Second

	// maxLine bounds the lines that the program prints, in bytes.
	maxLine = 512
)

// process is the program at work.
type process struct {
	cmd      *exec.Cmd
	pictures *os.File // what it writes to its standard output
	stamps   *os.File // nil: none
	ended    chan struct{}
	killed   sync.Once
	err      error // how it ended; valid when ended is closed

	messages sync.WaitGroup
	pipe     *os.File // its standard error
	said     saying
}

// start starts the program. notice is told each line that it prints.
func start(program string, args []string, stamped bool, notice func(string)) (*process, error) {
	p := &process{ended: make(chan struct{})}
	var theirs []*os.File
	open := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err == nil {
			theirs = append(theirs, w)
		}
		return r, w, err
	}
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	p.cmd = exec.Command(program, args...) //nolint:noctx // that is what the source is for; ended with its group
	setGroup(p.cmd)
	var err error
	var out, errs, stamps *os.File
	if p.pictures, out, err = open(); err == nil {
		p.pipe, errs, err = open()
	}
	if err == nil && stamped {
		p.stamps, stamps, err = open()
		p.cmd.ExtraFiles = []*os.File{stamps}
	}
	if err == nil {
		p.cmd.Stdout, p.cmd.Stderr = out, errs
		err = p.cmd.Start()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	p.messages.Go(func() { readLines(p.pipe, func(l string) { p.said.add(l); notice(l) }) })
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop ends the program and whatever it started. When it returns they are gone.
func (p *process) stop(log *slog.Logger) {
	select {
	case <-p.ended:
	default:
		interrupt(p.cmd.Process)
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-p.ended:
		case <-t.C:
			log.Warn("the camera program is killed: it did not end when it was interrupted")
		}
	}
	p.killGroup()
	<-p.ended
}

// killGroup kills the program, and those of its group that are left. Once: later
// the number may belong to others.
func (p *process) killGroup() { p.killed.Do(func() { kill(p.cmd.Process) }) }

// close closes our ends of the pipes.
func (p *process) close() {
	for _, f := range []*os.File{p.pictures, p.stamps, p.pipe} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// recent is for how many lines an error explains what happens after it.
const recent = 10

// saying remembers what a program said last.
type saying struct {
	mu         sync.Mutex
	last, hint string
	age        int // of hint, in lines
}

func (s *saying) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = line
	if s.age++; strings.Contains(strings.ToLower(line), "error") {
		s.hint, s.age = line, 0
	}
}

// String prefers the last line that speaks of an error, unless that was long ago.
func (s *saying) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hint != "" && s.age < recent {
		return s.hint
	}
	return s.last
}

// readLines hands over lines that are not empty, until the end. Of long ones only
// the beginning counts.
func readLines(r io.Reader, handle func(string)) {
	br := bufio.NewReaderSize(r, maxLine)
	cut := false
	for {
		b, err := br.ReadSlice('\n')
		if !cut {
			if l := strings.TrimSpace(strings.ToValidUTF8(string(b), "?")); l != "" {
				handle(l)
			}
		}
		cut = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !cut {
			return
		}
	}
}

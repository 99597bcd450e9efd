package hook

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// job is a command that is to run.
type job struct {
	exec    Exec
	line    string
	restart bool
	lasts   bool     // it is not over before its children are
	vars    []string // "NAME=value"
	log     *slog.Logger
}

// run runs the command until it ends (again and again if it is to be restarted),
// or until ctx is done.
func (j *job) run(ctx context.Context) {
	for {
		start := time.Now()
		err := j.once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			j.log.Warn("command failed", "command", program(j.line), "error", err)
		default:
			j.log.Debug("command ended", "command", program(j.line), "after", time.Since(start).Round(time.Millisecond))
		}
		if !j.restart || !sleep(ctx, j.exec.pause()) {
			return
		}
	}
}

// once runs the command once. When it returns, its process is gone.
func (j *job) once(ctx context.Context) error {
	// later entries count
	env := slices.Concat(os.Environ(), j.exec.Env, j.vars)
	cmd, err := command(j.line, env)
	if err != nil {
		return err
	}
	cmd.Env = env
	// a nil *os.File in an interface is not nil
	if j.exec.Stdout != nil {
		cmd.Stdout = j.exec.Stdout
	}
	if j.exec.Stderr != nil {
		cmd.Stderr = j.exec.Stderr
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer j.exec.Processes.add(cmd.Process)()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if !j.lasts || groupEnds(ctx, cmd.Process) {
			return err
		}
		ended = nil // only what it left in the background is there
	case <-ctx.Done():
	}
	j.end(ctx, cmd.Process, ended)
	return nil
}

// end interrupts a process and its children, and kills them if that does not
// help. ended tells when the process is gone; nil: it is.
func (j *job) end(ctx context.Context, p *os.Process, ended <-chan error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.exec.grace())
	defer cancel()
	interrupt(p)
	if ended != nil {
		select {
		case <-ended: //nolint:errcheck // how it ends when it is told to does not matter
			ended = nil
		case <-ctx.Done():
		}
	}
	if ended == nil && groupEnds(ctx, p) {
		return
	}
	j.log.Warn("command is killed: it did not end when it was interrupted", "command", program(j.line))
	kill(p)
	if ended != nil {
		<-ended //nolint:errcheck // it was killed
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	groupEnds(ctx, p) // which takes a moment
}

// groupEnds waits for the end of those that a process left behind when it ended;
// false if ctx ends first.
func groupEnds(ctx context.Context, p *os.Process) bool {
	for pause := 10 * time.Millisecond; !isGone(p); pause = min(2*pause, 500*time.Millisecond) {
		if !sleep(ctx, pause) {
			return false
		}
	}
	return true
}

// lookup finds a variable; the last one of a name counts.
func lookup(env []string) func(string) string {
	return func(name string) string {
		for _, e := range slices.Backward(env) {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v
			}
		}
		return ""
	}
}

// build makes a command of arguments.
func build(line string, env []string) (*exec.Cmd, error) {
	args, err := arguments(line, lookup(env))
	if err != nil {
		return nil, err
	}
	return exec.Command(args[0], args[1:]...), nil //nolint:noctx // it is ended with its whole group
}

// sleep returns false if ctx ended it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

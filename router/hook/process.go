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
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	interrupt(cmd.Process)
	grace := time.NewTimer(j.exec.grace())
	defer grace.Stop()
	select {
	case <-ended: //nolint:errcheck // how it ends when it is told to does not matter
		kill(cmd.Process) // those of its group that did not follow
	case <-grace.C:
		j.log.Warn("command is killed: it did not end when it was interrupted", "command", program(j.line))
		kill(cmd.Process)
		<-ended //nolint:errcheck // it was killed
	}
	return nil
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

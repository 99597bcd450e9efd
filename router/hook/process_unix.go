//go:build unix

package hook

import (
	"os"
	"os/exec"
	"syscall"
)

func command(line string, env []string) (*exec.Cmd, error) {
	cmd, err := build(line, env)
	if err == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	return cmd, err
}

// interrupt and kill signal the whole group, which has the id of its first
// process.
func interrupt(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGINT) }

func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// isGone tells whether a group whose first process has ended has no other ones.
// Those that nobody else waits for, because this program is the first one of a
// container, are waited for.
func isGone(p *os.Process) bool {
	for {
		if pid, err := syscall.Wait4(-p.Pid, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
			break
		}
	}
	return syscall.Kill(-p.Pid, 0) != nil // nobody, or nobody who can be told
}

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

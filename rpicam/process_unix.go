//go:build unix

package rpicam

import (
	"os"
	"os/exec"
	"syscall"
)

// setGroup makes the program the first of a process group.
func setGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// interrupt and kill signal the whole group, which has the id of its first
// process.
func interrupt(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGINT) }

func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

package hook

import (
	"os"
	"os/exec"
	"syscall"
)

// command passes the line as it is: each program parses it in its own way. The
// variables are in its environment.
func command(line string, env []string) (*exec.Cmd, error) {
	cmd, err := build(line, env)
	if err == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: line, CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
	}
	return cmd, err
}

// interrupt kills: a console program in a group of its own cannot be asked.
func interrupt(p *os.Process) { _ = p.Kill() }

func kill(p *os.Process) { _ = p.Kill() }

// isGone is true: who is whose child is not known here.
func isGone(*os.Process) bool { return true }

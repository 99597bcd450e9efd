//go:build !unix

package rpicam

import (
	"os"
	"os/exec"
)

func setGroup(*exec.Cmd) {}

// interrupt kills: the program cannot be asked.
func interrupt(p *os.Process) { _ = p.Kill() }

func kill(p *os.Process) { _ = p.Kill() }

package rpicam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"time"
)

const (
	helpTimeout = 10 * time.Second
	maxHelp     = 256 << 10
)

// find returns the path of the program.
func find(name string) (string, error) {
	if name != "" {
		p, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("the program %s was not found", name)
		}
		return p, nil
	}
	for _, n := range []string{"rpicam-vid", "libcamera-vid"} {
		if p, err := exec.LookPath(n); err == nil {
			return p, nil
		}
	}
	return "", errors.New("neither rpicam-vid nor libcamera-vid was found in PATH: a camera needs the package rpicam-apps of Raspberry Pi OS")
}

// options are the names of the options that a program has.
type options map[string]bool

// has is true of every name if nothing is known about the program.
func (o options) has(name string) bool { return len(o) == 0 || o[name] }

var optionName = regexp.MustCompile(`--([a-z][a-z0-9-]+)`)

// ask asks the program for its options.
func ask(ctx context.Context, program string) (options, error) {
	ctx, cancel := context.WithTimeout(ctx, helpTimeout)
	defer cancel()
	out := &limited{limit: maxHelp}
	cmd := exec.CommandContext(ctx, program, "--help") // that is what the source is for
	setGroup(cmd)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { kill(cmd.Process); return nil }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.New("it does not answer")
		}
		return nil, fmt.Errorf("%s cannot be asked for its options: %w", path.Base(program), err)
	}
	return parseHelp(out.Bytes()), nil
}

func parseHelp(text []byte) options {
	out := options{}
	for _, m := range optionName.FindAllSubmatch(text, -1) {
		out[string(m[1])] = true
	}
	return out
}

// limited keeps the beginning of what is written.
type limited struct {
	bytes.Buffer
	limit int
}

func (l *limited) Write(b []byte) (int, error) {
	if room := l.limit - l.Len(); room > 0 {
		l.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

// findEncoder looks for the hardware encoder where Linux lists video devices.
// root is the root of the file system.
func findEncoder(root fs.FS) encoder {
	names, err := fs.Glob(root, "sys/class/video4linux/*/name")
	if err != nil || len(names) == 0 {
		return encoderUnknown
	}
	for _, n := range names {
		if b, err := fs.ReadFile(root, n); err == nil && strings.TrimSpace(string(b)) == "bcm2835-codec-encode" {
			return encoderHardware
		}
	}
	return encoderSoftware
}

//go:build e2e

package app_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/org/mtx/router/routertest"
)

// slots bounds how many tests run clients at the same time: players that get no
// processor lose packets, which is no fault of the server.
var slots = make(chan struct{}, 4)

// takeSlot makes a test parallel, within bounds.
func takeSlot(t *testing.T) {
	t.Helper()
	t.Parallel()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
}

// needs skips a test if a program is missing, and fails it on CI servers, which
// have everything. Names that begin with "gst:" are elements of GStreamer.
func needs(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		var err error
		if element, ok := strings.CutPrefix(name, "gst:"); ok {
			err = exec.CommandContext(t.Context(), "gst-inspect-1.0", "--exists", element).Run()
		} else {
			_, err = exec.LookPath(name)
		}
		switch {
		case err == nil:
		case os.Getenv("CI") != "":
			t.Fatalf("%s is not installed", name)
		default:
			t.Skipf("%s is not installed", name)
		}
	}
}

// program is an external program at work.
type program struct {
	cmd            *exec.Cmd
	stdout, stderr routertest.Log
	done           chan struct{}
	err            error // once done is closed
}

// launch starts a program, in an empty folder, that ends with the test. What it
// complained about is shown if the test fails.
func launch(t *testing.T, name string, args ...string) *program {
	t.Helper()
	return launchAs(t, t.TempDir(), nil, name, args...)
}

// launchAs starts a program in a folder, with attributes of its process.
func launchAs(t *testing.T, dir string, attr *syscall.SysProcAttr, name string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), name, args...), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.SysProcAttr = attr
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s %s\n%s", name, strings.Join(args, " "), tail(p.stderr.String()))
		}
	})
	return p
}

// wait waits until the program has ended well.
func (p *program) wait(t *testing.T) {
	t.Helper()
	p.waitEnd(t)
	if p.err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(p.cmd.Path), p.err, tail(p.stderr.String()))
	}
}

// waitEnd waits until the program has ended, in whatever way.
func (p *program) waitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s has not ended", filepath.Base(p.cmd.Path))
	}
}

// stop ends the program as a user would, and kills it if that does not help.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.done:
	case <-time.After(2 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// run runs a program to its end and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), errors.Join(err, ctx.Err()), tail(errs.String()))
	}
	return out.String()
}

// tail is the end of a text: what is of interest in the output of a program.
func tail(s string) string {
	const most = 5000
	if len(s) > most {
		return "..." + s[len(s)-most:]
	}
	return s
}

// ffmpeg returns the arguments that all calls begin with.
func ffmpeg(args ...string) []string {
	return append([]string{"-hide_banner", "-loglevel", "warning", "-nostdin", "-y"}, args...)
}

// publish publishes a file in real time, by a protocol or by MPEG-TS to a UDP
// address.
func (in *instance) publish(t *testing.T, protocol, path string, src *source) *program {
	t.Helper()
	var filter []string
	if output := in.output(protocol, path); src.outOfBand && slices.Contains(output, "mpegts") {
		filter = []string{"-bsf:v", "dump_extra"}
	}
	p := launch(t, "ffmpeg", ffmpeg(slices.Concat([]string{"-re", "-i", src.file, "-map", "0", "-c", "copy", "-strict", "experimental"},
		filter, in.output(protocol, path))...)...)
	in.waitReady(t, path)
	return p
}

// output tells FFmpeg where to publish.
func (in *instance) output(protocol, path string) []string {
	switch protocol {
	case "rtsp":
		return []string{"-f", "rtsp", "-rtsp_transport", "tcp", in.publishURL(protocol, path)}
	case "rtsp-udp":
		return []string{"-f", "rtsp", "-rtsp_transport", "udp", in.publishURL(protocol, path)}
	case "rtmp":
		return []string{"-f", "flv", in.publishURL(protocol, path)}
	case "srt":
		return []string{"-f", "mpegts", in.publishURL(protocol, path) + "&pkt_size=1316"}
	}
	// the address of a source
	return []string{"-f", "mpegts", strings.Replace(protocol, "udp+mpegts://", "udp://", 1) + "?pkt_size=1316"}
}

// input tells FFmpeg where to read. One thread decodes: tests share the processors.
func (in *instance) input(protocol, path string) []string {
	input := []string{"-threads", "1"}
	switch protocol {
	case "rtsp":
		input = append(input, "-rtsp_transport", "tcp")
	case "rtsp-udp":
		input = append(input, "-rtsp_transport", "udp")
	}
	return append(input, "-i", in.readURL(protocol, path))
}

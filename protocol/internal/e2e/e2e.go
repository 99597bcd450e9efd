// Package e2e runs the programs that end-to-end tests use as clients.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience bounds what a program may take.
const patience = 60 * time.Second

// stopTime is how long a program may take to end when it is interrupted.
const stopTime = 3 * time.Second

// Needs skips a test if a program is missing, and fails it on CI servers, which
// have everything. Elements of GStreamer are named "gst:ELEMENT".
func Needs(t testing.TB, names ...string) {
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

// Run runs a program to its end, which must be a good one, and returns what it
// printed on its two outputs.
func Run(t testing.TB, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), errors.Join(err, ctx.Err()), Tail(errs.String()))
	}
	return out.String(), errs.String()
}

// Start starts a program that works until the test ends, or until stop.
func Start(t testing.TB, name string, args ...string) (stop func()) {
	t.Helper()
	return launch(t, exec.Command(name, args...)).Stop //nolint:noctx // it is stopped at the end of the test
}

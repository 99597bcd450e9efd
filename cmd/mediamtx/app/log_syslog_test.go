//go:build !windows && !plan9

package app

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/org/mtx/router/routertest"
)

// logDaemon receives messages as the daemon of the system log does.
func logDaemon(t *testing.T, socket string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Messages arrive with their severity and without time and level, which the
// system log adds; it may be restarted.
func TestSyslog(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "log")
	daemon := logDaemon(t, socket)
	out, err := dialSyslog("unixgram", socket, "media")
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLogger(nil, logOptions{Level: slog.LevelDebug, Destinations: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	l.outputs = []output{out}
	defer l.Close()
	log := slog.New(l)
	buf := make([]byte, 4096)
	read := func() string {
		_ = daemon.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := daemon.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(bytes.TrimSpace(buf[:n]))
	}
	const daemonFacility = 3 << 3
	form := regexp.MustCompile(`^<(\d+)>.* media\[\d+\]: (.*)$`)
	for severity, say := range map[int]func(string, ...any){3: log.Error, 4: log.Warn, 6: log.Info, 7: log.Debug} {
		say("a message", "path", "cam", "text", "two\nlines")
		m := form.FindStringSubmatch(read())
		if len(m) != 3 || m[2] != `a message path=cam text="two\nlines"` {
			t.Fatalf("%q", buf)
		}
		if m[1] != strconv.Itoa(daemonFacility+severity) {
			t.Errorf("the priority is %s, want severity %d", m[1], severity)
		}
	}
	daemon.Close()
	_ = os.Remove(socket)
	daemon = logDaemon(t, socket)
	log.Info("after a restart")
	if s := read(); !strings.HasSuffix(s, ": after a restart") {
		t.Error(s)
	}
}

func TestSyslogThatIsNotThere(t *testing.T) {
	t.Parallel()
	if _, err := dialSyslog("unixgram", filepath.Join(t.TempDir(), "none"), "x"); err == nil || !strings.Contains(err.Error(), "logDestinations: syslog cannot be reached") {
		t.Error(err)
	}
}

// The command opens its log file anew on SIGHUP, and ends well on SIGTERM.
func TestSignals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, name := filepath.Join(dir, "mediamtx.yml"), filepath.Join(dir, "log")
	writeFile(t, file, localServer+noServers+"logDestinations: [file]\nlogFile: "+name+"\npaths: {cam: {}}\n")
	bin, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := &routertest.Log{}
	cmd := exec.CommandContext(t.Context(), bin, file)
	cmd.Env = append(os.Environ(), childEnv+"=main")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	logged := func(file, what string) func() bool {
		return func() bool { b, _ := os.ReadFile(file); return strings.Contains(string(b), what) }
	}
	until(t, "start", out, logged(name, "listening"))
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "another file", out, func() bool { _, err := os.Stat(name); return err == nil })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !logged(name, "shutting down")() || logged(name+".1", "shutting down")() {
		t.Errorf("%s\n%s", read(t, name+".1"), read(t, name))
	}
}

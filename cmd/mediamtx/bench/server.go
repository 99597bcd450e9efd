package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The servers that can be measured.
const (
	serverMTX   = "mtx"
	serverPlain = "plain"
)

// mtxPackage is what newLauncher builds.
const mtxPackage = "github.com/org/mtx/cmd/mediamtx"

const (
	startTimeout = 15 * time.Second
	stopTimeout  = 5 * time.Second
	// startAttempts: the ports are looked for before the server opens them, and
	// another program may be faster.
	startAttempts = 3
	// maxLog is how much of a server's output goes into an error message.
	maxLog = 2000
)

// usage is what a process has used so far.
type usage struct {
	user, system time.Duration
	rss          int64 // bytes
}

func (u usage) cpu() time.Duration { return u.user + u.system }

// launcher starts servers.
type launcher struct {
	dir      string // for the binary, configurations and logs
	binary   string
	env      []string // keys of the configuration of the mediamtx command, as variables
	progress io.Writer
}

// newLauncher prepares a temporary directory, and builds the server unless the
// options name one or do not need it.
func newLauncher(ctx context.Context, o options, progress io.Writer) (*launcher, error) {
	dir, err := os.MkdirTemp("", "mtx-bench-")
	if err != nil {
		return nil, err
	}
	l := &launcher{dir: dir, binary: o.binary, progress: progress}
	if o.binary != "" || !slices.Contains(o.servers, serverMTX) {
		return l, nil
	}
	l.binary = filepath.Join(dir, "mediamtx")
	fmt.Fprintf(progress, "building %s ...\n", mtxPackage)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", l.binary, mtxPackage).CombinedOutput(); err != nil {
		l.cleanup()
		return nil, fmt.Errorf("building %s: %w\n%s(-server names a binary that is there already)", mtxPackage, err, out)
	}
	return l, nil
}

func (l *launcher) cleanup() { os.RemoveAll(l.dir) }

// server is a running server.
type server struct {
	addr     string        // of RTSP
	startup  time.Duration // from exec to the first answer
	cmd      *exec.Cmd
	stdin    io.Closer
	log      string
	exited   chan struct{}
	progress io.Writer
}

// start runs a server of the given kind with that many configured paths, besides
// the one that accepts every name, and waits until it answers.
func (l *launcher) start(ctx context.Context, kind string, paths int) (*server, error) {
	var err error
	for range startAttempts {
		var s *server
		if s, err = l.startOnce(ctx, kind, paths); err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, err
}

func (l *launcher) startOnce(ctx context.Context, kind string, paths int) (*server, error) {
	ports, err := freePorts()
	if err != nil {
		return nil, err
	}
	cmd, err := l.command(kind, ports, paths)
	if err != nil {
		return nil, err
	}
	s := &server{
		addr:     ports.rtsp,
		cmd:      cmd,
		log:      filepath.Join(l.dir, kind+".log"),
		exited:   make(chan struct{}),
		progress: l.progress,
	}
	logFile, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	cmd.Stdout, cmd.Stderr = logFile, logFile
	// the baseline ends with its standard input; nobody else cares
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		close(s.exited)
	}()
	if err := s.waitReady(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("starting %s: %w%s", kind, err, s.logTail())
	}
	s.startup = time.Since(began)
	return s, nil
}

// command prepares the process of a server.
func (l *launcher) command(kind string, p serverPorts, paths int) (*exec.Cmd, error) {
	if kind == serverPlain {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(self)
		cmd.Env = append(cleanEnv(), plainEnv+"="+strings.Join([]string{p.rtsp, p.rtp, p.rtcp}, ","))
		return cmd, nil
	}
	file := filepath.Join(l.dir, "mediamtx.yml")
	if err := os.WriteFile(file, configFile(p, paths), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(l.binary, file)
	cmd.Env = append(cleanEnv(), l.env...)
	return cmd, nil
}

// cleanEnv is the environment without what would change the configuration.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MTX_") && !strings.HasPrefix(v, "RTSP_") {
			env = append(env, v)
		}
	}
	return env
}

// configFile is the configuration of the mediamtx command: RTSP only.
func configFile(p serverPorts, paths int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `logLevel: warn
rtsp: yes
rtspTransports: [tcp, udp]
rtspAddress: %s
rtpAddress: %s
rtcpAddress: %s
rtmp: no
hls: no
webrtc: no
srt: no
paths:
  all_others:
`, p.rtsp, p.rtp, p.rtcp)
	for i := range paths {
		fmt.Fprintf(&b, "  idle%04d:\n", i)
	}
	return b.Bytes()
}

// waitReady polls until the server answers a request.
func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := dialRTSP(ctx, s.addr, "ready"); err == nil {
			err = c.options()
			c.close()
			if err == nil {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return fmt.Errorf("it ended at once (%v)", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("no answer on %s within %v", s.addr, startTimeout)
		}
	}
}

// stop ends the server with SIGTERM, and by force if it does not obey.
func (s *server) stop() {
	defer s.stdin.Close()
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		fmt.Fprintf(s.progress, "warning: the server did not end within %v of SIGTERM and was killed\n", stopTimeout)
		s.cmd.Process.Kill()
		<-s.exited
	}
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// usage reads what the server has used. It fails if the server has ended.
func (s *server) usage() (usage, error) {
	select {
	case <-s.exited:
		return usage{}, fmt.Errorf("the server ended during the run (%v)%s", s.cmd.ProcessState, s.logTail())
	default:
		return readUsage(s.pid())
	}
}

// explain adds to an error of a client that the server has ended, if it has:
// the cause is what the server printed.
func (s *server) explain(err error) error {
	select {
	case <-s.exited:
		return fmt.Errorf("%w; the server has ended (%v)%s", err, s.cmd.ProcessState, s.logTail())
	case <-time.After(100 * time.Millisecond): // a process ends later than its connections
		return err
	}
}

// logTail returns the end of what the server printed, for an error message.
func (s *server) logTail() string {
	b, err := os.ReadFile(s.log)
	if err != nil || len(b) == 0 {
		return ""
	}
	// a panic has its reason in front of many stacks
	if i := bytes.Index(b, []byte("panic: ")); i >= 0 {
		b = b[i:min(len(b), i+maxLog)]
	}
	return "; its output: " + string(bytes.TrimSpace(b[max(0, len(b)-maxLog):]))
}

// serverPorts are the addresses of one server.
type serverPorts struct{ rtsp, rtp, rtcp string }

// freePorts finds ports that are free at the moment.
func freePorts() (serverPorts, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return serverPorts{}, err
	}
	rtp, rtcp, err := listenPair()
	if err != nil {
		return serverPorts{}, errors.Join(err, l.Close())
	}
	p := serverPorts{rtsp: l.Addr().String(), rtp: rtp.LocalAddr().String(), rtcp: rtcp.LocalAddr().String()}
	return p, errors.Join(l.Close(), rtp.Close(), rtcp.Close())
}

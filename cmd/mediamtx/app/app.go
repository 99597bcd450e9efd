// Package app is the command mediamtx as a library: the command line, the
// configuration, logging and signals around a router.
//
// A program with plugins of its own is the command with one more call:
//
//	func main() {
//		os.Exit(app.Main(func(c *mtx.Config) {
//			c.Protocols = append(c.Protocols, &myprotocol.Server{})
//		}))
//	}
//
// The function is called for each configuration that is loaded, so that what it
// adds stays across reloads. It should give equal values each time: what changed
// is restarted.
package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/org/mtx"
	"github.com/org/mtx/router/hook"
)

// Main runs the command with the arguments and the environment of the process
// until SIGINT or SIGTERM, and returns its exit code. At a second signal it
// returns at once. SIGHUP opens the log file anew. Each extend may change the
// configuration before it is used.
func Main(extend ...func(*mtx.Config)) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(stop)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return runUntil(stop, Run, Options{
		Args:   os.Args[1:],
		Env:    os.Environ(),
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Extend: extend,
		Reopen: hangup,
	})
}

// runUntil runs until the first signal. At the second one it does not wait for
// the end: it kills the commands of hooks, which nobody else would, and returns
// what a shell returns for a program that a signal ended.
func runUntil(stop <-chan os.Signal, run func(context.Context, Options) int, o Options) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.processes = &hook.Processes{}
	code := make(chan int, 1)
	go func() { code <- run(ctx, o) }()
	for {
		select {
		case c := <-code:
			return c
		case s := <-stop:
			if ctx.Err() != nil {
				o.processes.Kill()
				n, _ := s.(syscall.Signal)
				return 128 + int(n)
			}
			cancel()
		}
	}
}

// Options is what a process gives to [Run].
type Options struct {
	// Args are the arguments, without the name of the program.
	Args []string

	// Env is the environment that the configuration sees, as os.Environ returns it.
	// Hooks have that of the process.
	Env []string

	// Stdout receives log messages, Stderr the errors that keep the server from
	// starting. Nil discards.
	Stdout, Stderr io.Writer

	// Reopen makes the log file be opened anew, for each value. Optional.
	Reopen <-chan os.Signal

	// Extend may change each configuration before it is used.
	Extend []func(*mtx.Config)

	// Router, if set, is called with the router before it starts, so that a
	// program can publish, read and observe.
	Router func(*mtx.Router)

	processes *hook.Processes      // those of hooks
	store     func(*configuration) // for tests
}

// Run is [Main] without the process: it returns when ctx is done. The result is
// 0 after a clean end, and 1 if the server could not start or broke down.
func Run(ctx context.Context, o Options) int {
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	cmd := command(o)
	if err := cmd.ExecuteContext(ctx); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(o.Stderr, "ERR: %s\n", printable(line))
		}
		return 1
	}
	return 0
}

// flagKeys are the keys that have a flag. Flags win over everything else.
var flagKeys = []struct{ flag, key, usage string }{
	{"log-level", "logLevel", "least severe messages to print: error, warn, info, debug"},
	{"rtsp-address", "rtspAddress", "address of the RTSP server"},
	{"rtsps-address", "rtspsAddress", "address of the RTSPS server"},
	{"rtsp-transports", "rtspTransports", "transports of the RTSP server: udp, multicast, tcp"},
	{"api", "api", "switch on the Control API"},
	{"api-address", "apiAddress", "address of the Control API"},
}

func command(o Options) *cobra.Command {
	check := false
	cmd := &cobra.Command{
		Use:   "mediamtx [FILE]",
		Short: "Route live media between publishers and readers.",
		Long: `mediamtx routes live media: clients publish streams, or the server pulls them
from elsewhere, and others read them.

FILE is the configuration. Without it, rtsp-simple-server.yml and mediamtx.yml
are looked for in the working folder, /usr/local/etc, /usr/etc and /etc/mediamtx.
If there is none, any path can be published and read.

Each key of the file can also be set by an environment variable, MTX_ and the key
in capitals, and some by the flags below. Flags win over the environment, the
environment over the file.`,
		Example:       "  mediamtx\n  mediamtx --check /etc/mediamtx/mediamtx.yml\n  MTX_PATHS_CAM_SOURCE=rtsp://camera/stream mediamtx --log-level debug",
		Args:          cobra.MaximumNArgs(1),
		Version:       Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			s := server{Options: o, overrides: overrides(cmd)}
			if len(args) > 0 {
				if args[0] == "" {
					return fmt.Errorf("the name of the configuration file is empty")
				}
				s.file = args[0]
			}
			if check {
				return s.check()
			}
			return s.run(cmd.Context())
		},
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetOut(o.Stdout)
	cmd.SetErr(o.Stderr)
	if o.Args == nil {
		o.Args = []string{} // nil means os.Args to cobra
	}
	cmd.SetArgs(o.Args)
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&check, "check", false, "check the configuration and exit with 0 (good) or 1")
	for _, f := range flagKeys {
		switch f.key {
		case "api":
			flags.Bool(f.flag, false, f.usage)
		case "rtspTransports":
			flags.StringSlice(f.flag, nil, f.usage)
		default:
			flags.String(f.flag, "", f.usage)
		}
	}
	return cmd
}

// overrides returns the keys whose flags were given.
func overrides(cmd *cobra.Command) map[string]any {
	out := map[string]any{}
	for _, f := range flagKeys {
		flag := cmd.Flags().Lookup(f.flag)
		if !flag.Changed {
			continue
		}
		out[f.key] = flag.Value.String()
		if l, err := cmd.Flags().GetStringSlice(f.flag); err == nil {
			out[f.key] = l
		}
	}
	return out
}

// Version is the version of the module that the program was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if info.Main.Path != "github.com/org/mtx" {
		for _, d := range info.Deps {
			if d.Path == "github.com/org/mtx" {
				v = d.Version
			}
		}
	}
	if v == "" || v == "(devel)" {
		return "development"
	}
	return v
}

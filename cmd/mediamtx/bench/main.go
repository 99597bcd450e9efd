// Command bench measures what it costs the server to route media, beside a
// baseline that uses the same RTSP library in the obvious way, on the same
// machine and in the same run:
//
//	go run ./cmd/mediamtx/bench
//	go run ./cmd/mediamtx/bench -scenarios rtsp-udp -rounds 5 -strace
//	go run ./cmd/mediamtx/bench -server ./mediamtx -json > today.json
//
// # What runs
//
// Two servers, each a process of its own so that its CPU time and memory can be
// read from /proc:
//
//   - mtx: the mediamtx command, built for the occasion or given with -server;
//   - plain: this program again, serving with gortsplib's ServerStream, one
//     queued write per packet and reader.
//
// A publisher in this process sends a synthetic H264 stream over RTSP/TCP: real
// parameter sets, a key frame each second that is four times as large as the
// other frames, and in every frame the time at which it was sent. Raw-socket
// readers in this process check sequence numbers and frame numbers, and read
// that time when the last packet of the frame has arrived. Latency is therefore
// end to end, through both socket buffers.
//
// Each scenario runs against both servers in every round, in alternating order,
// and the report shows the median over the rounds.
//
// # How to read the numbers
//
// Look at the ratios first. Absolute figures depend on the machine, the kernel
// and on what else runs; both servers suffer alike from that, so their ratio is
// what carries over to another machine.
//
//   - CPU us/packet: user plus system time of the server for each RTP packet
//     that arrived at a reader. System calls dominate it.
//   - CPU ms/MB: the same per megabyte, to compare streams of different packet
//     sizes.
//   - p50, p99, max: frame latency. The maximum is one event in thousands and
//     says more about the machine's scheduler than about the server.
//   - lost packets, lost frames: gaps in sequence numbers, and in the numbers
//     embedded in the frames (a server that drops frames and renumbers packets
//     shows up in the second only). Added up over the rounds, not the median.
//   - readers gone: connections that ended although they should not have.
//   - RSS/reader: growth of the resident memory from before the first reader to
//     the end of the window, divided by the readers.
//   - attach CPU: server CPU per reader from dial to PLAY. The stream runs
//     meanwhile, so it is clean only where the bit rate is low (memory).
//   - load CPU: cores used by this process. If load CPU plus server CPU comes
//     near the number of cores, latencies measure the queue for a core.
//   - other CPU: cores used by anything else. Runs in which it is high are set
//     aside if there are better ones; if there are none, repeat.
//   - write, send and sendmmsg calls/packet (with -strace): write and writev,
//     which TCP uses; sendto and sendmsg; sendmmsg. Some of the writes wake Go's
//     scheduler and are no I/O.
//
// CPU time has a resolution of 10 ms: keep -dur at some seconds.
//
// Only Linux is supported.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line of one run.
type options struct {
	scenarios []scenario
	servers   []string
	binary    string // path of a mediamtx binary, empty = build it
	rounds    int
	dur, warm time.Duration
	readers   int // 0 = what the scenario says
	json      bool
	strict    bool
	strace    bool
}

func main() {
	if spec := os.Getenv(plainEnv); spec != "" {
		if err := servePlain(spec); err != nil {
			fmt.Fprintln(os.Stderr, "bench: baseline:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2) // already printed by the flag package
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong command line")

// run measures what args ask for and writes the report to out. Progress goes to
// progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parseFlags(args, progress)
	if err != nil {
		return err
	}
	if err := checkPlatform(o.strace); err != nil {
		return err
	}
	l, err := newLauncher(ctx, o, progress)
	if err != nil {
		return err
	}
	defer l.cleanup()

	results, failed := measureAll(ctx, o, l, progress)
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted")
	}
	rep := buildReport(o, results)
	if o.json {
		err = rep.writeJSON(out)
	} else {
		err = rep.writeText(out)
	}
	switch {
	case err != nil:
		return err
	case failed != nil:
		return fmt.Errorf("not everything could be measured: %w", failed)
	case o.strict && !rep.allMet():
		return errors.New("targets missed")
	}
	return nil
}

// measureAll runs every scenario against every server in every round. A run
// that fails is left out of the results and returned as part of the error.
func measureAll(ctx context.Context, o options, l *launcher, progress io.Writer) ([]result, error) {
	var results []result
	var failed []error
	for round := range o.rounds {
		servers := slices.Clone(o.servers)
		if round%2 == 1 {
			slices.Reverse(servers)
		}
		for _, sc := range o.scenarios {
			for _, server := range servers {
				if ctx.Err() != nil {
					return results, ctx.Err()
				}
				if sc.mtxOnly && server != serverMTX {
					continue
				}
				what := fmt.Sprintf("round %d/%d %s %s", round+1, o.rounds, sc.name, server)
				fmt.Fprintf(progress, "%s ...\n", what)
				v, err := sc.run(ctx, &env{options: o, launcher: l, server: server})
				if err != nil {
					fmt.Fprintf(progress, "%s failed: %v\n", what, err)
					failed = append(failed, fmt.Errorf("%s: %w", what, err))
					continue
				}
				results = append(results, result{Round: round + 1, Scenario: sc.name, Server: server, Values: v})
			}
		}
	}
	return results, errors.Join(failed...)
}

func parseFlags(args []string, usage io.Writer) (options, error) {
	var o options
	all := allScenarios()
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(usage)
	scenarios := fs.String("scenarios", strings.Join(defaultScenarios, ","), "comma-separated scenarios, or \"all\"")
	servers := fs.String("servers", serverMTX+","+serverPlain, "comma-separated servers")
	fs.StringVar(&o.binary, "server", "", "mediamtx binary to measure (default: built from this module)")
	fs.IntVar(&o.rounds, "rounds", 2, "times that each scenario runs against each server")
	fs.DurationVar(&o.dur, "dur", 8*time.Second, "measured time of each run")
	fs.DurationVar(&o.warm, "warm", 2*time.Second, "time between the last reader and the measured time")
	fs.IntVar(&o.readers, "readers", 0, "readers instead of what the scenario says")
	fs.BoolVar(&o.json, "json", false, "print JSON")
	fs.BoolVar(&o.strict, "strict", false, "fail when a target is missed or could not be measured")
	fs.BoolVar(&o.strace, "strace", false, "after the measured time, count system calls with strace")
	fs.Usage = func() {
		fmt.Fprintln(usage, "Usage: bench [flags]\n\nScenarios:")
		for _, s := range all {
			fmt.Fprintf(usage, "  %-14s %s\n", s.name, s.about)
		}
		fmt.Fprintln(usage, "\nFlags:")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, errUsage
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("argument %q is not understood: only flags are accepted", fs.Arg(0))
	}
	if o.rounds < 1 || o.dur < time.Second || o.warm < 0 || o.readers < 0 {
		return o, errors.New("-rounds must be at least 1, -dur at least 1s, -warm and -readers not negative")
	}
	var err error
	if o.scenarios, err = pickScenarios(all, *scenarios); err != nil {
		return o, err
	}
	for name := range strings.SplitSeq(*servers, ",") {
		if name != serverMTX && name != serverPlain {
			return o, fmt.Errorf("-servers: %q is not one of %s, %s", name, serverMTX, serverPlain)
		}
		o.servers = append(o.servers, name)
	}
	return o, nil
}

func pickScenarios(all []scenario, names string) ([]scenario, error) {
	if names == "all" {
		return all, nil
	}
	var picked []scenario
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
		if i < 0 {
			var known []string
			for _, s := range all {
				known = append(known, s.name)
			}
			return nil, fmt.Errorf("-scenarios: %q is not one of %s", name, strings.Join(known, ", "))
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	straceTime   = 3 * time.Second
	straceAttach = 10 * time.Second
)

// countCalls counts the system calls of a process with strace for some seconds
// and adds those that write to v, per packet that count returns meanwhile. The
// process is very slow during that time, so only the ratio means something.
func countCalls(ctx context.Context, pid int, dir string, count func() int64, v values) error {
	file := filepath.Join(dir, "strace.txt")
	cmd := exec.CommandContext(ctx, "strace", "-c", "-f", "-o", file, "-p", strconv.Itoa(pid))
	var messages strings.Builder
	cmd.Stderr = &messages
	if err := cmd.Start(); err != nil {
		return err
	}
	attached := false
	for end := time.Now().Add(straceAttach); !attached && time.Now().Before(end) && ctx.Err() == nil; {
		attached = traced(pid)
		time.Sleep(time.Millisecond)
	}
	before := count()
	err := sleep(ctx, straceTime)
	packets := count() - before
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait() // strace ends with the signal that it got
	if err != nil {
		return err
	}
	if !attached {
		return fmt.Errorf("strace could not attach to the server: %s", strings.TrimSpace(messages.String()))
	}
	out, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if packets == 0 {
		return errors.New("nothing was delivered while strace ran")
	}
	calls := parseStrace(string(out))
	// Go's scheduler wakes its poller with write too, so a few are not I/O
	v[writesPacket] = float64(calls["write"]+calls["writev"]) / float64(packets)
	v[sendsPacket] = float64(calls["sendto"]+calls["sendmsg"]) / float64(packets)
	v[mmsgPacket] = float64(calls["sendmmsg"]) / float64(packets)
	return nil
}

// parseStrace reads the table of strace -c: the number of calls by name. The
// columns are: % time, seconds, usecs/call, calls, errors (may be empty),
// syscall.
func parseStrace(table string) map[string]int64 {
	calls := make(map[string]int64)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) != 5 && len(f) != 6 {
			continue
		}
		if n, err := strconv.ParseInt(f[3], 10, 64); err == nil && f[len(f)-1] != "total" {
			calls[f[len(f)-1]] += n
		}
	}
	return calls
}

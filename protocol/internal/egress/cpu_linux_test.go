package egress

import "golang.org/x/sys/unix"

// processCPU returns the CPU time of the process, in nanoseconds.
func processCPU() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts)
	return ts.Nano()
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of CPU times in /proc, fixed by the kernel's interface.
const userHZ = 100

// checkPlatform tells whether measuring is possible here.
func checkPlatform(strace bool) error {
	if strace {
		if _, err := exec.LookPath("strace"); err != nil {
			return errors.New("-strace needs the command strace, which is not installed")
		}
	}
	return nil
}

// readUsage reads the CPU time and the resident memory of a process.
func readUsage(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	u, err := parseStat(stat)
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, err
	}
	kb, err := statusField(status, "VmRSS")
	u.rss = kb * 1024
	return u, err
}

// parseStat reads utime and stime (proc(5), /proc/PID/stat, fields 14 and 15).
func parseStat(stat []byte) (usage, error) {
	// the second field is the command in parentheses, which may hold anything
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 13 {
		return usage{}, errors.New("unexpected content of /proc/PID/stat")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return usage{
		user:   time.Duration(user) * time.Second / userHZ,
		system: time.Duration(system) * time.Second / userHZ,
	}, errors.Join(err1, err2)
}

// statusField reads a number of /proc/PID/status.
func statusField(status []byte, name string) (int64, error) {
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		if f := strings.Fields(value); key == name && len(f) > 0 {
			return strconv.ParseInt(f[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/PID/status has no field %s", name)
}

// machineBusy is the CPU time that all cores have not been idle, including what
// the hypervisor gave to others.
func machineBusy() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseMachineStat(stat)
}

// parseMachineStat sums user, nice, system, irq, softirq and steal (proc(5),
// /proc/stat).
func parseMachineStat(stat []byte) (time.Duration, error) {
	line, _, _ := strings.Cut(string(stat), "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, errors.New("unexpected content of /proc/stat")
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHZ, nil
}

// traced tells whether a debugger is attached to a process.
func traced(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	tracer, _ := statusField(status, "TracerPid")
	return tracer != 0
}

// setReadBuffer enlarges the buffer of a socket beyond the system's limit if
// this process may, up to that limit otherwise.
func setReadBuffer(conn *net.UDPConn, size int) {
	if raw, err := conn.SyscallConn(); err == nil {
		var setErr error
		err = raw.Control(func(fd uintptr) {
			setErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
		})
		if err == nil && setErr == nil {
			return
		}
	}
	conn.SetReadBuffer(size) // a smaller buffer shows up as losses
}

package main

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	u, err := parseStat([]byte("42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0 250 75 0 0 20 0 7 0 100 1000 200"))
	if err != nil {
		t.Fatal(err)
	}
	if u.user != 2500*time.Millisecond || u.system != 750*time.Millisecond || u.cpu() != 3250*time.Millisecond {
		t.Errorf("got %+v", u)
	}
	for _, bad := range []string{"", "42 (x) S 1", "no parenthesis"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestStatusField(t *testing.T) {
	t.Parallel()
	status := []byte("Name:\tx\nVmRSSX:\t1 kB\nVmRSS:\t  2048 kB\nTracerPid:\t0\n")
	if v, err := statusField(status, "VmRSS"); err != nil || v != 2048 {
		t.Errorf("got %d, %v", v, err)
	}
	if _, err := statusField(status, "Missing"); err == nil {
		t.Error("a missing field was found")
	}
}

func TestParseMachineStat(t *testing.T) {
	t.Parallel()
	// idle and iowait do not count, guest is contained in user
	busy, err := parseMachineStat([]byte("cpu  100 10 50 9999 888 5 6 29 77 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"))
	if err != nil || busy != 2*time.Second {
		t.Errorf("got %v, %v", busy, err)
	}
	if _, err := parseMachineStat([]byte("intr 5")); err == nil {
		t.Error("nonsense was accepted")
	}
}

func TestReadUsageOfSelf(t *testing.T) {
	t.Parallel()
	u, err := readUsage(os.Getpid())
	if err != nil || u.rss < 1<<20 {
		t.Errorf("got %+v, %v", u, err)
	}
}

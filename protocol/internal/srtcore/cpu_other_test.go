//go:build !linux

package srtcore

import "time"

// cpuTime is not measured here.
func cpuTime() time.Duration { return 0 }

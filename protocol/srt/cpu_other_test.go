//go:build !linux

package srt

import "time"

// cpuTime is not measured here.
func cpuTime() time.Duration { return 0 }

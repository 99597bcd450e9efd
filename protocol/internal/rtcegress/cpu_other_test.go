//go:build !linux

package rtcegress

import "time"

// cpuTime is not measured here.
func cpuTime() time.Duration { return 0 }

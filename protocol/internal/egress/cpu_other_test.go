//go:build !linux

package egress

import "time"

// processCPU returns the wall clock: there is no portable CPU clock.
func processCPU() int64 { return time.Now().UnixNano() }

//go:build race

package webrtc

// raceEnabled tells whether the race detector is on.
const raceEnabled = true

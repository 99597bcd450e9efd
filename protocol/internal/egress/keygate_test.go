package egress

import (
	"testing"
	"time"
)

func TestKeyGate(t *testing.T) {
	t.Parallel()
	const start = int64(1e18)
	for _, ca := range []struct {
		name  string
		track int
		m     *Message
		after time.Duration
		shut  bool
	}{
		{"delta frame", 1, &Message{Track: 1, Video: true}, 0, true},
		{"delta frame, a little later", 1, &Message{Track: 1, Video: true}, maxKeyWait - 1, true},
		{"delta frame, too late", 1, &Message{Track: 1, Video: true}, maxKeyWait, false},
		{"key frame", 1, &Message{Track: 1, Video: true, Key: true}, 0, false},
		{"report", 1, &Message{Track: 1, Video: true, Control: true}, 0, false},
		{"another track", 1, &Message{Track: 0, Video: true}, 0, false},
		{"a track beyond", 1, &Message{Track: 7}, 0, false},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			var g keyGate
			g.hold(ca.track)
			g.shut(&Message{Track: ca.track, Video: true}, start)
			if got := g.shut(ca.m, start+int64(ca.after)); got != ca.shut {
				t.Errorf("shut: %v", got)
			}
		})
	}
}

func TestKeyGateStaysOpen(t *testing.T) {
	t.Parallel()
	var g keyGate
	g.hold(0)
	if g.shut(&Message{Key: true}, 1) || g.shut(&Message{}, 2) {
		t.Error("shut after a key frame")
	}
}

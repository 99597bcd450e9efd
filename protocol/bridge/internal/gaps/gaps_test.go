package gaps

import "testing"

func TestShift(t *testing.T) {
	t.Parallel()
	const frame = 3000
	type picture struct {
		pts, want int64
		key       bool
	}
	for name, list := range map[string][]picture{
		"steady": {{0, 0, true}, {3 * frame, 0, false}, {frame, 0, false}, {4 * frame, 0, true}, {5 * frame, 0, false}},
		"pause before a key frame": {
			{0, 0, true}, {2 * frame, 0, false}, {frame, 0, false},
			{3*frame + 450000, 450000, true}, {5*frame + 450000, 450000, false}, {4*frame + 450000, 450000, false},
			{6*frame + 450000, 450000, true}, {7*frame + 450000, 450000, false},
			{8*frame + 900000, 900000, true},
		},
		"pictures shown before the key frame": {
			{0, 0, true}, {frame, 0, false},
			{4 * frame, 0, true}, {2 * frame, 0, false}, {3 * frame, 0, false}, {5 * frame, 0, false},
			{8*frame + 450000, 450000, true}, {6*frame + 450000, 450000, false},
		},
		"pause within a group": {{0, 0, true}, {frame, 0, false}, {450000, 0, false}, {450000 + frame, 0, true}},
		"few pictures":         {{0, 0, true}, {180000, 0, false}, {360000, 0, true}, {540000, 0, false}},
		"key frames only":      {{0, 0, true}, {450000, 0, true}, {900000, 0, true}},
		"backwards":            {{900000, 0, true}, {900000 + frame, 0, false}, {0, 0, true}, {frame, 0, false}, {2 * frame, 0, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c Closer
			for i, p := range list {
				if got := c.Shift(p.pts, p.key); got != p.want {
					t.Errorf("picture %d: shifted by %d, want %d", i, got, p.want)
				}
			}
		})
	}
}

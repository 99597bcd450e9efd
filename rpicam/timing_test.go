package rpicam

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// Stamps of the camera are kept, and begin anew without going back.
func TestCaptured(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	begin := time.Unix(1000, 0)
	tl := timeline{interval: 40 * ms}
	for i, c := range []struct {
		stamp, at time.Duration
		want      int64         // ticks
		ntp       time.Duration // since begin, rounded to milliseconds
	}{
		{5000 * ms, 100 * ms, 0, 100 * ms},
		{5040 * ms, 150 * ms, 40 * 90, 140 * ms},    // late
		{5080 * ms, 175 * ms, 80 * 90, 175 * ms},    // less delay than ever
		{5200 * ms, 300 * ms, 200 * 90, 295 * ms},   // pictures were dropped
		{0, 2400 * ms, 2305 * 90, 2400 * ms},        // began anew
		{40 * ms, 2440 * ms, 2345 * 90, 2440 * ms},  // and goes on
		{40 * ms, 2450 * ms, 2385 * 90, 2450 * ms},  // twice the same
		{1e9 * ms, 2500 * ms, 2435 * 90, 2500 * ms}, // nonsense
	} {
		pts, ntp := tl.captured(c.stamp, begin.Add(c.at))
		if d := pts - c.want; d < -2 || d > 2 {
			t.Errorf("%d: PTS %d, want %d", i, pts, c.want)
		}
		if d := ntp.Sub(begin.Add(c.ntp)); d < -25*ms || d > 25*ms {
			t.Errorf("%d: NTP %v, want %v", i, ntp.Sub(begin), c.ntp)
		}
	}
}

// Without stamps, jitter is taken out and a real rate other than that of the
// settings is followed.
func TestArrived(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, real := range []time.Duration{40 * time.Millisecond, 50 * time.Millisecond, 20 * time.Millisecond} {
		tl := timeline{interval: 40 * time.Millisecond}
		now := time.Unix(1000, 0)
		var at400, last int64
		for i := range 1000 {
			pts, ntp := tl.arrived(now.Add(time.Duration(i)*real + time.Duration(rnd.IntN(20))*time.Millisecond))
			step := pts - last
			if i > 0 && step <= 0 {
				t.Fatalf("picture %d: from %d to %d", i, last, pts)
			}
			if i == 400 {
				at400 = pts
			}
			if want := int64(real/time.Millisecond) * 90; i > 400 && (step < want-270 || step > want+270) {
				t.Errorf("picture %d comes %d ticks later, want about %d", i, step, want)
			}
			if d := ntp.Sub(now.Add(time.Duration(i) * real)); d < -time.Second || d > time.Second {
				t.Errorf("picture %d: absolute time is off by %v", i, d)
			}
			last = pts
		}
		if got, want := last-at400, 599*int64(real/time.Millisecond)*90; got < want-2700 || got > want+2700 {
			t.Errorf("%v: 599 pictures took %d ticks, want %d", real, got, want)
		}
	}
}

func TestParseStamp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line string
		want time.Duration
		ok   bool
		err  error
	}{
		{"# timecode format v2", 0, false, nil},
		{"", 0, false, nil},
		{"0.000", 0, true, nil},
		{"33.333\r", 33333 * time.Microsecond, true, nil},
		{"-1.5", -1500 * time.Microsecond, true, nil},
		{"soon", 0, false, errBadStamp},
		{"NaN", 0, false, errBadStamp},
		{"1e13", 0, false, errBadStamp},
	} {
		if got, ok, err := parseStamp([]byte(c.line)); got != c.want || ok != c.ok || !errors.Is(err, c.err) {
			t.Errorf("%q: %v, %t, %v", c.line, got, ok, err)
		}
	}
}

func TestArrivedAfterSilence(t *testing.T) {
	t.Parallel()
	tl := timeline{interval: 40 * time.Millisecond}
	now := time.Unix(1000, 0)
	tl.arrived(now)
	if pts, ntp := tl.arrived(now.Add(5 * time.Second)); pts != 450000 || !ntp.Equal(now.Add(5*time.Second)) {
		t.Errorf("%d, %v", pts, ntp)
	}
}

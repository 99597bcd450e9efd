package rpicam

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/org/mtx/router/media"
)

const (
	clockRate = 90000

	// maxGap is the longest pause between pictures that is believed: beyond it the
	// clock of the camera was set anew.
	maxGap = 10 * time.Second

	// minStep is the shortest time from picture to picture: at this clock rate,
	// less could be nothing.
	minStep = 100 * time.Microsecond
)

// timeline gives time stamps that always grow.
type timeline struct {
	interval time.Duration // from picture to picture, as configured

	begun  bool
	stamp  time.Duration // last stamp of the camera
	pts    time.Duration // last result
	offset time.Duration // of stamps, so that results are continuous
	epoch  time.Time     // the absolute time of pts 0
}

// captured takes the time stamp that the camera gave to a picture that arrived
// now.
func (t *timeline) captured(stamp time.Duration, now time.Time) (int64, time.Time) {
	if step := stamp - t.stamp; !t.begun || step < minStep || step > maxGap+10*t.interval {
		t.offset = t.resume(now) - stamp
	}
	t.stamp = stamp
	return t.result(stamp+t.offset, now)
}

// arrived stamps a picture that has no stamp, and takes out the jitter.
func (t *timeline) arrived(now time.Time) (int64, time.Time) {
	if !t.begun {
		t.epoch, t.begun = now, true
	} else {
		next := t.pts + t.interval
		late := now.Sub(t.epoch) - next
		if late > time.Second+2*t.interval {
			next, late = next+late, 0 // the camera was silent
		}
		t.pts = max(next+late/16, t.pts+t.interval/4)
	}
	return media.Ticks(t.pts, clockRate), t.epoch.Add(t.pts)
}

// resume is the time of a picture that arrived now, when stamps begin anew.
func (t *timeline) resume(now time.Time) time.Duration {
	if !t.begun {
		return 0
	}
	return max(t.pts+t.interval, now.Sub(t.epoch))
}

// result keeps the absolute time near that of the picture that was delayed
// least, and follows the clock of the machine.
func (t *timeline) result(pts time.Duration, now time.Time) (int64, time.Time) {
	delay := now.Sub(t.epoch) - pts
	switch {
	case !t.begun, delay < 0, delay > maxGap:
		t.epoch, t.begun = now.Add(-pts), true
	default:
		t.epoch = t.epoch.Add(delay / 1024)
	}
	t.pts = pts
	return media.Ticks(pts, clockRate), t.epoch.Add(pts)
}

var errBadStamp = errors.New("what arrives is no time stamp")

// parseStamp understands a line of the time stamps of the program ("timecode
// format v2"): milliseconds. It returns false for comments.
func parseStamp(line []byte) (time.Duration, bool, error) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' {
		return 0, false, nil
	}
	ms, err := strconv.ParseFloat(string(line), 64)
	if err != nil || math.IsNaN(ms) || math.Abs(ms) > 1e12 { // 30 years
		return 0, false, errBadStamp
	}
	return time.Duration(math.Round(ms*1000)) * time.Microsecond, true, nil
}

package rtpbridge

import "time"

const (
	// A track whose time stamps jump by more than this, beyond the time that
	// really went by, has started over: SSRC change, restart of an encoder.
	maxForwardJump = 60 * time.Second
	// Time stamps go backwards by the reordering of B-frames, never this much.
	maxBackwardJump = 10 * time.Second
)

// timeline maps the RTP time stamps of one track, 32 bits wide with a random
// start, to a PTS in ticks of the codec.
type timeline struct {
	rtpRate   int64 // ticks per second of RTP
	codecRate int64 // ticks per second of the PTS

	started bool
	begun   time.Time // arrival of the first packet
	arrival time.Time // of the last packet
	last    uint32    // time stamp of the last packet
	ts      int64     // the same, unwrapped

	anchor int64 // unwrapped time stamp whose PTS is base
	base   int64 // ticks of the codec

	report  senderReport
	aligned bool // the track took part in an alignment
}

// senderReport is the last report of a track (RFC 3550 section 6.4.1).
type senderReport struct {
	valid bool
	ntp   time.Time
	ts    int64 // time stamp, unwrapped
}

// start sets the PTS of the first packet.
func (tl *timeline) start(ts uint32, offset time.Duration, now time.Time) {
	tl.started = true
	tl.last, tl.begun, tl.arrival = ts, now, now
	tl.base = ticksOf(offset, tl.codecRate)
	// a report that came before the first packet was unwrapped around zero
	tl.report.ts = int64(int32(uint32(tl.report.ts) - ts))
}

// advance moves to the time stamp of the next packet. Time stamps may go
// backwards a little.
func (tl *timeline) advance(ts uint32, now time.Time) {
	diff := int64(int32(ts - tl.last)) // wraps around in both directions
	jump := durationOf(diff, tl.rtpRate)
	elapsed := max(now.Sub(tl.arrival), 0)

	if jump > elapsed+maxForwardJump || jump < -maxBackwardJump {
		tl.base = tl.pts(tl.ts) + ticksOf(elapsed, tl.codecRate)
		tl.anchor = tl.ts + diff
		tl.report, tl.aligned = senderReport{}, false
	}
	tl.ts += diff
	tl.last, tl.arrival = ts, now
}

// pts returns the PTS of an unwrapped time stamp.
func (tl *timeline) pts(ts int64) int64 {
	return tl.base + mulDiv(ts-tl.anchor, tl.codecRate, tl.rtpRate)
}

// unwrap returns the time stamp nearest to the last packet.
func (tl *timeline) unwrap(ts uint32) int64 {
	return tl.ts + int64(int32(ts-tl.last))
}

// ntp returns the absolute time of an unwrapped time stamp, zero if no sender
// report came.
func (tl *timeline) ntp(ts int64) time.Time {
	if !tl.report.valid {
		return time.Time{}
	}
	return tl.report.ntp.Add(durationOf(ts-tl.report.ts, tl.rtpRate))
}

// epoch returns the absolute time of PTS zero according to the sender report.
// It is the same for all tracks if they are aligned.
func (tl *timeline) epoch() time.Time {
	return tl.report.ntp.Add(-durationOf(tl.pts(tl.report.ts), tl.codecRate))
}

const (
	// Tracks are aligned by sender reports if they are off by more than this.
	firstCorrection = 5 * time.Millisecond
	// Once aligned, they are left alone until they drift apart by more than this.
	nextCorrection = 100 * time.Millisecond
	// For so long after their start they count as not aligned: who sends them may
	// itself have learned only then where they belong.
	settling = 5 * time.Second
	// Reports that disagree by more than this come from clocks that are not the
	// same.
	maxCorrection = 10 * time.Second
)

// align moves tracks that have sender reports so that what was captured at the
// same time has the same PTS. No track is moved backwards: the one that is latest
// stays, the others are moved towards it.
func align(tracks []*timeline) {
	var with []*timeline
	for _, tl := range tracks {
		if tl.started && tl.report.valid {
			with = append(with, tl)
		}
	}
	if len(with) < 2 {
		return
	}

	threshold := nextCorrection
	first, last := with[0].epoch(), with[0].epoch()
	for _, tl := range with {
		if !tl.aligned || tl.arrival.Sub(tl.begun) < settling {
			threshold = firstCorrection
		}
		if e := tl.epoch(); e.Before(first) {
			first = e
		} else if e.After(last) {
			last = e
		}
	}
	spread := last.Sub(first)
	if spread > maxCorrection {
		return
	}
	for _, tl := range with {
		if spread > threshold {
			tl.base += ticksOf(tl.epoch().Sub(first), tl.codecRate)
		}
		tl.aligned = true
	}
}

// mulDiv returns v*m/d without overflow as long as m*d fits into 63 bits and
// the result does.
func mulDiv(v, m, d int64) int64 {
	if m == d {
		return v
	}
	return v/d*m + v%d*m/d
}

func ticksOf(d time.Duration, rate int64) int64 { return mulDiv(int64(d), rate, int64(time.Second)) }

func durationOf(ticks, rate int64) time.Duration {
	return time.Duration(mulDiv(ticks, int64(time.Second), rate))
}

package srtcore

const (
	// maxClockJump is how far from what is expected a packet's time may be before the clock is set anew, microseconds.
	maxClockJump = 10_000_000

	// driftSamples is over how many acknowledgements the drift of the peer's clock is averaged, as in libsrt (10 seconds).
	driftSamples = 1000

	// maxDriftStep bounds a correction, microseconds.
	maxDriftStep = 5000
)

// tsbpd computes when packets are to be delivered from the timestamps of the peer (section 4.5).
type tsbpd struct {
	origin int64 // our time of the peer's timestamp 0, microseconds
	last   int64 // the last timestamp, unwrapped

	drift    int64 // sum of samples
	samples  int
	firstRTT int64
}

// newTSBPD takes the time of arrival and the timestamp of the request of the caller.
func newTSBPD(arrival int64, ts uint32) tsbpd {
	return tsbpd{origin: arrival - int64(ts), last: int64(ts)}
}

// unwrap extends a timestamp, which wraps every 71 minutes.
func (t *tsbpd) unwrap(ts uint32) int64 { return t.last + int64(int32(ts-uint32(t.last))) }

// playTime returns when a packet is to be delivered. Unless it is a retransmission it may set the clock anew, if that makes no sense.
func (t *tsbpd) playTime(ts uint32, now, latency int64, fresh bool) int64 {
	peer := t.unwrap(ts)
	at := t.origin + peer + latency
	if !fresh {
		return min(at, now+latency+maxClockJump)
	}
	t.last = peer
	if d := at - (now + latency); d > maxClockJump || d < -maxClockJump-latency {
		t.origin = now - peer
		t.drift, t.samples = 0, 0
		return now + latency
	}
	return at
}

// sample takes a timestamp that has just arrived, and corrects the origin a little every so often. Both the origin and the sample
// contain the way of a packet to us, which has changed by half of what the round-trip time has.
func (t *tsbpd) sample(ts uint32, now, rtt int64) {
	if t.firstRTT == 0 {
		t.firstRTT = rtt
	}
	t.drift += now - (t.origin + t.unwrap(ts)) - (rtt-t.firstRTT)/2
	if t.samples++; t.samples < driftSamples {
		return
	}
	t.origin += min(max(t.drift/driftSamples, -maxDriftStep), maxDriftStep)
	t.drift, t.samples = 0, 0
}

// ratePeriod is how long is counted for a rate, microseconds.
const ratePeriod = 1_000_000

// rate measures what goes by. It is about the last full period.
type rate struct {
	since          int64
	packets, bytes int
	perPackets     float64 // per second
	perBytes       float64
}

func (r *rate) roll(now int64) {
	d := now - r.since
	if d < ratePeriod {
		return
	}
	if r.since == 0 || d > 3*ratePeriod {
		r.perPackets, r.perBytes = 0, 0
	} else {
		r.perPackets = float64(r.packets) * 1e6 / float64(d)
		r.perBytes = float64(r.bytes) * 1e6 / float64(d)
	}
	r.since, r.packets, r.bytes = now, 0, 0
}

func (r *rate) add(now int64, packets, bytes int) {
	r.roll(now)
	r.packets += packets
	r.bytes += bytes
}

func (r *rate) perSecond(now int64) (packets, bytes float64) {
	r.roll(now)
	return r.perPackets, r.perBytes
}

// linkProbe estimates the capacity of the link by the distance of every 16th packet and the one after it, which are
// sent back to back (section 4.10 of the draft's forerunner, UDT).
type linkProbe struct {
	seq      seq
	at       int64
	interval float64 // smoothed, microseconds
}

func (l *linkProbe) packet(q seq, now int64) {
	switch {
	case q&15 == 0:
		l.seq, l.at = q, now
	case q&15 == 1 && l.at != 0 && q == l.seq.add(1) && now > l.at:
		d := float64(now - l.at)
		if l.interval == 0 {
			l.interval = d
		}
		l.interval += (d - l.interval) / 8
		l.at = 0
	}
}

// capacity returns packets per second, or 1000 (the initial value of libsrt) while unknown.
func (l *linkProbe) capacity() float64 {
	if l.interval == 0 {
		return 1000
	}
	return 1e6 / l.interval
}

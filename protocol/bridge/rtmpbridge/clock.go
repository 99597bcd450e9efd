package rtmpbridge

// unwrapper turns time stamps of 32 bits into a time line that begins at zero.
type unwrapper struct {
	started bool
	last    uint32
	now     int64
}

func (u *unwrapper) take(ts uint32) int64 {
	if !u.started {
		u.started, u.last = true, ts
	}
	u.now += int64(int32(ts - u.last))
	u.last = ts
	return u.now
}

// maxJitter is how far a time stamp of audio may be from the end of the frame
// before it, milliseconds, and still mean that they are adjacent. Encoders round
// to milliseconds, some to those of a timer.
const maxJitter = 10

// smoother makes time stamps of audio, which are whole milliseconds, as precise
// as the durations of its frames.
type smoother struct {
	rate    int64
	started bool
	next    int64 // ticks
}

// take returns the time stamp, in ticks, of a frame that came at ms and lasts for
// a number of ticks; zero if that is not known.
func (s *smoother) take(ms, duration int64) int64 {
	ticks := ms * s.rate / 1000
	if d := ticks - s.next; s.started && duration > 0 && d*1000 < maxJitter*s.rate && d*1000 > -maxJitter*s.rate {
		ticks = s.next
		// follow a clock that runs at another speed slowly
		const pull = 64
		ticks += d / pull
	}
	s.started = duration > 0
	s.next = ticks + duration
	return ticks
}

// milliseconds converts ticks to whole milliseconds. It does not overflow.
func milliseconds(ticks, rate int64) int64 {
	if rate <= 0 {
		return 0
	}
	ms := ticks/rate*1000 + ticks%rate*1000/rate
	if ticks < 0 && ticks%rate*1000%rate != 0 {
		ms-- // round down, as above zero
	}
	return ms
}

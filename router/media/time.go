package media

import "time"

// Duration converts ticks of a clock to time. It does not overflow for streams
// that last for centuries.
func Duration(ticks int64, clockRate int) time.Duration {
	if clockRate <= 0 {
		return 0
	}
	rate := int64(clockRate)
	return time.Duration(ticks/rate)*time.Second + time.Duration(ticks%rate*int64(time.Second)/rate)
}

// Ticks converts time to ticks of a clock.
func Ticks(d time.Duration, clockRate int) int64 {
	rate := int64(clockRate)
	return int64(d/time.Second)*rate + int64(d%time.Second)*rate/int64(time.Second)
}

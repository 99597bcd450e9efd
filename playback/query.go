package playback

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// timeOf reads a time of the query; zero if it is missing.
func (r *request) timeOf(name string) (time.Time, error) {
	v := r.query.Get(name)
	if v == "" {
		return time.Time{}, nil
	}
	if n := len(v) - len("+02:00"); n > 0 && v[n] == ' ' {
		v = v[:n] + "+" + v[n+1:] // which stands for a space in a URL, unless it is escaped
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		return time.Time{}, requestError(name + ": must be a time such as 2026-01-02T15:04:05Z")
	}
	return t, nil
}

// maxDuration is the longest duration that can be asked for.
const maxDuration = 10 * 365 * 24 * time.Hour

// durationOf reads a duration of the query, in seconds or with a unit.
func (r *request) durationOf(name string) (time.Duration, error) {
	v := r.query.Get(name)
	d, err := time.ParseDuration(v)
	if seconds, err2 := strconv.ParseFloat(v, 64); err2 == nil {
		if math.Abs(seconds) > maxDuration.Seconds() || math.IsNaN(seconds) {
			seconds = 0
		}
		d, err = time.Duration(math.Round(seconds*1e9)), nil
	}
	if err != nil || d <= 0 || d > maxDuration {
		return 0, requestError(fmt.Sprintf("%s: must be a number of seconds, or a duration such as 2m30s, above zero", name))
	}
	return d, nil
}

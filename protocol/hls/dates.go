package hls

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

const (
	tagDate   = "#EXT-X-PROGRAM-DATE-TIME:"
	tagInfo   = "#EXTINF:"
	tagGap    = "#EXT-X-GAP"
	dateStyle = "2006-01-02T15:04:05.999Z07:00"
)

// addDates gives all segments of a playlist their absolute time. gohlslib does so
// for the last two only, but players that line up video and audio by it need it
// where they begin.
func addDates(body []byte) []byte {
	lines := bytes.SplitAfter(body, []byte("\n"))
	date := time.Time{}
	missing := 0 // number of the last segment without a date, that is before one with it
	for i, l := range lines {
		if bytes.HasPrefix(l, []byte(tagDate)) {
			d, err := time.Parse(dateStyle, strings.TrimSpace(string(l[len(tagDate):])))
			if err != nil {
				return body
			}
			date, missing = d, i-1
			break
		}
	}
	dates := map[int]time.Time{} // by number of the line that they go in front of
	for i := missing; i >= 0 && !date.IsZero(); i-- {
		if !bytes.HasPrefix(lines[i], []byte(tagInfo)) {
			continue
		}
		text, _, _ := strings.Cut(string(lines[i][len(tagInfo):]), ",")
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || i > 0 && bytes.HasPrefix(lines[i-1], []byte(tagGap)) {
			break
		}
		date = date.Add(-time.Duration(seconds * float64(time.Second)))
		dates[i] = date
	}
	if len(dates) == 0 {
		return body
	}
	out := make([]byte, 0, len(body)+len(dates)*(len(tagDate)+len(dateStyle)+1))
	for i, l := range lines {
		if d, ok := dates[i]; ok {
			out = append(d.AppendFormat(append(out, tagDate...), dateStyle), '\n')
		}
		out = append(out, l...)
	}
	return out
}

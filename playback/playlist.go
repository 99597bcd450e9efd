package playback

import (
	"math"
	"strconv"
	"time"
)

// place is where a playlist is in the whole.
type place struct {
	sequence, discontinuities int64         // before the first segment
	offset                    time.Duration // at which to begin to play, if not at the beginning
	origin                    int64         // of the time stamps, in microseconds since 1970
	target                    int           // target duration, at least, in seconds
}

// playlist makes a media playlist (RFC 8216 section 4.3.3). The query goes with
// every URL.
func playlist(list []piece, query string, p place, ended bool) []byte {
	if query != "" {
		query = "?" + query
	}
	b := make([]byte, 0, 256+120*len(list))
	line := func(parts ...string) {
		for _, s := range parts {
			b = append(b, s...)
		}
		b = append(b, '\n')
	}
	line("#EXTM3U")
	line("#EXT-X-VERSION:7")
	line("#EXT-X-TARGETDURATION:", strconv.Itoa(max(p.target, targetOf(list))))
	if ended {
		line("#EXT-X-PLAYLIST-TYPE:VOD")
	} else {
		line("#EXT-X-MEDIA-SEQUENCE:", strconv.FormatInt(p.sequence, 10))
		line("#EXT-X-DISCONTINUITY-SEQUENCE:", strconv.FormatInt(p.discontinuities, 10))
	}
	line("#EXT-X-INDEPENDENT-SEGMENTS")
	if p.offset > 0 && ended {
		line("#EXT-X-START:TIME-OFFSET=", seconds(p.offset), ",PRECISE=YES")
	}
	origin := strconv.FormatInt(p.origin, 10)
	for i, x := range list {
		id := strconv.FormatInt(x.id, 10)
		if x.breaks && i > 0 {
			line("#EXT-X-DISCONTINUITY")
		}
		switch {
		case x.init && x.head > 0:
			line(`#EXT-X-MAP:URI="`, x.fileURL(p.origin), query, `",BYTERANGE="`, strconv.FormatInt(x.head, 10), `@0"`)
		case x.init:
			line(`#EXT-X-MAP:URI="init_`, id, ".mp4", query, `"`)
		}
		line("#EXT-X-PROGRAM-DATE-TIME:", x.at.UTC().Format("2006-01-02T15:04:05.000000Z07:00"))
		line("#EXTINF:", seconds(x.to-x.from), ",")
		if x.head > 0 {
			line("#EXT-X-BYTERANGE:", strconv.FormatInt(x.end-x.begin, 10), "@", strconv.FormatInt(x.begin, 10))
			line(x.fileURL(p.origin), query)
			continue
		}
		line(id, "_", micros(x.from), "_", micros(x.to), "_", origin, ".m4s", query)
	}
	if ended {
		line("#EXT-X-ENDLIST")
	}
	return b
}

// originOf is such that the first file needs no other time stamps. If segments are
// made, it leaves some time in front of the first one: decoding may begin before
// presentation.
func originOf(list []piece) int64 {
	if list[0].head > 0 {
		return list[0].start
	}
	return list[0].at.Add(-patience).UnixMicro()
}

// fileURL is that of the file with time stamps that count from an origin.
func (x piece) fileURL(origin int64) string {
	if x.start == origin {
		return strconv.FormatInt(x.id, 10) + ".mp4"
	}
	return strconv.FormatInt(x.id, 10) + "_" + strconv.FormatInt(origin, 10) + ".mp4"
}

// targetOf is the duration of the longest segment, in seconds.
func targetOf(list []piece) int {
	longest := time.Second
	for _, x := range list {
		longest = max(longest, x.to-x.from)
	}
	return int(math.Ceil(longest.Seconds()))
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

// micros is exact: pieces begin and end at whole microseconds, except for the
// end of the recording, behind which there is nothing.
func micros(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Microsecond-1)/time.Microsecond), 10)
}

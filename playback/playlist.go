package playback

import (
	"math"
	"strconv"
	"sync"
	"time"
)

// place is where a playlist is in the whole.
type place struct {
	sequence, discontinuities int64         // before the first segment
	offset                    time.Duration // at which to begin to play, if not at the beginning
	origin                    int64         // of the time stamps, in microseconds since 1970
}

// playlist makes a media playlist (RFC 8216 section 4.3.3). The query goes with
// every URL.
func playlist(list []piece, query string, p place, ended bool) []byte {
	if query != "" {
		query = "?" + query
	}
	longest := time.Second
	for _, x := range list {
		longest = max(longest, x.to-x.from)
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
	line("#EXT-X-TARGETDURATION:", strconv.Itoa(int(math.Ceil(longest.Seconds()))))
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
		if x.init {
			line(`#EXT-X-MAP:URI="init_`, id, ".mp4", query, `"`)
		}
		line("#EXT-X-PROGRAM-DATE-TIME:", x.at.UTC().Format("2006-01-02T15:04:05.000000Z07:00"))
		line("#EXTINF:", seconds(x.to-x.from), ",")
		line(id, "_", micros(x.from), "_", micros(x.to), "_", origin, ".m4s", query)
	}
	if ended {
		line("#EXT-X-ENDLIST")
	}
	return b
}

// originOf leaves some time in front of the first segment: decoding may begin
// before presentation.
func originOf(list []piece) int64 { return list[0].at.Add(-patience).UnixMicro() }

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

// micros is exact: pieces begin and end at whole microseconds, except for the
// end of the recording, behind which there is nothing.
func micros(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Microsecond-1)/time.Microsecond), 10)
}

// windows remembers how far sliding playlists have come, so that the numbers of
// their segments stay the same.
type windows struct {
	mu   sync.Mutex
	list map[windowKey]*windowState
}

type windowKey struct {
	path   string
	length time.Duration
}

type windowState struct {
	used  time.Time
	place place
	list  []piece
}

// maxRemembered bounds how many segments are remembered: some 10 MB.
const maxRemembered = 1 << 17

func newWindows() *windows { return &windows{list: map[windowKey]*windowState{}} }

// place returns the numbers of a window that was asked for again.
func (w *windows) place(path string, length time.Duration, list []piece) place {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := windowKey{path, length}
	now := time.Now()
	old := w.list[key]
	// time goes on faster than numbers do: after a restart they are higher
	p := place{sequence: list[0].at.Unix(), origin: originOf(list)}
	if old != nil {
		p = old.advance(list[0])
	}
	w.list[key] = &windowState{now, p, list}
	w.forget(key)
	return p
}

// advance counts the segments, and the marks in front of them, that have left the
// window.
func (s *windowState) advance(first piece) place {
	p := s.place
	for i, x := range s.list {
		if i > 0 && x.breaks {
			p.discontinuities++
		}
		if x.id == first.id && x.from == first.from {
			return p
		}
		p.sequence++
	}
	p.discontinuities++ // nothing is left of what was there
	return p
}

// forget removes those that were not asked for the longest, except for one.
func (w *windows) forget(except windowKey) {
	total := 0
	for _, s := range w.list {
		total += len(s.list)
	}
	for total > maxRemembered && len(w.list) > 1 {
		var oldest windowKey
		var used time.Time
		for k, s := range w.list {
			if k != except && (used.IsZero() || s.used.Before(used)) {
				oldest, used = k, s.used
			}
		}
		total -= len(w.list[oldest].list)
		delete(w.list, oldest)
	}
}

package hls

import (
	"bytes"
	"context"
	"net/url"
	"strconv"
	"strings"
)

// gohlslib begins playlists of low latency with segments that do not exist
// (EXT-X-GAP), because players of Apple want a playlist of some length. GStreamer
// (1.22) does not know the tag, asks for them, and gives up.

// knowsGaps judges a client by its name.
func knowsGaps(userAgent string) bool { return !strings.Contains(userAgent, "GStreamer") }

// startSegments is how many segments a client must see that does not know gaps:
// GStreamer starts three before the end, and stumbles when it gets there.
const startSegments = 4

// getWithoutGaps is get for clients that do not know gaps.
func (in *instance) getWithoutGaps(ctx context.Context, file string, q url.Values) (*answer, error) {
	for {
		in.cacheMu.Lock()
		next := in.next
		in.cacheMu.Unlock()
		a, err := in.get(ctx, file, q)
		if err != nil {
			return nil, err
		}
		if segments(a.body) >= startSegments {
			return a.derive("\x00gaps", withoutGaps), nil
		}
		select {
		case <-next:
		case <-in.done:
			return nil, errRestart
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// withoutGaps removes the gaps that a playlist begins with, as if they had been
// there long ago.
func withoutGaps(body []byte) []byte {
	const sequence = "#EXT-X-MEDIA-SEQUENCE:"
	gaps := bytes.Count(body, []byte(tagGap))
	if gaps == 0 {
		return body
	}
	var out []byte
	skip := 0 // lines of the segment
	for line := range bytes.Lines(body) {
		switch {
		case skip > 0:
			skip--
		case bytes.HasPrefix(line, []byte(tagGap)):
			skip = 2 // #EXTINF and the URL
		case bytes.HasPrefix(line, []byte(sequence)):
			n, _ := strconv.Atoi(strings.TrimSpace(string(line[len(sequence):])))
			out = append(strconv.AppendInt(append(out, sequence...), int64(n+gaps), 10), '\n')
		default:
			out = append(out, line...)
		}
	}
	return out
}

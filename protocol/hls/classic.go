package hls

import (
	"bytes"
	"context"
	"strconv"
	"strings"
)

// GStreamer (1.22) knows nothing of low latency, but does not leave it out either:
// gohlslib begins playlists with segments that do not exist (EXT-X-GAP), because
// players of Apple want a playlist of some length, and GStreamer asks for them
// and gives up. It gets the playlist of the variant FMP4.

// knowsLowLatency judges a client by its name.
func knowsLowLatency(userAgent string) bool { return !strings.Contains(userAgent, "GStreamer") }

// getClassic is get for clients that do not know low latency.
func (in *instance) getClassic(ctx context.Context, file string, q directives) (*answer, error) {
	for {
		next := in.nextVersion()
		a, err := in.get(ctx, file, q)
		if err != nil {
			return nil, err
		}
		if segments(a.body) >= minSegments {
			return a.derive("\x00classic", classic), nil
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

// classic removes low latency from a playlist, and the gaps that it begins with,
// as if these had been there long ago.
func classic(body []byte) []byte {
	const sequence = "#EXT-X-MEDIA-SEQUENCE:"
	gaps := bytes.Count(body, []byte(tagGap))
	var out []byte
	skip := 0 // lines of the segment
	for line := range bytes.Lines(body) {
		switch {
		case skip > 0:
			skip--
		case bytes.HasPrefix(line, []byte(tagGap)):
			skip = 2 // #EXTINF and the URL
		case bytes.HasPrefix(line, []byte("#EXT-X-PART")), bytes.HasPrefix(line, []byte("#EXT-X-PRELOAD-HINT")),
			bytes.HasPrefix(line, []byte("#EXT-X-SERVER-CONTROL")):
		case bytes.HasPrefix(line, []byte(sequence)):
			n, _ := strconv.Atoi(strings.TrimSpace(string(line[len(sequence):])))
			out = append(strconv.AppendInt(append(out, sequence...), int64(n+gaps), 10), '\n')
		default:
			out = append(out, line...)
		}
	}
	return out
}

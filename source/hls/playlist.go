package hls

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"
)

// gap stands in place of an initialization segment for segments that are missing.
const gap = "gap"

// tidied is a playlist with only what the client needs: its parser refuses the
// whole of it for one tag that is new, or not quite right.
type tidied struct {
	body  []byte
	inits []string // by segment: the EXT-X-MAP tag that applies to it, or gap
	tail  string   // the EXT-X-MAP tag that applies to what follows
}

// tidy fails if segments are encrypted.
func tidy(body []byte) (*tidied, error) {
	t := &tidied{}
	var out bytes.Buffer
	out.WriteString("#EXTM3U\n")
	missing := false
	for line := range strings.Lines(string(bytes.TrimPrefix(body, byteOrderMark))) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "#EXT-X-KEY", "#EXT-X-SESSION-KEY":
			if m := method(value); m != "NONE" {
				return nil, fmt.Errorf("the segments are encrypted by %.20s, which is not supported", m)
			}
			continue
		case "#EXT-X-MAP":
			t.tail = line
		case "#EXT-X-GAP":
			missing = true
		default:
			if line = tidyLine(line, name, value); line == "" {
				continue
			}
		}
		out.WriteString(line + "\n")
		if line[0] == '#' {
			continue
		}
		if missing {
			t.inits = append(t.inits, gap)
		} else {
			t.inits = append(t.inits, t.tail)
		}
		missing = false
	}
	t.body = out.Bytes()
	return t, nil
}

// method returns the METHOD of a key.
func method(attributes string) string {
	_, m, _ := strings.Cut(attributes, "METHOD=")
	m, _, _ = strings.Cut(m, ",")
	return m
}

// tidyLine returns "" for lines that are not needed.
func tidyLine(line, name, value string) string {
	switch name {
	case "#EXT-X-TARGETDURATION", "#EXT-X-SKIP", "#EXT-X-SERVER-CONTROL", "#EXT-X-PART-INF", "#EXT-X-PART", "#EXT-X-ENDLIST",
		"#EXT-X-DISCONTINUITY", "#EXT-X-BYTERANGE", "#EXT-X-STREAM-INF":
		return line
	case "#EXTINF":
		seconds, _, _ := strings.Cut(value, ",")
		seconds = strings.TrimSpace(seconds)
		if n, err := strconv.ParseFloat(seconds, 64); err == nil && n == 0 { // that of no picture, or of one
			seconds = "0.001"
		}
		return "#EXTINF:" + seconds + ","
	case "#EXT-X-MEDIA-SEQUENCE":
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64); err == nil { // the client counts to 2^31
			return name + ":" + strconv.FormatUint(n&(1<<30-1), 10)
		}
		return line
	case "#EXT-X-PLAYLIST-TYPE":
		if value == string(playlist.MediaPlaylistTypeVOD) || value == string(playlist.MediaPlaylistTypeEvent) {
			return line
		}
	case "#EXT-X-PRELOAD-HINT":
		if strings.Contains(value, "TYPE=PART") {
			return line
		}
	case "#EXT-X-MEDIA":
		if strings.Contains(value, "TYPE=AUDIO") {
			return line
		}
	case "#EXT-X-PROGRAM-DATE-TIME":
		for _, layout := range []string{"2006-01-02T15:04:05.999Z07:00", "2006-01-02T15:04:05.999Z0700"} {
			if _, err := time.Parse(layout, value); err == nil {
				return line
			}
		}
	default:
		if line != "" && line[0] != '#' {
			return line
		}
	}
	return ""
}

// byteOrderMark is what some servers begin with.
var byteOrderMark = []byte("\xef\xbb\xbf")

// parse survives panics of the parser.
func parse(body []byte) (pl playlist.Playlist, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return playlist.Unmarshal(body)
}

// parseMap reads an EXT-X-MAP tag; nil if there is none.
func parseMap(tag string) *playlist.MediaMap {
	if tag == "" {
		return nil
	}
	var pl playlist.Media
	if err := pl.Unmarshal([]byte("#EXTM3U\n#EXT-X-TARGETDURATION:1\n" + tag + "\n#EXTINF:1,\nx\n")); err != nil {
		return nil
	}
	return pl.Map
}

// checkPlaylist refuses what the client would misunderstand, and finds the
// beginning of byte ranges. It returns true if it has changed something.
func checkPlaylist(pl *playlist.Media) (changed bool, err error) {
	if d := time.Duration(pl.TargetDuration) * time.Second; d < 0 || d > maxDuration {
		return false, fmt.Errorf("target duration of %d seconds: at most %v is accepted", pl.TargetDuration, maxDuration)
	}
	uri, next := "", uint64(0)
	for _, s := range pl.Segments {
		if s.Duration < 0 || s.Duration > maxDuration {
			return false, fmt.Errorf("a segment of %v: at most %v is accepted", s.Duration, maxDuration)
		}
		if s.ByteRangeLength == nil {
			uri = ""
			continue
		}
		// without an offset a range begins where the one before has ended (RFC 8216
		// section 4.3.2.2)
		start := s.ByteRangeStart
		if start == nil && s.URI == uri && next > 0 {
			start, changed = &next, true
			s.ByteRangeStart = new(*start)
		}
		if err := checkRange(start, *s.ByteRangeLength); err != nil {
			return false, err
		}
		uri, next = s.URI, *s.ByteRangeLength
		if start != nil {
			next = *s.ByteRangeStart + *s.ByteRangeLength
		}
	}
	if m := pl.Map; m != nil && m.ByteRangeLength != nil {
		return changed, checkRange(m.ByteRangeStart, *m.ByteRangeLength)
	}
	return changed, nil
}

func checkRange(start *uint64, length uint64) error {
	if length == 0 || length > largestMaxSegmentSize || start != nil && *start > 1<<62 {
		return errors.New("an absurd byte range")
	}
	return nil
}

// checkMultivariant bounds what the client would start.
func checkMultivariant(pl *playlist.Multivariant) error {
	if len(pl.Variants) > maxVariants {
		return fmt.Errorf("the playlist has %d variants, at most %d are accepted", len(pl.Variants), maxVariants)
	}
	groups := map[string]int{}
	for _, r := range pl.Renditions {
		groups[r.GroupID]++
		if groups[r.GroupID] > maxRenditions {
			return fmt.Errorf("the playlist has more than %d renditions in group %q", maxRenditions, r.GroupID)
		}
	}
	return nil
}

// choose leaves the variant with the greatest bandwidth whose codecs are
// supported, and the playlists with its audio. The client would refuse some
// codecs that it can read.
func choose(pl *playlist.Multivariant, base *url.URL) ([]byte, error) {
	if err := checkMultivariant(pl); err != nil {
		return nil, err
	}
	var best *playlist.MultivariantVariant
	for _, v := range pl.Variants {
		if supported(v.Codecs) && (best == nil || v.Bandwidth > best.Bandwidth) {
			best = v
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no variant has supported codecs: one has %q", strings.Join(pl.Variants[0].Codecs, ","))
	}
	v := &playlist.MultivariantVariant{Bandwidth: best.Bandwidth, URI: best.URI, Codecs: []string{"avc1."}} // that suffices
	used := map[string]bool{resolve(base, v.URI): true}
	out := playlist.Multivariant{Version: 3, Variants: []*playlist.MultivariantVariant{v}}
	for _, r := range pl.Renditions {
		if r.GroupID != best.Audio || r.URI == nil || used[resolve(base, *r.URI)] {
			continue // without a URI it is part of the variant
		}
		used[resolve(base, *r.URI)] = true
		v.Audio = best.Audio
		out.Renditions = append(out.Renditions, r)
	}
	return out.Marshal()
}

// supported reads CODECS (RFC 6381), which may be missing.
func supported(codecs []string) bool {
	for _, c := range codecs {
		c, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(c)), ".")
		switch c {
		case "", "avc1", "avc3", "hvc1", "hev1", "av01", "vp09", "mp4a", "opus", "flac":
		case "wvtt", "stpp": // subtitles, which are left alone
		default:
			return false
		}
	}
	return true
}

// resolve returns the absolute form of a URI, without credentials.
func resolve(base *url.URL, uri string) string {
	u, err := base.Parse(uri)
	if err != nil {
		return uri
	}
	return plain(u)
}

func plain(u *url.URL) string {
	c := *u
	c.User = nil
	return c.String()
}

package hls

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

// list is a media playlist that was read strictly (RFC 8216bis).
type list struct {
	text          string
	version       int
	target        float64
	sequence      int
	discontinuity int
	mapURI        string
	skipped       int // -1: it is not a delta update
	control       map[string]string
	partTarget    float64
	segments      []segment // the last one has no URI if it is only in parts
	hint          string
}

type segment struct {
	uri      string
	duration float64
	date     time.Time
	gap      bool
	parts    []map[string]string // attributes
}

var attributes = regexp.MustCompile(`^([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(,|$)`)

// attributeList reads RFC 8216bis section 4.2.
func attributeList(s string) (map[string]string, error) {
	out := map[string]string{}
	for s != "" {
		m := attributes.FindStringSubmatch(s)
		if len(m) == 0 || m[3] == "," && len(s) == len(m[0]) {
			return nil, fmt.Errorf("bad attributes %q", s)
		}
		if _, ok := out[m[1]]; ok {
			return nil, fmt.Errorf("%s is there twice", m[1])
		}
		out[m[1]], s = strings.Trim(m[2], `"`), s[len(m[0]):]
	}
	return out, nil
}

// seconds reads a decimal-floating-point.
func seconds(s string) float64 {
	if !regexp.MustCompile(`^\d+(\.\d+)?$`).MatchString(s) {
		return math.NaN()
	}
	f, _ := strconv.ParseFloat(s, 64)
	return f
}

// versions are those that tags need (section 8).
var versions = map[string]int{"#EXT-X-MAP": 6, "#EXT-X-GAP": 8, "#EXT-X-SKIP": 9, "#EXTINF": 3}

// parseList reads a playlist, and returns what is wrong with it.
func parseList(text string) (l *list, faults []string) {
	l = &list{text: text, skipped: -1}
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	lines := strings.Split(text, "\n")
	if len(lines) < 3 || lines[0] != "#EXTM3U" || lines[len(lines)-1] != "" {
		return l, []string{"no playlist"}
	}
	seen, needs := map[string]int{}, 1
	var s segment
	ready := false // after EXTINF
	for _, line := range lines[1 : len(lines)-1] {
		tag, value, _ := strings.Cut(line, ":")
		seen[tag]++
		needs = max(needs, versions[tag])
		number, _ := strconv.Atoi(value)
		var attrs map[string]string
		switch tag {
		case "#EXT-X-MAP", "#EXT-X-SERVER-CONTROL", "#EXT-X-PART-INF", "#EXT-X-PART", "#EXT-X-PRELOAD-HINT", "#EXT-X-SKIP":
			var err error
			if attrs, err = attributeList(value); err != nil {
				fault("%v in %s", err, line)
			}
		}
		switch tag {
		case "#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE", "#EXT-X-SERVER-CONTROL", "#EXT-X-PART-INF", "#EXT-X-SKIP":
			if seen[tag] > 1 || len(l.segments) > 0 || s.duration != 0 || s.parts != nil {
				fault("%s is too late", line)
			}
			if attrs == nil && strconv.Itoa(number) != value {
				fault("bad number in %s", line)
			}
		case "#EXT-X-PRELOAD-HINT":
		default:
			if l.hint != "" {
				fault("%s after what is announced", line)
			}
		}
		switch tag {
		case "#EXT-X-VERSION":
			l.version = number
		case "#EXT-X-TARGETDURATION":
			l.target = float64(number)
		case "#EXT-X-MEDIA-SEQUENCE":
			l.sequence = number
		case "#EXT-X-DISCONTINUITY-SEQUENCE":
			l.discontinuity = number
		case "#EXT-X-SERVER-CONTROL":
			l.control = attrs
		case "#EXT-X-PART-INF":
			l.partTarget = seconds(attrs["PART-TARGET"])
		case "#EXT-X-SKIP":
			l.skipped, _ = strconv.Atoi(attrs["SKIPPED-SEGMENTS"])
		case "#EXT-X-MAP":
			if l.mapURI = attrs["URI"]; seen[tag] > 1 || len(l.segments) > 0 {
				fault("%s in the middle", line)
			}
		case "#EXT-X-GAP":
			s.gap = true
		case "#EXT-X-PROGRAM-DATE-TIME":
			var err error
			if s.date, err = time.Parse(time.RFC3339Nano, value); err != nil || s.parts != nil {
				fault("%s", line)
			}
		case "#EXT-X-PART":
			s.parts = append(s.parts, attrs)
		case "#EXTINF":
			d, _, comma := strings.Cut(value, ",")
			if s.duration = seconds(d); ready || !comma || !(s.duration > 0) {
				fault("%s", line)
			}
			ready = true
		case "#EXT-X-PRELOAD-HINT":
			if l.hint = attrs["URI"]; attrs["TYPE"] != "PART" || seen[tag] > 1 {
				fault("%s", line)
			}
		case "#EXT-X-ALLOW-CACHE": // of earlier versions
			if l.version >= 7 {
				fault("%s in version %d", line, l.version)
			}
		default:
			if line == "" || line[0] == '#' || !ready {
				fault("%q is not expected", line)
			}
			s.uri, ready = line, false
			l.segments = append(l.segments, s)
			s = segment{}
		}
	}
	if ready || s.gap || !s.date.IsZero() {
		fault("the last segment has no URL")
	}
	if s.parts != nil {
		l.segments = append(l.segments, s)
	}
	if l.version < needs {
		fault("version %d, tags of version %d", l.version, needs)
	}
	for _, tag := range []string{"#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE"} {
		if seen[tag] != 1 {
			fault("%s is there %d times", tag, seen[tag])
		}
	}
	return l, append(faults, l.durations()...)
}

// durations checks what a playlist says about time.
func (l *list) durations() (faults []string) {
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	var end time.Time
	for i, s := range l.segments {
		if math.Round(s.duration) > l.target {
			fault("a segment of %v s with a target of %v s", s.duration, l.target)
		}
		if !end.IsZero() && s.uri != "" && (s.date.IsZero() || s.date.Sub(end).Abs() > 5*time.Millisecond) {
			fault("%s is at %v, the one before ends at %v", s.uri, s.date, end)
		}
		if end = (time.Time{}); !s.date.IsZero() {
			end = s.date.Add(time.Duration(s.duration * float64(time.Second)))
		}
		sum := 0.0
		for n, p := range s.parts {
			d := seconds(p["DURATION"])
			if sum += d; d > l.partTarget || !(d > 0) || p["URI"] == "" {
				fault("part %v with a target of %v s", p, l.partTarget)
			}
			if last := n == len(s.parts)-1; !last && d < 0.85*l.partTarget {
				fault("part %v is much shorter than the target of %v s", p, l.partTarget)
			}
		}
		if s.uri != "" && s.parts != nil && math.Abs(sum-s.duration) > 0.001 {
			fault("parts of %v s in a segment of %v s", sum, s.duration)
		}
		if s.uri == "" && i != len(l.segments)-1 {
			fault("a segment without a URL")
		}
	}
	if l.control == nil {
		if l.hint != "" || l.partTarget != 0 {
			fault("low latency without EXT-X-SERVER-CONTROL")
		}
		return faults
	}
	if hold := seconds(l.control["PART-HOLD-BACK"]); l.control["CAN-BLOCK-RELOAD"] != "YES" || !(hold >= 2*l.partTarget) || !(l.partTarget > 0) {
		fault("control %v with a part target of %v", l.control, l.partTarget)
	}
	if s := seconds(l.control["CAN-SKIP-UNTIL"]); !(s >= 6*l.target) {
		fault("control %v with a target of %v", l.control, l.target)
	}
	if h, ok := l.control["HOLD-BACK"]; ok && !(seconds(h) >= 3*l.target) {
		fault("control %v with a target of %v", l.control, l.target)
	}
	return faults
}

// complete returns the number of the first segment that is not complete.
func (l *list) complete() int {
	n := l.sequence + max(l.skipped, 0) + len(l.segments)
	if k := len(l.segments); k > 0 && l.segments[k-1].uri == "" {
		n--
	}
	return n
}

// at returns a segment by its number.
func (l *list) at(n int) *segment {
	if i := n - l.sequence - max(l.skipped, 0); i >= 0 && i < len(l.segments) {
		return &l.segments[i]
	}
	return nil
}

// follows checks a playlist against an earlier one (sections 6.2.1 and 6.2.2).
func (l *list) follows(old *list) (faults []string) {
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	if l.sequence < old.sequence || l.discontinuity < old.discontinuity || l.complete() < old.complete() || l.target < old.target {
		fault("numbers %d, %d, %d, target %v after %d, %d, %d, %v", l.sequence, l.discontinuity, l.complete(), l.target,
			old.sequence, old.discontinuity, old.complete(), old.target)
	}
	if l.discontinuity == old.discontinuity && l.mapURI != old.mapURI && l.skipped < 0 && old.skipped < 0 {
		fault("map %s after %s", l.mapURI, old.mapURI)
	}
	for n := old.sequence; n <= old.complete(); n++ {
		a, b := old.at(n), l.at(n)
		if a == nil || b == nil {
			continue
		}
		if a.uri != "" && (a.uri != b.uri || a.duration != b.duration || a.gap != b.gap || a.date.Sub(b.date).Abs() > 2*time.Millisecond) {
			fault("segment %d is %+v, and was %+v", n, b, a)
		}
		for i, p := range a.parts {
			if len(b.parts) > 0 && (i >= len(b.parts) || fmt.Sprint(p) != fmt.Sprint(b.parts[i])) {
				fault("part %d of segment %d was %v, in %v", i, n, p, b.parts)
			}
		}
	}
	return faults
}

// strict fetches and checks a media playlist.
func (g *rig) strict(url string, old *list) *list {
	g.t.Helper()
	res, text := g.get(url)
	if res.StatusCode != 200 {
		g.t.Fatalf("%s: %d %s", url, res.StatusCode, text)
	}
	l, faults := parseList(text)
	if old != nil {
		faults = append(faults, l.follows(old)...)
	}
	if len(faults) > 0 {
		g.t.Fatalf("%s: %s\n%s", url, strings.Join(faults, "\n"), text)
	}
	return l
}

// file fetches what a playlist names.
func (g *rig) file(name string) string {
	g.t.Helper()
	res, body := g.get("/cam/" + name)
	if res.StatusCode != 200 || body == "" {
		g.t.Errorf("%s: %d, %d bytes", name, res.StatusCode, len(body))
	}
	return body
}

// samples checks a segment of fragmented MP4, and returns its time.
func (g *rig) samples(name, body string, scale uint32) (start, end float64, independent bool) {
	g.t.Helper()
	var parts fmp4.Parts
	if err := parts.Unmarshal([]byte(body)); err != nil || len(parts) == 0 {
		g.t.Fatalf("%s: %v", name, err)
	}
	for i, p := range parts {
		if len(p.Tracks) != 1 || len(p.Tracks[0].Samples) == 0 {
			g.t.Fatalf("%s: part %d: %+v", name, i, p.Tracks)
		}
		tr := p.Tracks[0]
		at := float64(tr.BaseTime) / float64(scale)
		if i == 0 {
			start, end, independent = at, at, !tr.Samples[0].IsNonSyncSample
		}
		if math.Abs(at-end) > 0.001 {
			g.t.Errorf("%s: part %d is at %v, the one before ends at %v", name, i, at, end)
		}
		end = at
		for _, s := range tr.Samples {
			end += float64(s.Duration) / float64(scale)
		}
	}
	return start, end, independent
}

// codecName is that of RFC 6381.
func codecName(c codecs.Codec) string {
	switch c := c.(type) {
	case *codecs.H264:
		return fmt.Sprintf("avc1.%x", c.SPS[1:4])
	case *codecs.MPEG4Audio:
		return "mp4a.40." + strconv.Itoa(int(c.Config.Type))
	case *codecs.Opus:
		return "opus"
	}
	return fmt.Sprintf("%T", c)
}

// rendition is a media playlist with what is in it.
type rendition struct {
	url   string
	scale uint32
	codec string
	list  *list
	end   float64         // of the last segment that was checked
	next  int             // number of the one after it
	rates map[int]float64 // of segments, in bit/s
}

// contents checks the segments that have come since the last call.
func (g *rig) contents(r *rendition, leading bool) {
	g.t.Helper()
	if r.list.mapURI != "" && r.scale == 0 {
		var init fmp4.Init
		if err := init.Unmarshal(bytes.NewReader([]byte(g.file(r.list.mapURI)))); err != nil || len(init.Tracks) != 1 {
			g.t.Fatalf("%s: %v", r.list.mapURI, err)
		}
		r.scale, r.codec = init.Tracks[0].TimeScale, codecName(init.Tracks[0].Codec)
	}
	for n := max(r.next, r.list.sequence); n < r.list.complete(); n++ {
		s := r.list.at(n)
		if s.gap {
			continue
		}
		if age := time.Since(s.date); age < 0 || age > patience {
			g.t.Errorf("%s is %v old", s.uri, age)
		}
		body := g.file(s.uri)
		r.rates[n] = float64(len(body)) * 8 / s.duration
		if r.scale == 0 {
			if len(body)%188 != 0 || body[0] != 0x47 {
				g.t.Errorf("%s is no transport stream", s.uri)
			}
			continue
		}
		start, end, independent := g.samples(s.uri, body, r.scale)
		if r.next == n && n > 0 && math.Abs(start-r.end) > 0.001 || !independent {
			g.t.Errorf("%s begins at %v with a key frame: %v; the one before ends at %v", s.uri, start, independent, r.end)
		}
		if leading && math.Abs(end-start-s.duration) > 0.001 {
			g.t.Errorf("%s: %v s, in the playlist %v s", s.uri, end-start, s.duration)
		}
		r.next, r.end = n+1, end
		var joined strings.Builder
		for i, p := range s.parts {
			part := g.file(p["URI"])
			joined.WriteString(part)
			_, _, independent := g.samples(p["URI"], part, r.scale)
			if says := p["INDEPENDENT"] == "YES"; says != independent || i == 0 && !says {
				g.t.Errorf("part %d of %s: %v, begins with a key frame: %v", i, s.uri, p, independent)
			}
		}
		if s.parts != nil && joined.String() != body {
			g.t.Errorf("%s is not the sum of its parts", s.uri)
		}
	}
}

// index checks a multivariant playlist, and returns its renditions.
func (g *rig) index(video bool) (rs []*rendition, codecs []string, bandwidth float64) {
	g.t.Helper()
	_, text := g.get("/cam/index.m3u8")
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != "#EXTM3U" || strings.Count(text, "#EXT-X-VERSION:") != 1 {
		g.t.Fatalf("no playlist: %s", text)
	}
	groups := map[string]bool{}
	for i, line := range lines[1:] {
		tag, value, _ := strings.Cut(line, ":")
		switch tag {
		case "#EXT-X-MEDIA", "#EXT-X-STREAM-INF":
		default:
			continue
		}
		attrs, err := attributeList(value)
		if err != nil {
			g.t.Errorf("%s: %v", line, err)
		}
		if tag == "#EXT-X-MEDIA" {
			groups[attrs["GROUP-ID"]] = true
			if uri := attrs["URI"]; uri != "" {
				rs = append(rs, &rendition{url: "/cam/" + uri, rates: map[int]float64{}})
			}
			if attrs["TYPE"] != "AUDIO" || attrs["NAME"] == "" || attrs["GROUP-ID"] == "" {
				g.t.Errorf("%s", line)
			}
			continue
		}
		rs = slices.Insert(rs, 0, &rendition{url: "/cam/" + lines[i+2], rates: map[int]float64{}})
		codecs, bandwidth = strings.Split(attrs["CODECS"], ","), seconds(attrs["BANDWIDTH"])
		if avg := seconds(attrs["AVERAGE-BANDWIDTH"]); !(bandwidth >= avg) || !(avg > 0) {
			g.t.Errorf("%s", line)
		}
		if (attrs["RESOLUTION"] != "") != video || attrs["AUDIO"] != "" && !groups[attrs["AUDIO"]] {
			g.t.Errorf("%s", line)
		}
	}
	return rs, codecs, bandwidth
}

// Playlists, and what they name, are what RFC 8216bis demands, while they grow
// and after the publisher has come back with other parameters.
func TestConformance(t *testing.T) {
	t.Parallel()
	opus := []media.Track{{Codec: &media.H264{}}, {Codec: &media.Opus{ChannelCount: 2}}}
	for _, c := range []struct {
		name    string
		variant Variant
		tracks  []media.Track
	}{
		{"video and audio", MPEGTS, videoAudio()},
		{"video and audio", FMP4, videoAudio()},
		{"video and audio", LowLatency, videoAudio()},
		{"video", LowLatency, videoAudio()[:1]},
		{"audio", MPEGTS, videoAudio()[1:]},
		{"audio", FMP4, videoAudio()[1:]},
		{"audio", LowLatency, videoAudio()[1:]},
		{"Opus", LowLatency, opus},
	} {
		t.Run(c.name+" "+string(c.variant), func(t *testing.T) {
			t.Parallel()
			count := 3
			if c.variant == LowLatency {
				count = 15 // so that there is something to leave out
			}
			g := newRig(t, Server{Variant: c.variant, SegmentCount: count}, nil)
			stop := g.publish("cam", c.tracks, sps1080)
			before := g.follow(c.name != "audio", count, 0, nil)
			stop()
			g.publish("cam", c.tracks, sps48)
			eventually(t, "the new stream", func() bool {
				res, text := g.get(before[0].url)
				l, _ := parseList(text)
				return res.StatusCode == 200 && l.discontinuity == 1
			})
			g.follow(c.name != "audio", count, 1, before)
		})
	}
}

// follow checks all playlists of a stream while they grow.
func (g *rig) follow(video bool, count, discontinuity int, before []*rendition) []*rendition {
	g.t.Helper()
	rs, codecs, bandwidth := g.index(video)
	begin := make([]int, len(rs))
	for grown := false; !grown; time.Sleep(30 * time.Millisecond) { // the pace of a client
		grown = true
		for i, r := range rs {
			if r.list == nil && before != nil {
				r.list = before[i].list
			}
			r.list = g.strict(r.url, r.list)
			if begin[i] == 0 {
				begin[i] = r.list.complete()
			}
			grown = grown && r.list.complete() >= begin[i]+count/3
			if r.list.discontinuity != discontinuity || r.list.complete()-r.list.sequence > count+1 {
				g.t.Errorf("%s: discontinuity %d instead of %d, %d segments instead of %d", r.url,
					r.list.discontinuity, discontinuity, r.list.complete()-r.list.sequence, count)
			}
			g.contents(r, i == 0)
			if r.list.control != nil {
				g.reloads(r)
			}
		}
	}
	g.announced(rs, codecs, bandwidth)
	return rs
}

// announced checks what a multivariant playlist says about media.
func (g *rig) announced(rs []*rendition, codecs []string, bandwidth float64) {
	g.t.Helper()
	var names []string
	peak := 0.0
	for _, r := range rs {
		if r.codec != "" && !slices.Contains(names, r.codec) {
			names = append(names, r.codec)
		}
		most := 0.0
		for _, rate := range r.rates {
			most = max(most, rate)
		}
		peak += most
	}
	slices.Sort(names)
	slices.Sort(codecs)
	if names != nil && !slices.Equal(names, codecs) {
		g.t.Errorf("codecs %v, want %v", codecs, names)
	}
	if bandwidth < peak*0.9 { // of Apple's validator
		g.t.Errorf("bandwidth %v, some segments have %v", bandwidth, peak)
	}
}

// reloads checks delta updates and blocking (sections 6.2.5.1 and 6.2.5.2).
func (g *rig) reloads(r *rendition) {
	g.t.Helper()
	g.file(r.list.hint) // is waited for
	if l := g.strict(r.url, r.list); !strings.Contains(l.text, "#EXT-X-PART:DURATION") || strings.Count(l.text, `URI="`+r.list.hint+`"`) != 1 {
		g.t.Errorf("no %s in\n%s", r.list.hint, l.text)
	}
	next := r.list.complete()
	for _, msn := range []int{0, r.list.sequence - 1, r.list.sequence, next - 1} {
		if msn >= 0 { // what is there, and what was there, is not waited for
			l := g.strict(fmt.Sprintf("%s?_HLS_msn=%d", r.url, msn), r.list)
			if l.complete() > next+2 {
				g.t.Errorf("asked for %d, got it with %d", msn, l.complete())
			}
		}
	}
	if l := g.strict(fmt.Sprintf("%s?_HLS_msn=%d", r.url, next), r.list); l.complete() <= next {
		g.t.Errorf("asked for %d, got %d", next, l.complete())
	} else if at := l.complete(); g.strict(fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=0", r.url, at), l).at(at) == nil {
		g.t.Errorf("asked for part 0 of %d", at)
	}
	for _, q := range []string{fmt.Sprintf("_HLS_msn=%d", next+20), "_HLS_part=0", "_HLS_msn=-1", "_HLS_msn=" + strconv.Itoa(next) + "&_HLS_part=-1"} {
		if res, _ := g.get(r.url + "?" + q); res.StatusCode != 400 {
			g.t.Errorf("%s: %d", q, res.StatusCode)
		}
	}
	for { // until nothing has changed in between
		full := g.strict(r.url, nil)
		delta := g.strict(r.url+"?_HLS_skip=YES", full)
		if again := g.strict(r.url, nil); again.text != full.text {
			continue
		}
		if delta.skipped == 0 {
			g.t.Errorf("a delta update that leaves nothing out:\n%s", delta.text)
		}
		boundary, whole := 0.0, 0.0
		for n := full.sequence; n < full.complete(); n++ {
			whole += full.at(n).duration
		}
		if until := seconds(full.control["CAN-SKIP-UNTIL"]); (whole > until+0.1) != (delta.skipped > 0) && math.Abs(whole-until) > 0.1 {
			g.t.Errorf("a delta update of %v s in place of %v s:\n%s", until, whole, delta.text)
		}
		for n := full.sequence + max(delta.skipped, 0); n < full.complete(); n++ {
			boundary += full.at(n).duration
			if got := delta.at(n); got == nil || fmt.Sprint(*got) != fmt.Sprint(*full.at(n)) {
				g.t.Errorf("segment %d is %v, in a delta update %v", n, full.at(n), got)
			}
		}
		if delta.skipped >= 0 && boundary+full.partTarget < seconds(full.control["CAN-SKIP-UNTIL"])-full.target {
			g.t.Errorf("a delta update of only %v s:\n%s", boundary, delta.text)
		}
		return
	}
}

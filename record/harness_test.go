package record

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// epoch is the absolute time of PTS zero in tests.
var epoch = time.Date(2024, 3, 4, 5, 6, 7, 0, time.UTC)

// studio is a stream that is recorded.
type studio struct {
	t      testing.TB
	r      *router.Router
	pub    *router.Publisher
	sink   Sink
	pat    Pattern
	tracks []media.Track
	events *routertest.Events
}

const testPath = "cam"

// newStudio publishes tracks on a path that is recorded by the sink, whose
// pattern may be empty: then it is in a temporary folder.
func newStudio(t testing.TB, s Sink, tracks []media.Track, log ...*slog.Logger) *studio {
	t.Helper()
	if s.Pattern == "" {
		s.Pattern = filepath.Join(t.TempDir(), "%path", "%Y-%m-%d_%H-%M-%S-%f")
	}
	if s.State == nil {
		s.State = &State{}
	}
	d := s.withDefaults()
	st := &studio{t: t, sink: s, pat: mustPattern(t, d.Pattern, d.Format), tracks: tracks}
	var opts []router.Option
	for _, l := range log {
		opts = append(opts, router.WithLogger(l))
	}
	st.r = routertest.New(t, router.Config{
		QueueSize: 1 << 16,
		Paths:     []router.PathConfig{st.path(s)},
	}, opts...)
	st.events = routertest.Record(t, st.r)
	st.publish()
	return st
}

func (st *studio) path(sinks ...router.Sink) router.PathConfig {
	return router.PathConfig{Name: testPath, UseAbsoluteTimestamp: true, Sinks: sinks}
}

func (st *studio) publish() {
	st.t.Helper()
	pub, err := st.r.Publish(st.t.Context(), testPath, st.tracks)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(pub.Close)
	st.pub = pub
	st.waitSink() // units in front of the subscription would be lost
}

// waitSink waits until the recorder takes units: what it is sent before has no
// place in any segment.
func (st *studio) waitSink() {
	st.t.Helper()
	p, _ := st.r.Path(testPath)
	routertest.Eventually(st.t, "the recorder reads", func() bool { return st.sink.State.running.Load() > 0 && p.Stream() != nil })
}

// write publishes a unit whose absolute time follows from its PTS.
func (st *studio) write(track int, u *media.Unit) {
	if u.NTP.IsZero() {
		u.NTP = epoch.Add(media.Duration(u.PTS, st.tracks[track].Codec.ClockRate()))
	}
	st.pub.Write(track, u)
}

// stop ends the stream and returns the segments when all is written.
func (st *studio) stop() []Segment {
	st.t.Helper()
	st.pub.Close()
	st.wait()
	return st.segments()
}

func (st *studio) wait() {
	st.t.Helper()
	routertest.Eventually(st.t, "the recorder ends", func() bool { return st.sink.State.running.Load() == 0 })
}

func (st *studio) segments() []Segment {
	st.t.Helper()
	list, err := Find(st.t.Context(), st.sink.Store, st.pat, testPath)
	if err != nil {
		st.t.Fatal(err)
	}
	return list
}

// movie is a parsed segment of MP4.
type movie struct {
	init   fmp4.Init
	parts  fmp4.Parts
	tracks map[int]*movieTrack // by id
	prft   []reference
}

type reference struct {
	ntp   time.Time
	media int64
	id    int
}

type movieTrack struct {
	rate    int
	dts     []int64
	pts     []int64
	sync    []bool
	payload [][]byte
	end     int64 // of the last sample
}

func (m *movieTrack) time(ticks int64) time.Duration { return media.Duration(ticks, m.rate) }

func (m *movie) duration() time.Duration {
	var d time.Duration
	for _, t := range m.tracks {
		d = max(d, t.time(t.end))
	}
	return d
}

func parseFile(t testing.TB, name string) *movie {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m, whole := parseMovie(t, b)
	if !whole {
		t.Errorf("%s ends in the middle of a part", name)
	}
	return m
}

// parseMovie checks a segment. whole is false if something is missing at its
// end.
func parseMovie(t testing.TB, b []byte) (m *movie, whole bool) {
	t.Helper()
	m = &movie{tracks: map[int]*movieTrack{}}
	boxes, whole := topLevel(b)
	if len(boxes) < 2 || boxes[0].name != "ftyp" || boxes[1].name != "moov" {
		t.Fatalf("a segment of %d bytes begins with %v", len(b), boxes)
	}
	end := boxes[1].end
	if err := m.init.Unmarshal(bytes.NewReader(b[:end])); err != nil {
		t.Fatal(err)
	}
	last := end
	for i := 2; i+2 < len(boxes); i += 3 {
		if boxes[i].name != "prft" || boxes[i+1].name != "moof" || boxes[i+2].name != "mdat" {
			t.Fatalf("boxes %v", boxes)
		}
		p := b[boxes[i].begin:]
		ntp := binary.BigEndian.Uint64(p[16:])
		m.prft = append(m.prft, reference{
			time.Unix(int64(ntp>>32)-ntpEpoch, int64((ntp&(1<<32-1))*1e9>>32)).UTC(),
			int64(binary.BigEndian.Uint64(p[24:])), int(binary.BigEndian.Uint32(p[12:])),
		})
		last = boxes[i+2].end
	}
	if err := m.parts.Unmarshal(b[end:last]); err != nil {
		t.Fatal(err)
	}
	for _, tr := range m.init.Tracks {
		m.tracks[tr.ID] = &movieTrack{rate: int(tr.TimeScale)}
	}
	for _, p := range m.parts {
		for _, pt := range p.Tracks {
			m.tracks[pt.ID].add(t, pt)
		}
	}
	return m, whole && last == len(b)
}

func (m *movieTrack) add(t testing.TB, p *fmp4.PartTrack) {
	t.Helper()
	at := int64(p.BaseTime)
	if len(m.dts) > 0 && at != m.end {
		t.Errorf("a part begins at %d, the one before ended at %d", at, m.end)
	}
	for _, s := range p.Samples {
		m.dts = append(m.dts, at)
		m.pts = append(m.pts, at+int64(s.PTSOffset))
		m.sync = append(m.sync, !s.IsNonSyncSample)
		m.payload = append(m.payload, s.Payload)
		at += int64(s.Duration)
	}
	m.end = at
}

type box struct {
	name       string
	begin, end int
}

func topLevel(b []byte) (out []box, whole bool) {
	at := 0
	for at+8 <= len(b) {
		n := int(binary.BigEndian.Uint32(b[at:]))
		if n < 8 || at+n > len(b) {
			return out, false
		}
		out = append(out, box{string(b[at+4 : at+8]), at, at + n})
		at += n
	}
	return out, at == len(b)
}

// Sample tracks: H264 with 25 pictures a second and a key frame every second,
// AAC with 48 kHz.
const (
	frameTicks = 3600
	gop        = 25
	aacTicks   = 1024
)

var (
	sps = []byte("\x67\x42\xc0\x28\xd9\x00\x78\x02\x27\xe5\x84\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc9\x20")
	pps = []byte("\x68\x08")
)

func avTracks() []media.Track {
	return []media.Track{{Codec: &media.H264{}}, {Codec: &media.MPEG4Audio{Config: aacConfig()}}}
}

func aacConfig() *mpeg4audio.AudioSpecificConfig {
	return &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2}
}

// picture returns access unit n with a payload of about size bytes.
func picture(n, size int) *media.Unit {
	body := make([]byte, size)
	binary.BigEndian.PutUint32(body[max(0, size-4):], uint32(n))
	u := &media.Unit{PTS: int64(n) * frameTicks}
	if n%gop == 0 {
		u.Payload = [][]byte{{9, 0xf0}, sps, pps, append([]byte{0x65, 0x88, 0x84, 0x00}, body...)}
	} else {
		u.Payload = [][]byte{{9, 0xf0}, append([]byte{0x41, 0x9a, 0x24, 0x00}, body...)}
	}
	return u
}

func sound(n int) *media.Unit {
	return &media.Unit{PTS: int64(n) * aacTicks, Payload: [][]byte{{1, 2, byte(n >> 8), byte(n)}}}
}

// play writes d of the sample tracks, interleaved, from a time on.
func (st *studio) play(from, d time.Duration) {
	end := from + d
	for v, a := int(from.Seconds()*25), int(from.Seconds()*48000/aacTicks); ; {
		tv, ta := time.Duration(v)*40*time.Millisecond, media.Duration(int64(a)*aacTicks, 48000)
		switch {
		case tv >= end && ta >= end:
			return
		case tv <= ta:
			st.write(0, picture(v, 100))
			v++
		default:
			st.write(1, sound(a))
			a++
		}
	}
}

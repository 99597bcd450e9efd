package playback

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"go.uber.org/goleak"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Parameter sets of H264 of 64x48.
const (
	sps48 = "\x67\x42\xc0\x0a\xd9\x04\x7b\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x00\xa0\xf1\x22\x64\x80"
	pps48 = "\x68\x08"
)

// film is a recording whose samples say who they are: a letter and a number.
// Video has 30 pictures per second, audio 48000/1024 frames.
type film struct {
	start    time.Time
	seconds  int
	keyEvery int  // pictures; default 30
	part     int  // pictures per fragment; default 30
	reorder  bool // every third picture is decoded first
	late     int  // pictures that all are shown later than they are decoded
	begins   int  // pictures that video begins and ends after audio
	longer   int  // pictures that the last one is decoded longer, since others are shown after it
	silent   bool // no audio
	blind    bool // no video
	foreign  bool // it does not say that offsets count from the fragment, as players want it
	sps      string
}

const (
	videoScale, audioScale = 90000, 48000
	frameTicks             = videoScale / 30
)

var filmStart = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

func (f film) bytes(t testing.TB) []byte {
	t.Helper()
	if f.keyEvery == 0 {
		f.keyEvery = 30
	}
	if f.part == 0 {
		f.part = 30
	}
	if f.sps == "" {
		f.sps = sps48
	}
	in := fmp4.Init{Tracks: []*fmp4.InitTrack{{ID: 1, TimeScale: videoScale, Codec: &codecs.H264{SPS: []byte(f.sps), PPS: []byte(pps48)}}}}
	if !f.silent {
		in.Tracks = append(in.Tracks, &fmp4.InitTrack{ID: 2, TimeScale: audioScale, Codec: &codecs.MPEG4Audio{
			Config: mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: audioScale, ChannelConfig: 2},
		}})
	}
	if f.blind {
		in.Tracks = in.Tracks[1:]
	}
	var out bytes.Buffer
	var buf seekablebuffer.Buffer
	if err := in.Marshal(&buf); err != nil {
		t.Fatal(err)
	}
	out.Write(buf.Bytes())
	audio := 0
	for n := 0; n < f.seconds*30; n += f.part {
		p := fmp4.Part{SequenceNumber: uint32(n), Tracks: []*fmp4.PartTrack{{ID: 1, BaseTime: uint64(n+f.begins) * frameTicks}}}
		for i := n; i < min(n+f.part, f.seconds*30); i++ {
			p.Tracks[0].Samples = append(p.Tracks[0].Samples, &fmp4.Sample{
				Duration: frameTicks, PTSOffset: f.offset(i), IsNonSyncSample: i%f.keyEvery != 0, Payload: identity('v', i),
			})
		}
		if last := p.Tracks[0].Samples; n+f.part >= f.seconds*30 {
			last[len(last)-1].Duration += uint32(f.longer) * frameTicks
		}
		if !f.silent {
			a := &fmp4.PartTrack{ID: 2, BaseTime: uint64(audio) * 1024}
			for ; audio*1024*30 < min(n+f.part, f.seconds*30)*audioScale; audio++ {
				a.Samples = append(a.Samples, &fmp4.Sample{Duration: 1024, Payload: identity('a', audio)})
			}
			p.Tracks = append(p.Tracks, a)
		}
		if f.blind {
			p.Tracks = p.Tracks[1:]
		}
		var buf seekablebuffer.Buffer
		if err := p.Marshal(&buf); err != nil {
			t.Fatal(err)
		}
		out.Write(buf.Bytes())
	}
	if f.foreign {
		return bytes.ReplaceAll(out.Bytes(), []byte("tfhd\x00\x02"), []byte("tfhd\x00\x00"))
	}
	return out.Bytes()
}

// offset is that of the presentation time.
func (f film) offset(i int) int32 {
	return f.reordering(i) + int32(f.late)*frameTicks
}

// reordering: pictures 1, 2, 3 of a group are shown as 2, 3, 1... of the next
// place: I P b b P b b.
func (f film) reordering(i int) int32 {
	if !f.reorder {
		return 0
	}
	switch n := i % f.keyEvery; {
	case n == 0:
		return frameTicks
	case n%3 == 1 && n+2 < f.keyEvery:
		return 3 * frameTicks
	case n%3 == 1:
		return frameTicks
	case (n-1)/3*3+3 < f.keyEvery:
		return 0
	}
	return frameTicks
}

// identity is the payload of a sample, of a size that varies.
func identity(track byte, n int) []byte {
	b := make([]byte, 5+n%7)
	b[0] = track
	binary.BigEndian.PutUint32(b[1:], uint32(n))
	return b
}

// rig is a server over a folder of recordings.
type rig struct {
	t       testing.TB
	dir     string
	pattern record.Pattern
	url     string
	http    *http.Client
}

func newRig(t testing.TB, s Server, auth router.Authenticator) *rig {
	t.Helper()
	g := &rig{t: t, dir: t.TempDir()}
	g.pattern = pattern(t, g.dir, record.FMP4)
	if s.HTTP == nil {
		s.HTTP = httpserver.Listen{Addr: "127.0.0.1:0"}
	}
	s.Recordings = append(s.Recordings, Recording{Name: "all_others", Pattern: g.pattern})
	r := routertest.New(t, router.Config{Protocols: []router.Protocol{&s}, Auth: auth, AuthPause: -1})
	if addrs := r.ProtocolAddrs("playback"); len(addrs) > 0 {
		g.url = "http://" + addrs[0].String()
	}
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	g.http = &http.Client{Transport: tr, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return g
}

func pattern(t testing.TB, dir string, f record.Format) record.Pattern {
	t.Helper()
	p, err := record.ParsePattern(filepath.Join(dir, "%path", "%Y-%m-%d_%H-%M-%S-%f"), f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// store writes a file where the recording of a path is looked for.
func (g *rig) store(path string, start time.Time, b []byte) string {
	g.t.Helper()
	name := g.pattern.Name(path, start)
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		g.t.Fatal(err)
	}
	return name
}

func (g *rig) film(path string, f film) { g.store(path, f.start, f.bytes(g.t)) }

func (g *rig) get(u string, header ...string) (*http.Response, []byte) {
	g.t.Helper()
	return g.do(http.MethodGet, u, header...)
}

func (g *rig) do(method, u string, header ...string) (*http.Response, []byte) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, g.url+u, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := g.http.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatalf("%s: %v", u, err)
	}
	return res, b
}

// part is the URL of a part of a recording.
func part(path string, start time.Time, d time.Duration, format string) string {
	return "/get?" + url.Values{
		"path": {path}, "start": {start.Format(time.RFC3339Nano)}, "format": {format},
		"duration": {strconv.FormatFloat(d.Seconds(), 'f', -1, 64)},
	}.Encode()
}

// seen is a sample of an answer.
type seen struct {
	name string
	pts  int64 // ticks, after the edit list
}

// samplesOf reads a fragmented file, with header and fragments that may come
// apart.
func samplesOf(t testing.TB, b []byte) (out [2][]seen) {
	t.Helper()
	var m moof
	at := int64(-1)
	var head, body []byte
	pos := int64(0)
	err := eachBox(b, func(kind string, inner, raw []byte) error {
		switch kind {
		case "moov":
			tracks, err := parseInit(inner)
			if err != nil {
				return err
			}
			m.tracks, m.next = tracks, make([]int64, len(tracks))
		case "moof":
			at, head = pos, inner
		case "mdat":
			body = raw
			chunks, err := m.parse(head, at, pos, pos+int64(len(body)))
			if err != nil {
				return err
			}
			for _, c := range chunks {
				dts, o := c.dts, c.at
				for _, x := range c.samples {
					p := b[o : o+int64(x.size)]
					k := int(m.tracks[c.track].id) - 1
					name := "?" // of no film
					if len(p) >= 5 {
						name = fmt.Sprintf("%c%d", p[0], binary.BigEndian.Uint32(p[1:]))
					}
					out[k] = append(out[k], seen{name, dts + int64(x.offset)})
					dts += int64(x.duration)
					o += int64(x.size)
				}
			}
		}
		pos += int64(len(raw))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

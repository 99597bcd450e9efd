package rtmpbridge

import (
	"bytes"
	"testing"

	"github.com/org/mtx/router/media"
)

func video(pts int64, key bool) *media.Unit {
	u := &media.Unit{PTS: pts, RandomAccess: key, Payload: [][]byte{{0x41, 0x9a, 0x24}}}
	if key {
		u.Payload = [][]byte{{0x09, 0x10}, sps264, pps264, nil, {0x65, 0x88, 0x84}}
	}
	return u
}

func audio(pts int64) *media.Unit { return &media.Unit{PTS: pts, Payload: [][]byte{{1, 2, 3}}} }

func avEncoder(t *testing.T) *Encoder {
	t.Helper()
	e, err := NewEncoder([]media.Track{{Codec: &media.H264{SPS: sps264, PPS: pps264}}, {Codec: aac(48000, 2)}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *Encoder) must(t *testing.T, track int, u *media.Unit) []message {
	t.Helper()
	b, n, err := e.Append(nil, track, u)
	if err != nil {
		t.Fatal(err)
	}
	out := unchunk(t, b)
	if len(out) != n {
		t.Errorf("%d messages, said %d", len(out), n)
	}
	return out
}

func TestFirstVideoIsKey(t *testing.T) {
	t.Parallel()
	e := avEncoder(t)
	if m := e.must(t, 0, video(0, false)); len(m) != 0 {
		t.Error("a picture that cannot be decoded was sent")
	}
	m := e.must(t, 0, video(3000, true))
	if len(m) != 1 || m[0].ts != 0 || m[0].body[0] != 0x17 || m[0].body[1] != 1 {
		t.Fatalf("key frame: %+v", m)
	}
	want := []byte{0, 0, 0, byte(len(sps264))} // no delimiter in front
	if !bytes.HasPrefix(m[0].body[5:], want) {
		t.Errorf("access unit begins with % x", m[0].body[5:12])
	}
	if m := e.must(t, 0, video(6000, false)); len(m) != 1 || m[0].body[0] != 0x27 || m[0].ts != 33 {
		t.Errorf("picture: %+v", m)
	}
}

// Both tracks have one origin, also if audio came first, or starts later.
func TestOneOrigin(t *testing.T) {
	t.Parallel()
	e := avEncoder(t)
	const hours = 10 * 3600
	first := e.must(t, 1, audio(hours*48000))[0]
	second := e.must(t, 0, video(hours*90000+900, true))[0]
	third := e.must(t, 1, audio(hours*48000+4800))[0]
	if first.ts != 0 || second.ts != 10 || third.ts != 100 {
		t.Errorf("time stamps %d, %d, %d", first.ts, second.ts, third.ts)
	}
}

// A publisher whose time goes back does not make time stamps decrease, and the
// tracks stay aligned.
func TestDiscontinuity(t *testing.T) {
	t.Parallel()
	e := avEncoder(t)
	e.must(t, 0, video(90000*1000, true))
	e.must(t, 1, audio(48000*1000))
	a := e.must(t, 0, video(90000*1060, true))[0]
	e.must(t, 1, audio(48000*1060))
	b := e.must(t, 0, video(90000*5, true))[0]
	c := e.must(t, 1, audio(48000*5))[0]
	d := e.must(t, 0, video(90000*6, true))[0]
	if a.ts != 60000 || b.ts != 60000 || c.ts != 60000 || d.ts != 61000 {
		t.Errorf("time stamps %d, %d, %d, %d", a.ts, b.ts, c.ts, d.ts)
	}
	// far ahead and back
	e.must(t, 0, video(1<<62, true))
	e.must(t, 1, audio(-1<<62))
	e.must(t, 0, video(0, true))
}

// Time stamps above 4.6 hours are extended, in every chunk of a message.
func TestExtendedTime(t *testing.T) {
	t.Parallel()
	e := avEncoder(t)
	e.must(t, 0, video(0, true))
	big := &media.Unit{PTS: 90000 * 20000, RandomAccess: true, Payload: [][]byte{sps264, pps264, bytes.Repeat([]byte{0x65, 0x88, 0x84}, 100000)}}
	m := e.must(t, 0, big)
	if len(m) != 1 || m[0].ts != 20000000 || len(m[0].body) != 5+4*3+len(sps264)+len(pps264)+300000 {
		t.Fatalf("%d messages, time stamp %d, %d bytes", len(m), m[0].ts, len(m[0].body))
	}
	if !bytes.HasSuffix(m[0].body, big.Payload[2]) {
		t.Error("the access unit is not the one that was sent")
	}
}

// Configuration that changes in the bitstream is sent before the picture, once.
func TestConfigChange(t *testing.T) {
	t.Parallel()
	e, err := NewEncoder([]media.Track{{Codec: &media.H264{}}})
	if err != nil {
		t.Fatal(err)
	}
	if m := unchunk(t, e.AppendHead(nil, Head{})); len(m) != 1 || m[0].typ != TypeDataAMF0 {
		t.Fatalf("head of a stream without parameters: %+v", m)
	}
	for _, sps := range [][]byte{sps264, otherSPS264} {
		c := &media.H264{SPS: sps, PPS: pps264}
		m := unchunk(t, e.AppendConfig(nil, 0, c))
		if len(m) != 1 || m[0].body[0] != 0x17 || m[0].body[1] != 0 || !bytes.Contains(m[0].body, sps) {
			t.Errorf("new parameters: %+v", m)
		}
		if b := e.AppendConfig(nil, 0, &media.H264{SPS: sps, PPS: pps264}); len(b) != 0 {
			t.Error("parameters that did not change were sent")
		}
		if m := unchunk(t, e.AppendHead(nil, Head{})); len(m) != 2 || !bytes.Contains(m[1].body, sps) {
			t.Errorf("head: %+v", m)
		}
	}
	if b := e.AppendConfig(nil, 0, &media.H264{}); len(b) != 0 {
		t.Error("parameters that were lost were sent")
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	e := avEncoder(t)
	for _, publish := range []bool{false, true} {
		m := unchunk(t, e.AppendHead(nil, Head{Publish: publish}))
		if len(m) != 3 || m[0].typ != TypeDataAMF0 || m[1].typ != TypeVideo || m[2].typ != TypeAudio {
			t.Fatalf("head: %+v", m)
		}
		if got := bytes.Contains(m[0].body, []byte("@setDataFrame")); got != publish {
			t.Errorf("publish %v: metadata %q", publish, m[0].body)
		}
		for _, key := range []string{"videocodecid", "audiocodecid", "width", "audiosamplerate"} {
			if !bytes.Contains(m[0].body, []byte(key)) {
				t.Errorf("metadata has no %s", key)
			}
		}
	}
	only, err := NewEncoder([]media.Track{{Codec: aac(48000, 2)}})
	if err != nil {
		t.Fatal(err)
	}
	if m := unchunk(t, only.AppendHead(nil, Head{})); bytes.Contains(m[0].body, []byte("videocodecid")) {
		t.Error("metadata of audio announces video")
	}
}

// Readers that come late get metadata at time zero, or FFmpeg begins its clock at
// the metadata; the rest of the head has the time that it is given.
func TestLateHead(t *testing.T) {
	t.Parallel()
	e := avEncoder(t)
	e.must(t, 0, video(0, true))
	last := e.must(t, 0, video(90*5000, true))[0].ts
	if last != 5000 {
		t.Fatalf("picture at %d ms", last)
	}
	if e.Now() != 5000 || e.Time(0) != 5000 || e.Time(1) != 0 {
		t.Errorf("now %d, video %d, audio %d", e.Now(), e.Time(0), e.Time(1))
	}
	for _, h := range []Head{{Time: 5000}, {Publish: true, Time: 4000}, {FirstOnly: true}} {
		for i, m := range unchunk(t, e.AppendHead(nil, h)) {
			want := uint32(h.Time)
			if i == 0 {
				want = 0
			}
			if (m.typ == TypeDataAMF0) != (i == 0) || m.ts != want {
				t.Errorf("%+v: message %d of type %d has the time %d, want %d", h, i, m.typ, m.ts, want)
			}
		}
	}
}

// An access unit that does not fit into a message is left out.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	e := avEncoder(t)
	b, n, err := e.Append(nil, 0, &media.Unit{RandomAccess: true, Payload: [][]byte{make([]byte, 1<<24)}})
	if len(b) != 0 || n != 0 || err == nil {
		t.Errorf("%d bytes, %d messages, %v", len(b), n, err)
	}
}

// Readers that know plain RTMP only get one track of each kind.
func TestFirstOnly(t *testing.T) {
	t.Parallel()
	c := &media.H264{SPS: sps264, PPS: pps264}
	e, err := NewEncoder([]media.Track{{Codec: c}, {Codec: c}, {Codec: aac(48000, 2)}, {Codec: aac(48000, 2)}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, true, false, false} {
		if e.First(i) != want {
			t.Errorf("track %d: %v", i, !want)
		}
	}
	for _, h := range []Head{{}, {FirstOnly: true}} {
		m := unchunk(t, e.AppendHead(nil, h))
		if want := map[bool]int{false: 5, true: 3}[h.FirstOnly]; len(m) != want {
			t.Errorf("%+v: %d messages", h, len(m))
		}
		if got := bytes.Contains(m[0].body, []byte("TrackIdInfoMap")); got == h.FirstOnly {
			t.Errorf("%+v: metadata %q", h, m[0].body)
		}
	}
}

package record

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, f := range []Format{FMP4, MPEGTS} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			state := &State{}
			routertest.TestSink(t, func() router.Sink {
				return Sink{Pattern: filepath.Join(dir, "%path-%s-%f"), Format: f, PartDuration: 100 * time.Millisecond, State: state}
			})
		})
	}
}

// Names of segments without fractions of a second: none of them is taken, or of another time.
func TestShortSegmentsOfWholeSeconds(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"%path-%s", "%path-%Y%m%d%H%M%S", "%path-%s-%f"} {
		st := newStudio(t, Sink{
			Pattern: filepath.Join(t.TempDir(), pattern), PartDuration: 100 * time.Millisecond, SegmentDuration: 100 * time.Millisecond,
		}, []media.Track{{Codec: &media.Opus{ChannelCount: 2}}})
		for i := range int64(20 * 50) {
			st.write(0, &media.Unit{PTS: i * 960, Payload: [][]byte{{0xfc, byte(i), byte(i >> 8)}}})
		}
		list := st.stop()
		if want := 20; len(list) != want && pattern != "%path-%s-%f" || pattern == "%path-%s-%f" && len(list) != 200 {
			t.Errorf("%s: %d segments", pattern, len(list))
		}
		units := 0
		for _, g := range list {
			m := parseFile(t, g.Name)
			units += len(m.tracks[1].pts)
			if d := m.prft[0].ntp.Sub(g.Start); d < -time.Microsecond || d > time.Second+time.Microsecond {
				t.Errorf("%s begins %v after its name", g.Name, d)
			}
		}
		if units != 1000 || st.sink.State.Stats().DroppedParts != 0 {
			t.Errorf("%s: %d units, %+v", pattern, units, st.sink.State.Stats())
		}
	}
}

// Pictures that are decoded behind the key frame that a segment begins with, and shown before
// it, are in the segment, at their times.
func TestTransportStreamsKeepPicturesOfOpenGroups(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{Format: MPEGTS, SegmentDuration: 2 * time.Second}, []media.Track{{Codec: &media.MPEG1Video{}}})
	var want []int64
	for n := range int64(60) {
		key := n%12 == 0
		shown := n + 2 // a picture that is a reference is decoded two pictures early
		if n%3 != 0 {
			shown = n - 1
		}
		frame := []byte{0, 0, 1, 0, 0, 8 << 2, 0xff, 0xf8, byte(n)}
		if key {
			frame = append([]byte{0, 0, 1, 0xb8, 0, 8, 0, 0}, frame...)
		}
		if want = append(want, shown*9000); n == 1 || n == 2 {
			want = want[:len(want)-1] // they are shown before the first key frame
		}
		st.write(0, &media.Unit{PTS: shown * 9000, Payload: [][]byte{frame}})
	}
	list := st.stop()
	if len(list) != 3 {
		t.Fatalf("%d segments", len(list))
	}
	var got []int64
	for i, g := range list {
		b, err := os.ReadFile(g.Name)
		if err != nil {
			t.Fatal(err)
		}
		var pts []int64
		d := mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{Tracks: func([]media.Track) (func(int, *media.Unit), error) {
			return func(_ int, u *media.Unit) { pts = append(pts, u.PTS) }, nil
		}})
		if _, err := d.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if len(pts) == 0 {
			t.Fatalf("segment %d has no pictures", i)
		}
		begin := media.Ticks(g.Start.Sub(epoch), 90000) - pts[0]
		for _, v := range pts {
			got = append(got, v+begin)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pictures at %v, want %v", got, want)
	}
}

// A camera that sends a picture every half minute, and its sound.
func TestFewPictures(t *testing.T) {
	t.Parallel()
	for _, f := range []Format{FMP4, MPEGTS} {
		tracks := []media.Track{{Codec: &media.H264{}}, {Codec: &media.MPEG4Audio{Config: aacConfig()}}}
		st := newStudio(t, Sink{Format: f, SegmentDuration: 4 * time.Minute}, tracks)
		const pictures = 2*gop + 4
		a := 0
		for n := range pictures {
			u := picture(n, 100)
			u.PTS = int64(n) * 30 * 90000
			for ; a*aacTicks <= n*30*48000; a += 50 { // packets are lost
				st.write(1, sound(a))
			}
			st.write(0, u)
		}
		list := st.stop()
		if len(list) != 3 { // each begins with a key frame
			t.Errorf("%s: %d segments", f, len(list))
		}
		if f == MPEGTS {
			continue
		}
		seen := 0
		for i, g := range list {
			m := parseFile(t, g.Name)
			video := m.tracks[1]
			seen += len(video.pts)
			if !video.sync[0] {
				t.Error("a segment does not begin with a key frame")
			}
			for k := 1; k < len(video.pts); k++ {
				if d := video.time(video.pts[k] - video.pts[k-1]); d != 30*time.Second {
					t.Errorf("segment %d: picture %d is %v after the one before", i, k, d)
				}
			}
			if d := video.time(video.end - video.dts[len(video.dts)-1]); d != 30*time.Second {
				t.Errorf("segment %d: the last picture lasts %v", i, d)
			}
		}
		if seen != pictures {
			t.Errorf("%d pictures", seen)
		}
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{PartDuration: 500 * time.Millisecond, SegmentDuration: 3 * time.Second}, avTracks())
	st.play(0, 10*time.Second)
	list := st.stop()
	if len(list) != 4 { // of 3, 3, 3 and 1 seconds
		t.Fatalf("%d segments", len(list))
	}
	var sounds int
	for i, g := range list {
		m := parseFile(t, g.Name)
		video, audio := m.tracks[1], m.tracks[2]
		if video == nil || audio == nil {
			t.Fatalf("tracks %+v", m.init.Tracks)
		}
		if !video.sync[0] || !bytes.Equal(m.init.Tracks[0].Codec.(*codecs.H264).SPS, sps) {
			t.Error("a segment does not begin with a key frame")
		}
		want := 3 * time.Second
		if i == 3 {
			want = time.Second
		}
		if d := m.duration(); d < want || d > want+50*time.Millisecond {
			t.Errorf("segment %d: duration %v, want %v", i, d, want)
		}
		// the absolute time of the first key frame
		key := epoch.Add(time.Duration(i) * 3 * time.Second)
		start := key.Add(-video.time(video.pts[0]))
		if d := g.Start.Sub(start); d > time.Millisecond || d < -time.Millisecond {
			t.Errorf("segment %d: start %v, want %v", i, g.Start, start)
		}
		for _, p := range m.prft {
			if d := p.ntp.Sub(start.Add(video.time(p.media))); p.id != 1 || d > time.Millisecond || d < -time.Millisecond {
				t.Errorf("segment %d: part %+v, want an offset of %v", i, p, start)
			}
		}
		for _, p := range m.parts {
			if n := len(p.Tracks[0].Samples); n > 14 {
				t.Errorf("a part with %d pictures", n)
			}
		}
		sounds += len(audio.payload)
	}
	// nothing of the sound is lost between segments
	if want := 10*48000/aacTicks + 1; sounds != want {
		t.Errorf("%d samples of audio, want %d", sounds, want)
	}
	for i, g := range list {
		st.events.Wait(t, "segment "+g.Name, 1)
		st.events.Wait(t, "completed "+g.Name, 1)
		if st.sink.State.Open(g.Name) {
			t.Errorf("segment %d is still open", i)
		}
	}
	if s := st.sink.State.Stats(); s.Segments != 4 || s.DroppedParts != 0 || s.DroppedUnits != 0 || s.OpenSegments != 0 || s.Bytes == 0 {
		t.Errorf("stats %+v", s)
	}
}

// Parameter sets are where MP4 wants them, and nowhere else.
func TestParameterSetsAreNotRepeated(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{}, avTracks())
	st.play(0, 2*time.Second)
	m := parseFile(t, st.stop()[0].Name)
	for i, p := range m.tracks[1].payload {
		if p[4] != 0x65 && p[4] != 0x41 {
			t.Errorf("sample %d begins with %x", i, p[:5])
		}
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FMP4, MPEGTS} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			st := newStudio(t, Sink{Format: format, SegmentDuration: 2 * time.Minute}, avTracks())
			const d = 10 * time.Minute
			st.play(0, d)
			list := st.stop()
			if len(list) != 5 {
				t.Fatalf("%d segments", len(list))
			}
			var total time.Duration
			for i, g := range list {
				var first, last [2]time.Duration
				if format == FMP4 {
					m := parseFile(t, g.Name)
					for k := range first {
						tr := m.tracks[k+1]
						first[k], last[k] = tr.time(tr.pts[0]), tr.time(tr.end)
					}
				} else {
					first, last = transportTimes(t, g.Name)
				}
				for k := range first {
					// both tracks carry the same moments of the source
					if d := first[k] - first[0]; d > 40*time.Millisecond || d < -40*time.Millisecond {
						t.Errorf("segment %d: tracks begin %v apart", i, d)
					}
					if d := last[k] - last[0]; d > 40*time.Millisecond || d < -40*time.Millisecond {
						t.Errorf("segment %d: tracks end %v apart", i, d)
					}
				}
				total += last[0] - first[0]
			}
			if e := total - d; e > DefaultPartDuration || e < -DefaultPartDuration {
				t.Errorf("total duration %v, want %v", total, d)
			}
		})
	}
}

// transportTimes returns when tracks begin and end. Nothing tells how long the
// last unit is.
func transportTimes(t testing.TB, name string) (first, last [2]time.Duration) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var has [2]bool
	d := mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
		return func(track int, u *media.Unit) {
			at := media.Duration(u.PTS, tracks[track].Codec.ClockRate())
			if !has[track] {
				first[track], has[track] = at, true
			}
			d := 40 * time.Millisecond
			if track == 1 {
				d = media.Duration(aacTicks*int64(len(u.Payload)), 48000)
			}
			last[track] = at + d
		}, nil
	}})
	if _, err := d.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return first, last
}

// Sound that arrives later than the pictures that it belongs to is neither lost
// nor moved when a segment ends.
func TestLateSound(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{SegmentDuration: 2 * time.Second}, avTracks())
	const late = 300 * time.Millisecond
	a := 0
	for v := range 6 * gop {
		st.write(0, picture(v, 100))
		for ; media.Duration(int64(a)*aacTicks, 48000)+late <= time.Duration(v)*40*time.Millisecond; a++ {
			st.write(1, sound(a))
		}
	}
	list := st.stop()
	if len(list) != 3 {
		t.Fatalf("%d segments", len(list))
	}
	sounds := 0
	for i, g := range list {
		m := parseFile(t, g.Name)
		video, audio := m.tracks[1], m.tracks[2]
		if i > 0 {
			if d := video.time(video.pts[0]); d < late-50*time.Millisecond || d > late+50*time.Millisecond {
				t.Errorf("segment %d: pictures begin at %v, sound at %v", i, d, audio.time(audio.pts[0]))
			}
			// the first one is that behind the last one of the segment before
			want := epoch.Add(media.Duration(int64(sounds)*aacTicks, 48000))
			if got := m.prft[0].ntp.Add(-video.time(m.prft[0].media)).Add(audio.time(audio.pts[0])); got.Sub(want).Abs() > time.Millisecond {
				t.Errorf("segment %d: sound %d is at %v, want %v", i, sounds, got, want)
			}
		}
		sounds += len(audio.payload)
	}
	if sounds != a {
		t.Errorf("%d samples of audio, want %d", sounds, a)
	}
}

// A second video track begins at a key frame of its own, so that each file can be
// decoded from its beginning.
func TestSecondVideo(t *testing.T) {
	t.Parallel()
	st := newStudio(t, Sink{SegmentDuration: 2 * time.Second}, []media.Track{{Codec: &media.H264{}}, {Codec: &media.H264{}}})
	for n := range 5 * gop {
		st.write(0, picture(n, 100))
		other := picture(n+gop-10, 100) // its key frames come 10 pictures later
		other.PTS = int64(n) * frameTicks
		st.write(1, other)
	}
	list := st.stop()
	if len(list) != 3 {
		t.Fatalf("%d segments", len(list))
	}
	for i, g := range list {
		m := parseFile(t, g.Name)
		for id, tr := range m.tracks {
			if len(tr.sync) == 0 || !tr.sync[0] {
				t.Errorf("segment %d: track %d does not begin with a key frame", i, id)
			}
		}
		if at := m.tracks[2].time(m.tracks[2].dts[0]); at != 400*time.Millisecond {
			t.Errorf("segment %d: the second video begins at %v", i, at)
		}
	}
}

// The buffers of a recorder are used again: what it holds in memory does not
// depend on the length of the recording.
func TestBuffersAreUsedAgain(t *testing.T) {
	t.Parallel()
	w := &writer{sink: Sink{State: &State{}}}
	f := newFragments(avTracks()[:1], w, (&logged{}).logger())
	codec := &media.H264{SPS: sps, PPS: pps}
	part := func(k int) {
		for n := k * gop; n < (k+1)*gop; n++ {
			u := picture(n, 20_000)
			u.RandomAccess = n%gop == 0
			at, ok := f.prepare(0, u, codec)
			if !ok {
				t.Fatal("a picture is not taken")
			}
			if n == 0 {
				f.begin(0, at)
			}
			f.commit(0, u)
		}
		chunks, _ := f.part(epoch, false)
		w.recycleLocked(chunks)
	}
	for k := range 3 {
		part(k)
	}
	held := map[*byte]bool{}
	note := func() {
		for _, b := range append(w.free, f.tracks[0].data) {
			held[&b[:1][0]] = true
		}
	}
	note()
	before := len(held)
	for k := 3; k < 50; k++ {
		part(k)
		note()
	}
	if len(held) != before {
		t.Errorf("%d buffers after 50 parts, %d after 3", len(held), before)
	}
}

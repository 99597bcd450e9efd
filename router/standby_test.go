package router_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

type writeFunc = func(track int, u *media.Unit)

// offline is a standby that the test writes; it gets a function each time that
// the standby is played.
func offline() (router.Standby, <-chan writeFunc) {
	plays := make(chan writeFunc, 16)
	return &routertest.Standby{PlayFunc: func(ctx context.Context, write func(int, *media.Unit)) error {
		plays <- write
		<-ctx.Done()
		return ctx.Err()
	}}, plays
}

// monotonic reads what is queued and checks that time stamps only grow, on each
// track. It returns the units as [drain] does.
type monotonic struct {
	sub  *router.Reader
	last [2]int64
}

func newMonotonic(t *testing.T, r *router.Router) *monotonic {
	return &monotonic{read(t, r, "cam"), [2]int64{-1, -1}}
}

func (m *monotonic) want(t *testing.T, want ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var got []string
	for {
		track, u, err := m.sub.Next(ctx)
		if err != nil {
			break
		}
		if u.PTS <= m.last[track] {
			t.Errorf("track %d: time stamp %d after %d", track, u.PTS, m.last[track])
		}
		m.last[track] = u.PTS
		e := u.Payload[len(u.Payload)-1]
		got = append(got, string(rune('0'+track))+":"+string(e[len(e)-1]))
	}
	wantUnits(t, got, want...)
}

// picture is a unit of video, told by a letter. Capitals are key frames.
func picture(pts int64, name byte) *media.Unit {
	u := routertest.SampleUnit(0, 1)
	if name >= 'A' && name <= 'Z' {
		u = routertest.SampleUnit(0, 0)
	}
	e := u.Payload[len(u.Payload)-1]
	e[len(e)-1] = name
	u.PTS = pts
	return u
}

func sound(pts int64, name byte) *media.Unit {
	return &media.Unit{PTS: pts, Payload: [][]byte{{0xfc, 0xff, name}}}
}

func online(t *testing.T, r *router.Router) bool {
	t.Helper()
	p, _ := r.Path("cam")
	i := p.Info()
	if i.Online == i.OnlineTime.IsZero() {
		t.Errorf("online %v since %v", i.Online, i.OnlineTime)
	}
	return i.Online
}

func TestStandby(t *testing.T) {
	t.Parallel()
	standby, plays := offline()
	r := start(t, router.PathConfig{Name: "cam", Standby: standby})
	events := routertest.Record(t, r)
	if !isReady(r, "cam") || online(t, r) {
		t.Fatal("the path is not ready, or online")
	}
	rd := newMonotonic(t, r)
	off := receive(t, plays)
	off(1, sound(0, 'x')) // before the first picture
	off(0, picture(0, 'A'))
	off(0, picture(3000, 'b'))
	off(1, sound(960, 'y'))
	rd.want(t, "0:A", "0:b", "1:y")

	for _, origin := range []int64{1 << 40, 0, -1 << 30} { // wherever its time begins
		pub := video(t, r, "cam")
		pub.Write(1, sound(origin*48/90, 'r'))
		pub.Write(0, picture(origin, 's'))
		off(0, picture(12000, 'c')) // the standby goes on
		rd.want(t, "0:c")
		if online(t, r) {
			t.Error("online before the first key frame")
		}
		pub.Write(0, picture(origin, 'K'))
		wantDone(t, pub.Started())
		off(0, picture(9000, 'd'))
		off(0, picture(9000, 'D'))
		pub.Write(0, picture(origin-3000, 'l')) // leading: cannot be decoded
		pub.Write(0, picture(origin+6000, 'm'))
		pub.Write(0, picture(origin+3000, 'x')) // reordered, which is no mistake
		pub.Write(1, sound((origin+3000)*48/90, 'n'))
		rd.last[0] = 0
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, k, _ := rd.sub.Next(ctx)
		_, m, _ := rd.sub.Next(ctx)
		_, x, _ := rd.sub.Next(ctx)
		if m.PTS-k.PTS != 6000 || x.PTS-k.PTS != 3000 {
			t.Errorf("time stamps %d %d %d", k.PTS, m.PTS, x.PTS)
		}
		rd.last[0] = m.PTS
		rd.want(t, "1:n")
		if !online(t, r) {
			t.Error("not online")
		}
		pub.Close()
		pub.Write(0, picture(origin+9000, 'Z'))
		off = receive(t, plays)
		if online(t, r) || !isReady(r, "cam") {
			t.Error("online, or not ready, after the publisher left")
		}
		off(0, picture(0, 'A'))
		off(1, sound(0, 'y'))
		off(0, picture(3000, 'b'))
		rd.want(t, "0:A", "1:y", "0:b")
		off(0, picture(9000, 'e'))
		rd.want(t, "0:e")
	}
	if rd.sub.Stream().Err() != nil || rd.sub.Dropped() != 0 {
		t.Errorf("the reader was disturbed: %v, %d dropped", rd.sub.Stream().Err(), rd.sub.Dropped())
	}
	if err := r.RemovePath(t.Context(), "cam"); err != nil {
		t.Fatal(err)
	}
	events.Wait(t, "removed cam", 1)
	want := "created cam|ready cam|attached cam" + strings.Repeat("|online cam|offline cam", 3) + "|detached cam|notReady cam|removed cam"
	got := slices.DeleteFunc(events.List(), func(s string) bool { return s == "applied" })
	if got := strings.Join(got, "|"); got != want {
		t.Errorf("got events  %s\nwant %s", got, want)
	}
}

// A publisher with only the parameters outside of its bitstream, in another
// order, in RTP packets.
func TestStandbyTakesRTP(t *testing.T) {
	t.Parallel()
	standby, plays := offline()
	cfg := config(router.PathConfig{Name: "cam", Standby: standby})
	r, h := startHost(t, cfg)
	rd := read(t, r, "cam")
	receive(t, plays)(0, picture(0, 'A'))
	if _, _, err := rd.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := authorize(t, h, router.AccessRequest{Action: router.ActionPublish, Path: "cam"})
	sps, pps := append([]byte(nil), routertest.SampleUnit(0, 0).Payload[0]...), []byte{0x68, 0x09}
	pub, err := g.Publish(t.Context(), []media.Track{{Codec: &media.Opus{ChannelCount: 2}}, {Codec: &media.H264{SPS: sps, PPS: pps}}},
		router.PublishOptions{Depacketizers: []media.Depacketizer{&routertest.Depacketizer{}, &routertest.Depacketizer{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	pub.Write(1, &media.Unit{PTS: 5, RandomAccess: true, RTP: []*rtp.Packet{{Header: rtp.Header{Marker: true}, Payload: []byte{0x65, 0x88, 0x80}}}})
	pub.Write(0, &media.Unit{PTS: 5, RandomAccess: true, RTP: []*rtp.Packet{{Header: rtp.Header{Marker: true}, Payload: []byte{0xfc, 1}}}})
	track, u, err := rd.Next(t.Context())
	if err != nil || track != 0 || len(u.Payload) != 3 || u.Payload[1][1] != 0x09 || u.RTP != nil || !u.RandomAccess || u.NTP.IsZero() {
		t.Errorf("track %d: %+v, %v", track, u, err)
	}
	if track, u, err = rd.Next(t.Context()); err != nil || track != 1 || u.Payload[0][1] != 1 {
		t.Errorf("track %d: %+v, %v", track, u, err)
	}
	if c := rd.Tracks()[0].Codec.(*media.H264); c.PPS[1] != 9 {
		t.Error("the parameters of the stream are not those of the publisher")
	}
	if pub.Bytes() == 0 || pub.Stream().Depacketizer(0) != nil {
		t.Error("no bytes are counted, or readers are told to expect RTP")
	}
}

func TestStandbyRefusesOtherTracks(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam", Standby: &routertest.Standby{}})
	aac := &media.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{Type: 2, SampleRate: 44100, ChannelConfig: 2}}
	for _, c := range []struct {
		tracks []media.Track
		want   string
	}{
		{[]media.Track{{Codec: &media.H264{}}}, "publish 'cam': the tracks of the publisher (H264) do not fit those of the path (H264, Opus 48000 Hz 2 ch)"},
		{[]media.Track{{Codec: &media.H264{}}, {Codec: aac}}, "(H264, MPEG-4 Audio 44100 Hz 2 ch)"},
		{[]media.Track{{Codec: &media.H264{}}, {Codec: &media.Opus{ChannelCount: 1}}}, "(H264, Opus 48000 Hz 1 ch)"},
		{[]media.Track{{Codec: &media.H264{}}, {Codec: &media.H264{}}}, "(H264, H264)"},
		{[]media.Track{{Codec: &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}}, {Codec: &media.H265{}}}, "(G711 8000 Hz 1 ch mu-law, H265)"},
	} {
		_, err := r.Publish(t.Context(), "cam", c.tracks)
		if _, ok := errors.AsType[*router.TracksError](err); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	video(t, r, "cam").Close()
}

// A standby that returns is played again; one that panics too.
func TestStandbyReturns(t *testing.T) {
	t.Parallel()
	n, reading := make(chan int, 100), make(chan struct{})
	plays := 0
	r := start(t, router.PathConfig{Name: "cam", Standby: &routertest.Standby{PlayFunc: func(ctx context.Context, write func(int, *media.Unit)) error {
		if plays++; plays == 2 {
			<-reading
		}
		write(0, picture(0, 'A'))
		n <- plays
		switch plays {
		case 1:
			return errors.New("no")
		case 2:
			panic("bug")
		}
		<-ctx.Done()
		return nil
	}}})
	receive(t, n)
	rd := newMonotonic(t, r)
	close(reading)
	for receive(t, n) != 3 {
	}
	rd.want(t, "0:A", "0:A")
}

// On a path made for clients, the standby ends when they are gone.
func TestStandbyOfDynamicPath(t *testing.T) {
	t.Parallel()
	standby, plays := offline()
	r := start(t, router.PathConfig{Name: router.AllOthers, Standby: standby})
	rd := read(t, r, "cam")
	receive(t, plays)(0, picture(0, 'A'))
	pub := video(t, r, "cam")
	pub.Write(0, picture(0, 'B'))
	pub.Close()
	receive(t, plays)(0, picture(0, 'C'))
	s := rd.Stream()
	rd.Close()
	apply(t, r, config())
	wantDone(t, s.Done())
	wantErr(t, s.Err(), router.ErrConfigChanged)
}

func TestStandbyIsValidated(t *testing.T) {
	t.Parallel()
	var none *routertest.Standby
	for _, p := range []router.PathConfig{
		{Standby: none},
		{Standby: &routertest.Standby{}, Source: redirect{"/x"}},
		{Standby: &routertest.Standby{}, Source: &routertest.Source{}, OnDemand: router.OnDemand{Enabled: true}},
		{Standby: noTracks{}},
		{PublisherGrace: -1},
	} {
		p.Name = "cam"
		if _, err := router.New(config(p)); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

type noTracks struct{ routertest.Standby }

func (noTracks) Tracks() []media.Track                                      { return nil }
func (noTracks) Play(context.Context, func(track int, u *media.Unit)) error { return nil }

// Hooks that are added learn what is online.
func TestObserveOnline(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam", Standby: &routertest.Standby{}})
	pub := video(t, r, "cam")
	before := routertest.Record(t, r)
	pub.Write(0, picture(0, 'A'))
	after := routertest.Record(t, r)
	pub.Close()
	for _, e := range []*routertest.Events{before, after} {
		e.Wait(t, "offline cam", 1)
		if got := strings.Join(e.List(), "|"); got != "created cam|ready cam|online cam|offline cam" {
			t.Errorf("events: %s", got)
		}
	}
}

// The time stamps of a publisher that leaps, and what they are worth.
func TestSpliceJumps(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam", PublisherGrace: time.Hour})
	pub := video(t, r, "cam")
	rd := newMonotonic(t, r)
	for _, pts := range []int64{0, 1 << 40, 1, -1 << 62, 1<<63 - 1, -1 << 63, 5, 90000 * 3600, 90000*3600 + 3000} {
		pub.Write(0, picture(pts, 'A'))
	}
	rd.want(t, "0:A", "0:A", "0:A", "0:A", "0:A", "0:A") // three are out of any bounds
	if rd.last[0] > 90000*60 {
		t.Errorf("the time line ran away: %d", rd.last[0])
	}
}

// A standby that needs a moment to stop has it before the next one begins, also if
// the path was made anew.
func TestStandbysNeverOverlap(t *testing.T) {
	t.Parallel()
	var active atomic.Int64
	began := make(chan struct{}, 16)
	standby := &routertest.Standby{PlayFunc: func(ctx context.Context, _ func(int, *media.Unit)) error {
		if n := active.Add(1); n != 1 {
			t.Errorf("%d at the same time", n)
		}
		defer active.Add(-1)
		began <- struct{}{}
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond)
		return nil
	}}
	r := start(t, router.PathConfig{Name: "cam", Standby: standby})
	for i := range 3 {
		receive(t, began)
		apply(t, r, config(router.PathConfig{Name: "cam", Standby: standby, Extras: []any{i}})) // another path
	}
	apply(t, r, config())
	if n := active.Load(); n != 0 {
		t.Error("the standby outlives its path")
	}
}

// A path that lost its name, and now exists only for those who ask for it, ends when
// nobody does.
func TestStandbyLosesItsName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		standby := &routertest.Standby{}
		r, err := router.New(config(router.PathConfig{Name: "cam", Standby: standby}, router.PathConfig{Name: "~^c", Standby: standby}))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		if err := r.RemovePath(t.Context(), "cam"); err != nil {
			t.Fatal(err)
		}
		if !isReady(r, "cam") {
			t.Error("the stream ended at once")
		}
		time.Sleep(time.Minute)
		if live(r, "cam") {
			t.Error("the path goes on for nobody")
		}
	})
}

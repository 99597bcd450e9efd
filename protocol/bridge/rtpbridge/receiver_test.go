package rtpbridge

import (
	"math"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

type written struct {
	track int
	unit  *media.Unit
	codec media.Codec
}

// collector is a receiver with a slice of what it hands over.
type collector struct {
	*Receiver
	got []written
}

func collect(t testing.TB, o ReceiverOptions) *collector {
	t.Helper()
	c := &collector{}
	o.Write = func(track int, u *media.Unit) { c.got = append(c.got, written{track: track, unit: u}) }
	o.Update = func(track int, codec media.Codec) { c.got = append(c.got, written{track: track, codec: codec}) }
	if o.MaxWait == 0 {
		o.MaxWait = time.Hour
	}
	c.Receiver = NewReceiver(o)
	t.Cleanup(c.Close)
	return c
}

// units returns the units of a track.
func (c *collector) units(track int) []*media.Unit {
	var out []*media.Unit
	for _, w := range c.got {
		if w.track == track && w.unit != nil {
			out = append(out, w.unit)
		}
	}
	return out
}

func packet(seq uint16, ts uint32, marker bool, payload ...byte) *rtp.Packet {
	return &rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: ts, Marker: marker},
		Payload: payload,
	}
}

var (
	videoFormat = &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	audioFormat = &format.Opus{PayloadTyp: 97, ChannelCount: 2}
	zeroTime    = time.Unix(1700000000, 0)
)

func TestAccessUnits(t *testing.T) {
	t.Parallel()
	c := collect(t, ReceiverOptions{Formats: []format.Format{videoFormat, audioFormat}})
	for _, s := range []struct {
		track int
		pkt   *rtp.Packet
	}{
		{0, packet(1, 5000, false, 0x67, 1)},
		{0, packet(2, 5000, false, 0x68, 1)},
		{1, packet(9, 800, false, 0xfc)},
		{0, packet(3, 5000, true, 0x65, 1)},
		{0, packet(4, 8000, false, 0x41, 1)}, // no marker: the next time stamp ends it
		{0, packet(5, 11000, true, 0x41, 1)},
		{0, packet(6, 11000, false)}, // padding only
		{0, packet(7, 14000, false, 0x41, 1)},
	} {
		c.Packet(s.track, s.pkt, zeroTime)
	}
	c.Packet(7, packet(0, 0, true, 1), zeroTime)
	c.Packet(0, nil, zeroTime)
	c.Close()

	video := c.units(0)
	want := []struct {
		packets int
		pts     int64
		key     bool
	}{{3, 0, true}, {1, 3000, false}, {1, 6000, false}, {1, 6000, false}, {1, 9000, false}}
	if len(video) != len(want) {
		t.Fatalf("%d units, want %d", len(video), len(want))
	}
	for i, w := range want {
		if u := video[i]; len(u.RTP) != w.packets || u.PTS != w.pts || u.RandomAccess != w.key || u.More || !u.NTP.IsZero() {
			t.Errorf("unit %d: %d packets, PTS %d, key %v, more %v", i, len(u.RTP), u.PTS, u.RandomAccess, u.More)
		}
	}
	if audio := c.units(1); len(audio) != 1 || !audio[0].RandomAccess || audio[0].PTS != 0 {
		t.Errorf("wrong units of audio: %v", audio)
	}
	if c.got[0].track != 1 {
		t.Error("audio waited for video")
	}

	c.Packet(0, packet(8, 20000, true, 0x41), zeroTime)
	if len(c.units(0)) != len(want) {
		t.Error("a unit was handed over after Close")
	}
}

func TestWrapAround(t *testing.T) {
	t.Parallel()
	c := collect(t, ReceiverOptions{Formats: []format.Format{videoFormat}})
	start := uint32(math.MaxUint32 - 2999)
	// with a B-frame on each side of the wrap-around
	for i, ts := range []uint32{start, start + 6000, start + 3000, start + 12000, start + 9000, start} {
		c.Packet(0, packet(uint16(i), ts, true, 0x41), zeroTime)
	}
	for i, want := range []int64{0, 6000, 3000, 12000, 9000, 0} {
		if got := c.units(0)[i].PTS; got != want {
			t.Errorf("unit %d: PTS %d, want %d", i, got, want)
		}
	}

	// 3 days in steps of 1 h, beyond several wrap-arounds
	now, ts := zeroTime, start
	for range 72 {
		now, ts = now.Add(time.Hour), ts+90000*3600
		c.Packet(0, packet(0, ts, true, 0x41), now)
	}
	units := c.units(0)
	if got := units[len(units)-1].PTS; got != 72*3600*90000 {
		t.Errorf("PTS after 3 days: %d", got)
	}
}

// A publisher that starts over with other time stamps goes on in PTS.
func TestTimeStampsStartOver(t *testing.T) {
	t.Parallel()
	for _, next := range []uint32{1 << 30, 3 << 30, 0} {
		c := collect(t, ReceiverOptions{Formats: []format.Format{videoFormat}})
		const start = 100 * 90000
		c.Packet(0, packet(0, start, true, 0x41), zeroTime)
		c.Packet(0, packet(1, start+3000, true, 0x41), zeroTime)
		c.Packet(0, packet(2, next, true, 0x41), zeroTime.Add(time.Second))
		c.Packet(0, packet(3, next+3000, true, 0x41), zeroTime.Add(time.Second))
		for i, want := range []int64{0, 3000, 93000, 96000} {
			if got := c.units(0)[i].PTS; got != want {
				t.Errorf("from %d: unit %d: PTS %d, want %d", next, i, got, want)
			}
		}
	}
}

func report(at time.Time, ts uint32) *rtcp.SenderReport {
	return &rtcp.SenderReport{NTPTime: ntp.Encode(at), RTPTime: ts}
}

// within tells whether a PTS is right up to the precision of NTP and ticks.
func within(got, want int64) bool { return got >= want-2 && got <= want+2 }

func TestSenderReportsAlign(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		name         string
		late         time.Duration // arrival of audio against video
		report       time.Duration // error of the clock of audio
		video, audio int64         // PTS of what was captured after one second
	}{
		// what was captured together arrives 350 ms later as audio: video moves
		{"late audio", 350 * ms, 0, 90000 + 31500, 48000 + 16800},
		// the other way round: audio moves to where video was placed by its arrival
		{"late video", -350 * ms, 0, 90000 + 31500, 48000 + 16800},
		{"less than 5 ms", 4 * ms, 0, 90000, 48000 + 192},
		{"clocks that are not the same", 0, time.Hour, 90000, 48000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := collect(t, ReceiverOptions{Formats: []format.Format{videoFormat, audioFormat}})
			v0, a0 := uint32(math.MaxUint32-1000), uint32(1000)
			first := zeroTime
			if c.late < 0 {
				// audio is first, and video placed by its arrival
				r.Packet(1, packet(0, a0, false, 1), first)
				r.Packet(0, packet(0, v0, true, 0x41), first.Add(-c.late))
			} else {
				r.Packet(0, packet(0, v0, true, 0x41), first)
				r.Packet(1, packet(0, a0, false, 1), first.Add(c.late))
			}
			at := zeroTime.Add(time.Second)
			r.SenderReport(0, report(at, v0+90000), at)
			r.SenderReport(1, report(at.Add(c.report), a0+48000), at)
			r.SenderReport(1, &rtcp.SenderReport{}, at) // no absolute time

			r.Packet(0, packet(1, v0+90000, true, 0x41), at)
			r.Packet(1, packet(1, a0+48000, false, 1), at)
			video, audio := r.units(0)[1].PTS, r.units(1)[1].PTS
			if !within(video, c.video) || !within(audio, c.audio) {
				t.Errorf("PTS %d and %d, want %d and %d", video, audio, c.video, c.audio)
			}
		})
	}
}

// Once aligned, tracks follow greater differences only, and never go back.
func TestSenderReportsAlignAgain(t *testing.T) {
	t.Parallel()
	r := collect(t, ReceiverOptions{
		Formats: []format.Format{videoFormat, audioFormat}, UseSenderReportNTP: true,
	})
	r.SenderReport(1, report(zeroTime.Add(20*time.Second), 20*48000), zeroTime) // before the first packet
	r.Packet(0, packet(0, 0, true, 0x41), zeroTime)
	r.Packet(1, packet(0, 0, false, 1), zeroTime)
	if u := r.units(0)[0]; !u.NTP.IsZero() {
		t.Errorf("NTP %v without a report", u.NTP)
	}
	if u := r.units(1)[0]; u.NTP.Sub(zeroTime).Abs() > time.Millisecond {
		t.Errorf("NTP is %v, want %v", u.NTP, zeroTime)
	}

	for i, s := range []struct {
		second       uint32
		drift        time.Duration
		video, audio int64 // PTS against the regular one
	}{
		{1, 0, 0, 0},
		{2, 50 * time.Millisecond, 0, 48 * 50}, // the sender is finding out itself
		{10, 50 * time.Millisecond, 0, 48 * 50},
		{11, 100 * time.Millisecond, 0, 48 * 50},
		{12, 200 * time.Millisecond, 0, 48 * 200},
		{13, 199 * time.Millisecond, 0, 48 * 200},
		{14, -150 * time.Millisecond, 90 * 350, 48 * 200},
	} {
		n := s.second
		at := zeroTime.Add(time.Duration(n) * time.Second)
		r.SenderReport(0, report(at, n*90000), at)
		r.SenderReport(1, report(at.Add(s.drift), n*48000), at)
		r.Packet(0, packet(uint16(n), n*90000, true, 0x41), at)
		r.Packet(1, packet(uint16(n), n*48000, false, 1), at)
		video, audio := r.units(0)[i+1].PTS-int64(n)*90000, r.units(1)[i+1].PTS-int64(n)*48000
		if !within(video, s.video) || !within(audio, s.audio) {
			t.Errorf("step %d: moved by %d and %d, want %d and %d", i, video, audio, s.video, s.audio)
		}
		if got := r.units(1)[i+1].NTP; got.Sub(at.Add(s.drift)).Abs() > time.Millisecond {
			t.Errorf("step %d: NTP %v, want %v", i, got, at.Add(s.drift))
		}
	}
}

// Packets that arrive slowly are handed over in parts.
func TestParts(t *testing.T) {
	t.Parallel()
	units := make(chan *media.Unit, 10)
	r := NewReceiver(ReceiverOptions{
		Formats: []format.Format{videoFormat},
		MaxWait: time.Millisecond,
		Write:   func(_ int, u *media.Unit) { units <- u },
	})
	defer r.Close()

	r.Packet(0, packet(0, 1000, false, 0x65), time.Now())
	first := <-units // by the timer
	r.Packet(0, packet(1, 1000, false, 0x65), time.Now())
	second := <-units
	r.Packet(0, packet(2, 1000, true, 0x65), time.Now())
	third := <-units
	r.Packet(0, packet(3, 4000, true, 0x41), time.Now())
	next := <-units

	for i, w := range []struct {
		u         *media.Unit
		more, key bool
		pts       int64
	}{{first, true, true, 0}, {second, true, false, 0}, {third, false, false, 0}, {next, false, false, 3000}} {
		if w.u.More != w.more || w.u.RandomAccess != w.key || w.u.PTS != w.pts || len(w.u.RTP) != 1 {
			t.Errorf("unit %d: %+v", i, w.u)
		}
	}
}

// Without the timer, the next packet hands over what waited too long.
func TestPartsWithoutTimer(t *testing.T) {
	t.Parallel()
	c := collect(t, ReceiverOptions{Formats: []format.Format{videoFormat}})
	c.Packet(0, packet(0, 0, false, 0x41), zeroTime)
	c.Packet(0, packet(1, 0, false, 0x65), zeroTime.Add(2*time.Hour))
	c.Packet(0, packet(2, 0, true, 0x65), zeroTime.Add(2*time.Hour))
	units := c.units(0)
	if len(units) != 2 || len(units[0].RTP) != 2 || !units[0].More || !units[0].RandomAccess ||
		units[1].More || units[1].RandomAccess {
		t.Fatalf("wrong units: %+v", units)
	}
}

// The unit of a sender without markers ends by the timer, once that is known.
func TestMarkerless(t *testing.T) {
	t.Parallel()
	units := make(chan *media.Unit, 10)
	r := NewReceiver(ReceiverOptions{
		Formats: []format.Format{videoFormat},
		MaxWait: time.Millisecond,
		Write:   func(_ int, u *media.Unit) { units <- u },
	})
	defer r.Close()
	for i := range 3 {
		r.Packet(0, packet(uint16(i), uint32(i)*3000, false, 0x41), time.Now())
		u := <-units
		if wantMore := i == 0; u.More != wantMore || u.PTS != int64(i)*3000 {
			t.Errorf("unit %d: %+v", i, u)
		}
	}
}

func TestPendingIsBounded(t *testing.T) {
	t.Parallel()
	c := collect(t, ReceiverOptions{Formats: []format.Format{videoFormat}})
	for i := range maxPendingPackets + 1 {
		c.Packet(0, packet(uint16(i), 0, false, 0x41), zeroTime)
	}
	if units := c.units(0); len(units) != 1 || len(units[0].RTP) != maxPendingPackets || !units[0].More {
		t.Errorf("%d units", len(units))
	}

	c = collect(t, ReceiverOptions{Formats: []format.Format{videoFormat}})
	for i := range 32 {
		c.Packet(0, packet(uint16(i), 0, false, make([]byte, 65000)...), zeroTime)
	}
	if units := c.units(0); len(units) != 1 || len(units[0].RTP) != 17 {
		t.Errorf("%d units", len(units))
	}
}

func BenchmarkReceiver(b *testing.B) {
	r := NewReceiver(ReceiverOptions{
		Formats: []format.Format{videoFormat},
		Write:   func(int, *media.Unit) {},
	})
	defer r.Close()
	pkts := h264Packets(b, 0, 0, 1400, data([]byte{0x41}, 16000))
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for _, pkt := range pkts {
			r.Packet(0, pkt, now)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(pkts)), "ns/packet")
}

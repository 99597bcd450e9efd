package router_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// rtpStream publishes a track of RTP packets.
func rtpStream(t testing.TB, cfg router.Config, codec media.Codec) (*router.Publisher, *routertest.Depacketizer) {
	t.Helper()
	cfg.Paths = []router.PathConfig{{Name: "cam", UseAbsoluteTimestamp: true}}
	_, h := startHost(t, cfg)
	d := &routertest.Depacketizer{}
	g := authorize(t, h, router.AccessRequest{Action: router.ActionPublish, Path: "cam"})
	pub, err := g.Publish(t.Context(), []media.Track{{Codec: codec}}, router.PublishOptions{Depacketizers: []media.Depacketizer{d}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub, d
}

// part is a part of access unit n: packets from to to, of which the last one may
// end the access unit.
func part(n, from, to int, last bool) *media.Unit {
	u := &media.Unit{PTS: int64(n), More: !last, RandomAccess: n%4 == 0}
	for i := from; i <= to; i++ {
		u.RTP = append(u.RTP, &rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: uint16(i), Marker: last && i == to},
			Payload: []byte{byte(n), byte(i)},
		})
	}
	return u
}

// log collects units as text: "n:from-to" for packets, "n=from-to" for payloads.
type log struct {
	mu   sync.Mutex
	list []string
}

func (l *log) add(_ int, u *media.Unit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, describe(u))
}

func describe(u *media.Unit) string {
	if u.Payload != nil {
		return fmt.Sprintf("%d=%d-%d", u.PTS, u.Payload[0][1], u.Payload[len(u.Payload)-1][1])
	}
	return fmt.Sprintf("%d:%d-%d", u.PTS, u.RTP[0].SequenceNumber, u.RTP[len(u.RTP)-1].SequenceNumber)
}

func (l *log) want(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.list, want) {
		t.Errorf("got %v, want %v", l.list, want)
	}
	l.list = nil
}

func TestTaps(t *testing.T) {
	t.Parallel()
	pub, d := rtpStream(t, config(), &media.KLV{})
	s := pub.Stream()
	if s.Depacketizer(0) != media.Depacketizer(d) || s.Depacketizer(1) != nil {
		t.Error("wrong depacketizer")
	}
	var packets, payloads log
	tap := s.Tap(router.TapOptions{RTP: true}, packets.add)
	pub.Write(0, part(0, 0, 2, true))
	if d.Calls != 0 {
		t.Error("packets were depacketized although nobody wants payloads")
	}
	both := s.Tap(router.TapOptions{}, payloads.add)
	pub.Write(0, part(1, 3, 4, false))
	pub.Write(0, part(1, 5, 6, true))
	if d.Calls != 4 {
		t.Errorf("%d packets were depacketized", d.Calls)
	}
	packets.want(t, "0:0-2", "1:3-4", "1:5-6")
	payloads.want(t, "1=3-6")
	both.Close()
	both.Close()
	pub.Write(0, part(2, 7, 7, true))
	if d.Calls != 4 {
		t.Error("packets are depacketized although nobody wants payloads anymore")
	}
	tap.Close()
	pub.Write(0, part(3, 8, 8, true))
	packets.want(t, "2:7-7")
	payloads.want(t)
}

// Publishers of payloads reach taps of RTP, too.
func TestTapOfPayloads(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := publish(t, r, "cam")
	var a, b atomic.Int64
	pub.Stream().Tap(router.TapOptions{RTP: true}, func(int, *media.Unit) { a.Add(1) })
	pub.Stream().Tap(router.TapOptions{}, func(int, *media.Unit) { b.Add(1) })
	pub.Write(0, message("x"))
	if a.Load() != 1 || b.Load() != 1 {
		t.Errorf("got %d and %d calls", a.Load(), b.Load())
	}
	if pub.Stream().Depacketizer(0) != nil {
		t.Error("there is a depacketizer")
	}
}

// Who joins in the middle of an access unit gets the next one, whole.
func TestJoinInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, codec := range map[string]media.Codec{"data": &media.KLV{}, "video": &media.MJPEG{}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pub, _ := rtpStream(t, config(), codec)
			s := pub.Stream()
			pub.Write(0, part(0, 0, 1, false))
			var packets, payloads, later log
			s.Tap(router.TapOptions{RTP: true}, packets.add)
			s.Tap(router.TapOptions{}, payloads.add)
			subPackets := subscribe(t, s, router.SubscribeOptions{RTP: true})
			subAny := subscribe(t, s, router.SubscribeOptions{RTP: true, AnyStart: true})
			subPayloads := subscribe(t, s, router.SubscribeOptions{})
			pub.Write(0, part(0, 2, 3, false)) // a key frame in all of its parts
			pub.Write(0, part(0, 4, 5, true))
			packets.want(t)
			payloads.want(t)

			pub.Write(0, part(4, 6, 7, false))
			s.Tap(router.TapOptions{}, later.add) // others have the first part already
			pub.Write(0, part(4, 8, 9, true))
			packets.want(t, "4:6-7", "4:8-9")
			payloads.want(t, "4=6-9")
			later.want(t, "4=6-9")
			for _, sub := range []*router.Subscription{subPackets, subAny, subPayloads} {
				want := []string{"4:6-7", "4:8-9"}
				if sub == subPayloads {
					want = []string{"4=6-9"}
				}
				for _, w := range want {
					_, u, err := sub.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if got := describe(u); got != w {
						t.Errorf("got %s, want %s", got, w)
					}
				}
			}
		})
	}
}

// What the last subscriber leaves half read does not spoil the next one's units.
func TestLeaveInTheMiddle(t *testing.T) {
	t.Parallel()
	pub, _ := rtpStream(t, config(), &media.KLV{})
	s := pub.Stream()
	var first, second log
	tap := s.Tap(router.TapOptions{}, first.add)
	pub.Write(0, part(0, 0, 1, false))
	tap.Close()
	pub.Write(0, part(0, 2, 3, true))
	pub.Write(0, part(1, 4, 4, true))
	s.Tap(router.TapOptions{}, second.add)
	pub.Write(0, part(2, 5, 6, true))
	first.want(t)
	second.want(t, "2=5-6")
}

// A part that does not fit into the queue takes the rest of its access unit with
// it.
func TestDroppedPart(t *testing.T) {
	t.Parallel()
	pub, _ := rtpStream(t, config(), &media.KLV{})
	sub := subscribe(t, pub.Stream(), router.SubscribeOptions{RTP: true, QueueSize: 1})
	pub.Write(0, part(0, 0, 0, true))
	pub.Write(0, part(1, 1, 1, false)) // does not fit
	if _, _, err := sub.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	pub.Write(0, part(1, 2, 2, true)) // would fit
	pub.Write(0, part(2, 3, 3, true))
	_, u, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(u); got != "2:3-3" {
		t.Errorf("got %s", got)
	}
}

func TestDepacketizeErrorsAreCounted(t *testing.T) {
	t.Parallel()
	pub, d := rtpStream(t, config(), &media.KLV{})
	d.DepacketizeFunc = func(*rtp.Packet) ([][]byte, error) { return nil, fmt.Errorf("damaged") }
	var l log
	pub.Stream().Tap(router.TapOptions{}, l.add)
	pub.Write(0, part(0, 0, 2, true))
	l.want(t)
	if d.Calls != 3 || pub.Err() != nil {
		t.Errorf("%d calls, error %v", d.Calls, pub.Err())
	}
}

// When Close returns, the function is not running and is not called again.
func TestTapCloseIsABarrier(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := publish(t, r, "cam")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				pub.Write(0, message("x"))
				runtime.Gosched()
			}
		}
	}()
	for range 200 {
		calls := 0 // not atomic: if the barrier has a hole, the race detector sees it
		tap := pub.Stream().Tap(router.TapOptions{}, func(int, *media.Unit) { calls++ })
		runtime.Gosched()
		tap.Close()
		before := calls
		runtime.Gosched()
		if calls != before {
			t.Fatal("the function was called after Close")
		}
	}
	close(stop)
	wantDone(t, done)
}

func TestAbsoluteTime(t *testing.T) {
	t.Parallel()
	capture := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := start(t, router.PathConfig{Name: "local"}, router.PathConfig{Name: "absolute", UseAbsoluteTimestamp: true})
	for path, want := range map[string]bool{"local": false, "absolute": true} {
		pub := publish(t, r, path)
		rd := read(t, r, path)
		pub.Write(0, &media.Unit{PTS: 90000, NTP: capture, Payload: [][]byte{{1}}})
		pub.Write(0, &media.Unit{PTS: 180000, Payload: [][]byte{{1}}})
		pub.Write(0, &media.Unit{PTS: 90000 * 3600, Payload: [][]byte{{1}}}) // a jump
		var ntp []time.Time
		for range 3 {
			_, u, err := rd.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ntp = append(ntp, u.NTP)
		}
		if ntp[0].Equal(capture) != want {
			t.Errorf("%s: absolute time %v", path, ntp[0])
		}
		if d := ntp[1].Sub(ntp[0]); !want && d != time.Second {
			t.Errorf("%s: one second of media is %v", path, d)
		}
		if d := time.Since(ntp[2]); d > patience || d < -patience {
			t.Errorf("%s: after a jump of time stamps, the clock is %v off", path, d)
		}
	}
}

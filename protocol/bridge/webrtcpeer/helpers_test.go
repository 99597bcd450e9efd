package webrtcpeer

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/protocol/internal/rtcegress"
	"github.com/org/mtx/router/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long something that must happen may take.
const patience = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

var quiet = slog.New(slog.DiscardHandler)

// newServer returns an engine with a UDP port on the loopback interface.
func newServer(t testing.TB, change func(*EngineConfig)) *Engine {
	t.Helper()
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := rtcegress.Wrap(pc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newEngine(t, func(c *EngineConfig) {
		c.UDP = conn
		if change != nil {
			change(c)
		}
	})
}

func newEngine(t testing.TB, change func(*EngineConfig)) *Engine {
	t.Helper()
	cfg := EngineConfig{Log: quiet}
	if change != nil {
		change(&cfg)
	}
	e, err := NewEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// filled returns bytes that begin with head and hold no start code.
func filled(head []byte, n int) []byte {
	b := bytes.Clone(head)
	for i := len(b); i < n; i++ {
		b = append(b, byte(i%250)+3)
	}
	return b
}

var (
	h264SPS = []byte{
		0x67, 0x64, 0x00, 0x0c, 0xac, 0x3b, 0x50, 0xb0, 0x4b, 0x42, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00,
		0x00, 0x03, 0x00, 0x3d, 0x08,
	}
	h264PPS = []byte{0x68, 0xee, 0x3c, 0x80}
	h265VPS = []byte{
		0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03,
		0x00, 0x00, 0x03, 0x00, 0x78, 0x99, 0x98, 0x09,
	}
	h265SPS = []byte{
		0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
		0x00, 0x78, 0xa0, 0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00,
		0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
	}
	h265PPS     = []byte{0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40}
	av1Sequence = []byte{8, 0, 0, 0, 66, 167, 191, 228, 96, 13, 0, 64}
	vp9Key      = []byte{
		0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xf0, 0x32, 0x34, 0x30, 0x38, 0x24, 0x1c, 0x19, 0x40, 0x18,
		0x03, 0x40, 0x5f, 0xb4,
	}
)

// codecCase is a codec with an access unit.
type codecCase struct {
	name    string
	codec   media.Codec
	payload [][]byte
}

func codecCases() []codecCase {
	return []codecCase{
		{"av1", &media.AV1{SequenceHeader: av1Sequence}, [][]byte{av1Sequence, filled([]byte{0x30}, 3000)}},
		{"vp9", &media.VP9{}, [][]byte{filled(vp9Key, 3000)}},
		{"vp8", &media.VP8{}, [][]byte{filled([]byte{0x10}, 3000)}},
		{
			"h265", &media.H265{VPS: h265VPS, SPS: h265SPS, PPS: h265PPS},
			[][]byte{h265VPS, h265SPS, h265PPS, filled([]byte{0x26, 0x01}, 3000)},
		},
		{
			"h264", &media.H264{SPS: h264SPS, PPS: h264PPS},
			[][]byte{h264SPS, h264PPS, filled([]byte{0x65}, 3000)},
		},
		{"opus", &media.Opus{ChannelCount: 2}, [][]byte{filled([]byte{0xfc}, 100)}},
		{"opus mono", &media.Opus{ChannelCount: 1}, [][]byte{filled([]byte{0xf8}, 100)}},
		{"opus 5.1", &media.Opus{ChannelCount: 6}, [][]byte{filled([]byte{0xfc}, 100)}},
		{"g722", &media.G722{}, [][]byte{filled([]byte{1}, 160)}},
		{"pcmu", &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}, [][]byte{filled([]byte{1}, 160)}},
		{"pcma", &media.G711{SampleRate: 8000, ChannelCount: 1}, [][]byte{filled([]byte{1}, 160)}},
		{"l16", &media.LPCM{BitDepth: 16, SampleRate: 48000, ChannelCount: 2}, [][]byte{filled([]byte{1}, 960)}},
	}
}

func tracksOf(cases ...codecCase) []media.Track {
	var list []media.Track
	for _, c := range cases {
		list = append(list, media.Track{Codec: c.codec})
	}
	return list
}

// feeder is a stream that sends an access unit of every track each 10 ms.
type feeder struct {
	pool  *egress.Pool
	group *egress.Group
	cases []codecCase
	stop  chan struct{}
	wg    sync.WaitGroup
	keys  atomic.Int32 // key frames that readers asked for
	sent  atomic.Int32
}

func newFeeder(t testing.TB, cases ...codecCase) *feeder {
	f := &feeder{pool: egress.NewPool(1), cases: cases, stop: make(chan struct{})}
	f.group = f.pool.NewGroup()
	t.Cleanup(func() {
		close(f.stop)
		f.wg.Wait()
		f.group.Close()
		f.pool.Close()
	})
	return f
}

// run packetizes as one of the readers wants it.
func (f *feeder) run(t testing.TB, outputs []Output) {
	var ps []*rtpbridge.Packetizer
	for _, o := range outputs {
		if o.Format == nil {
			ps = append(ps, nil)
			continue
		}
		p, err := rtpbridge.NewPacketizer(rtpbridge.PacketizerOptions{
			Track: media.Track{Codec: o.Codec}, Format: o.Format, SSRC: 1, MaxSize: 1200,
		})
		if err != nil {
			t.Error(err)
			return
		}
		ps = append(ps, p)
	}
	f.wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-f.stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			for i, o := range outputs {
				f.unit(o, ps[i], n)
			}
			f.sent.Add(1)
		}
	})
}

func (f *feeder) unit(o Output, p *rtpbridge.Packetizer, n int) {
	c := f.cases[o.Track]
	u := &media.Unit{
		PTS: int64(n) * int64(c.codec.ClockRate()) / 100, RandomAccess: true, Payload: c.payload,
	}
	if o.Convert != nil {
		if u = o.Convert(u); u == nil {
			return
		}
	}
	if o.Data != nil {
		o.Data(u)
		return
	}
	var pkts rtpbridge.Packets
	_ = p.Append(&pkts, u)
	m := f.pool.NewMessage()
	m.Track, m.Video, m.Key = o.Track, c.codec.Kind() == media.Video, true
	b := f.pool.Get(len(pkts.Data))
	data := pkts.Data
	for _, size := range pkts.Sizes {
		b.AppendPacket(data[:size])
		data = data[size:]
	}
	m.SetPackets(b)
	f.group.Send(m)
}

// serve connects a sender to the stream.
func (f *feeder) serve(ctx context.Context, t testing.TB, s *Sender) {
	t.Helper()
	s.OnKeyFrameRequest(func() { f.keys.Add(1) })
	if err := s.Connected(ctx); err != nil {
		t.Fatal("sender:", err)
	}
	f.group.Add(s.Viewer())
	go func() {
		<-s.Done()
		f.group.Remove(s.Viewer())
	}()
}

// collector keeps what a receiver hands over.
type collector struct {
	mu       sync.Mutex
	origins  []media.Depacketizer
	payloads map[int][][][]byte
	units    map[int]int
	codecs   map[int]media.Codec
	lastNTP  time.Time
	gaps     int
	seq      map[int]uint16
	changed  chan struct{}
}

// collect receives in the background until the receiver ends.
func collect(ctx context.Context, t testing.TB, r *Receiver) ([]media.Track, *collector) {
	t.Helper()
	tracks, origins, err := r.Tracks(ctx)
	if err != nil {
		t.Fatal("tracks:", err)
	}
	c := &collector{
		origins: origins, payloads: map[int][][][]byte{}, units: map[int]int{}, codecs: map[int]media.Codec{},
		seq: map[int]uint16{}, changed: make(chan struct{}, 1),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(context.Background(), c.write, c.update)
	}()
	t.Cleanup(func() { r.Close(); <-done })
	return tracks, c
}

func (c *collector) update(track int, codec media.Codec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.codecs[track] = codec
}

func (c *collector) write(track int, u *media.Unit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.units[track]++
	c.lastNTP = u.NTP
	for _, pkt := range u.RTP {
		if last, ok := c.seq[track]; ok && pkt.SequenceNumber != last+1 {
			c.gaps++
		}
		c.seq[track] = pkt.SequenceNumber
		p, err := c.origins[track].Depacketize(pkt)
		if err == nil && p != nil {
			c.payloads[track] = append(c.payloads[track], p)
		}
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// wait waits until a condition holds.
func (c *collector) wait(ctx context.Context, t testing.TB, what string, cond func() bool) {
	t.Helper()
	for {
		c.mu.Lock()
		ok := cond()
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			t.Fatalf("%s: does not happen", what)
		}
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: does not happen", what)
		}
	}
}

// publish connects a publishing client with a server.
func publish(ctx context.Context, t testing.TB, client, server *Engine, tracks []media.Track, o ReceiveOptions) (*Sender, *Receiver) {
	t.Helper()
	s, offer, err := client.OfferSend(ctx, SendOptions{Tracks: tracks})
	if err != nil {
		t.Fatal(err)
	}
	r, answer, err := server.Answer(ctx, offer, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetAnswer(answer); err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	return s, r
}

// read connects a reading client with a server.
func read(ctx context.Context, t testing.TB, client, server *Engine, tracks []media.Track) (*Sender, *Receiver) {
	t.Helper()
	r, offer, err := client.OfferReceive(ctx, ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, answer, err := server.AnswerSend(ctx, offer, SendOptions{Tracks: tracks})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetAnswer(answer); err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	return s, r
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

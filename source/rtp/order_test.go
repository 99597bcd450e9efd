package rtp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/datagram"
)

// collector is what a reorder delivers.
type collector struct {
	seqs []uint16
	lost uint64
}

func (c *collector) order() *reorder {
	return &reorder{
		deliver: func(p *rtp.Packet, _ time.Time) { c.seqs = append(c.seqs, p.SequenceNumber) },
		lost:    func(n uint64) { c.lost += n },
	}
}

func numbered(seq uint16) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq}}
}

func TestReorder(t *testing.T) {
	t.Parallel()
	span := func(from, to int) []uint16 {
		var out []uint16
		for i := from; i <= to; i++ {
			out = append(out, uint16(i))
		}
		return out
	}
	for _, ca := range []struct {
		name string
		in   []uint16
		want []uint16
		lost uint64
	}{
		{"in order", span(10, 20), span(10, 20), 0},
		{"wraps around", span(65530, 65545), span(65530, 65545), 0},
		{"swapped", []uint16{1, 3, 2, 4}, span(1, 4), 0},
		{"swapped around zero", []uint16{65534, 0, 65535, 1}, span(65534, 65537), 0},
		{"duplicates", []uint16{1, 1, 3, 3, 2, 2, 1, 4}, span(1, 4), 0},
		{"late", []uint16{5, 4, 6}, []uint16{5, 6}, 0},
		{"one lost", append(span(1, 4), span(6, 100)...), append(span(1, 4), span(6, 100)...), 1},
		{"gap of the window", append(span(1, 4), span(100, 200)...), append(span(1, 4), span(100, 200)...), 95},
		{"two gaps", slices.Concat(span(1, 4), span(6, 8), span(10, 90)), slices.Concat(span(1, 4), span(6, 8), span(10, 90)), 2},
		{"large gap", append(span(1, 4), span(2000, 2100)...), append(span(1, 4), span(2000, 2100)...), 1995},
		{"one that is far off", []uint16{1, 2, 30000, 3, 4}, span(1, 4), 1},
		{"starts over", append(span(1, 4), span(30000, 30010)...), append(span(1, 4), span(30000, 30010)...), 0},
		{"starts over further back", append(span(30000, 30004), span(7, 9)...), append(span(30000, 30004), span(7, 9)...), 0},
	} {
		var c collector
		o := c.order()
		now := time.Unix(1, 0)
		for _, seq := range ca.in {
			o.push(numbered(seq), now)
		}
		o.flush(now)
		if !slices.Equal(c.seqs, ca.want) || c.lost != ca.lost {
			t.Errorf("%s: %v, %d lost, want %v, %d", ca.name, c.seqs, c.lost, ca.want, ca.lost)
		}
	}
}

func TestReorderTime(t *testing.T) {
	t.Parallel()
	var c collector
	o := c.order()
	now := time.Unix(1, 0)
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	o.push(numbered(1), at(0))
	o.push(numbered(3), at(10))
	o.push(numbered(5), at(50))
	if d := o.patience(at(50)); d != 60*time.Millisecond {
		t.Errorf("patience %v", d)
	}
	o.expire(at(109))
	if len(c.seqs) != 1 {
		t.Errorf("too early: %v", c.seqs)
	}
	o.expire(at(110))
	if !slices.Equal(c.seqs, []uint16{1, 3}) || c.lost != 1 {
		t.Errorf("%v, %d lost", c.seqs, c.lost)
	}
	o.expire(at(150))
	if !slices.Equal(c.seqs, []uint16{1, 3, 5}) || c.lost != 2 || o.held != 0 {
		t.Errorf("%v, %d lost", c.seqs, c.lost)
	}
	// after silence, a number from shortly before is a new beginning
	o.push(numbered(2), at(2000))
	o.push(numbered(3), at(2001))
	o.push(numbered(4), at(2002))
	if !slices.Equal(c.seqs, []uint16{1, 3, 5, 2, 3, 4}) {
		t.Errorf("%v", c.seqs)
	}
}

func FuzzReorder(f *testing.F) {
	f.Add([]byte{0, 1, 0, 3, 0, 2, 255, 255, 0, 0})
	f.Add([]byte{255, 255, 0, 0, 10, 0, 10, 1, 10, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c collector
		o := c.order()
		now := time.Unix(1, 0)
		for i := 0; i+1 < len(b); i += 2 {
			now = now.Add(time.Duration(b[i]) * time.Millisecond)
			o.push(numbered(binary.BigEndian.Uint16(b[i:])), now)
			o.expire(now)
			if o.held < 0 || o.held >= window {
				t.Fatalf("%d are held", o.held)
			}
			if o.held > 0 && o.patience(now) <= 0 {
				t.Fatal("it waits too long")
			}
		}
		o.flush(now)
		if o.held != 0 || len(c.seqs) > len(b)/2 {
			t.Errorf("%d of %d delivered, %d held", len(c.seqs), len(b)/2, o.held)
		}
	})
}

func TestSplitter(t *testing.T) {
	t.Parallel()
	var packets [][]byte
	for i := range 200 {
		p := packet(uint32(1+i%3), i/3)
		p.Payload = bytes.Repeat([]byte{0x80, 96, byte(i)}, 1+i*2)
		packets = append(packets, marshal(p))
	}
	sr := []byte{0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	packets = slices.Insert(packets, 50, sr)
	packets = slices.Insert(packets, 0, sr)
	for _, framed := range []bool{false, true} {
		for _, together := range []int{1, 2, 7, 30} {
			t.Run(fmt.Sprintf("framed %v, %d in a read", framed, together), func(t *testing.T) {
				t.Parallel()
				var got [][]byte
				s := newSplitter(func(b []byte, _ time.Time) { got = append(got, bytes.Clone(b)) },
					func(err error) { t.Error(err) })
				// senders must be known before their packets are told apart
				for _, p := range slices.Concat(packets[:4], [][]byte{}) {
					s.push(frame(framed, p), time.Time{})
				}
				for chunk := range slices.Chunk(packets[4:], together) {
					var b []byte
					for _, p := range chunk {
						b = append(b, frame(framed, p)...)
					}
					half := 0
					if framed {
						half = len(b) / 3
					}
					for _, part := range [][]byte{b[:half], b[half:]} {
						if len(part) > 0 {
							s.push(part, time.Time{})
						}
					}
				}
				if !slices.EqualFunc(got, packets, bytes.Equal) {
					i := 0
					for i < min(len(got), len(packets)) && bytes.Equal(got[i], packets[i]) {
						i++
					}
					t.Errorf("%d packets, want %d; number %d is wrong", len(got), len(packets), i)
				}
			})
		}
	}
}

// frame puts the length in front.
func frame(framed bool, p []byte) []byte {
	if !framed {
		return p
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)
}

func FuzzSplitter(f *testing.F) {
	a, b := marshal(packet(1, 0)), marshal(packet(1, 1))
	f.Add(slices.Concat(a, b), 1000)
	f.Add(slices.Concat(frame(true, a), frame(true, b)), 7)
	f.Add([]byte{0x80, 200, 0xff, 0xff, 1, 2, 3, 4, 5}, 3)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		size = min(max(size, 1), 1<<16)
		bytes := 0
		s := newSplitter(func(b []byte, _ time.Time) {
			bytes += len(b)
			if len(b) == 0 {
				t.Error("an empty packet")
			}
		}, func(error) {})
		for chunk := range slices.Chunk(data, size) {
			s.push(chunk, time.Time{})
			if len(s.buf) > 2<<16 || len(s.senders) > maxSenders {
				t.Errorf("%d bytes and %d senders are held", len(s.buf), len(s.senders))
			}
		}
		if bytes > len(data) {
			t.Errorf("%d bytes of %d", bytes, len(data))
		}
	})
}

// FuzzDatagram gives packets of the network to everything behind the socket but
// the router.
func FuzzDatagram(f *testing.F) {
	f.Add(marshal(packet(1, 0)), marshal(packet(1, 2)))
	f.Add([]byte{0xbf, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0xa0, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff})
	f.Add([]byte{0x80, 200, 0, 6, 0, 0, 0, 1}, bytes.Repeat([]byte{0x90, 96, 0xbe, 0xde}, 40))
	f.Fuzz(func(_ *testing.T, a, b []byte) {
		sess, err := describe(bothSDP)
		if err != nil {
			panic(err)
		}
		r := testReceiver(sess)
		now := time.Unix(1, 0)
		for _, p := range [][]byte{a, b, a} {
			r.datagram(p, now)
			r.reports(p, now)
			now = now.Add(takeover)
			r.expire(now)
		}
	})
}

// testReceiver depacketizes, and publishes nothing.
func testReceiver(s *session) *receiver {
	r := &receiver{
		session: s,
		faults:  datagram.NewFaults(slog.New(slog.DiscardHandler)),
		senders: make([]sender, len(s.tracks)),
		ssrcs:   make([]atomic.Uint64, len(s.tracks)),
	}
	for i := range r.senders {
		r.senders[i].begun = func(ssrc uint32) { r.ssrcs[i].Store(uint64(ssrc) + 1) }
		r.senders[i].invalid = r.faults.Invalid
		r.senders[i].order.lost = r.faults.Lost
		r.senders[i].order.deliver = func(pkt *rtp.Packet, _ time.Time) { _, _ = s.depack[i].Depacketize(pkt) }
	}
	return r
}

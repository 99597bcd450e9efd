package webrtcpeer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// order runs a reorder buffer on sequence numbers.
type order struct {
	reorder
	out  []int
	gone int
	now  time.Time
}

func newOrder() *order {
	o := &order{now: time.Unix(1000, 0)}
	o.emit = func(a arrived) { o.out = append(o.out, int(a.pkt.SequenceNumber)) }
	o.reorder.lost = func(n int) { o.gone += n }
	return o
}

func (o *order) take(seqs ...int) {
	for _, s := range seqs {
		o.push(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(s)}}, o.now)
	}
}

func TestReorder(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		name string
		in   []int
		out  []int // at once
		late []int // after the wait too
		gone int
	}{
		{"in order", []int{1, 2, 3}, []int{1, 2, 3}, nil, 0},
		{"swapped", []int{1, 3, 2, 4}, []int{1, 2, 3, 4}, nil, 0},
		{"duplicates", []int{1, 1, 2, 2, 1}, []int{1, 2}, nil, 0},
		{"duplicate that waits", []int{1, 3, 3, 2}, []int{1, 2, 3}, nil, 0},
		{"lost", []int{1, 4, 5}, []int{1}, []int{4, 5}, 2},
		{"two gaps", []int{1, 3, 5}, []int{1}, []int{3, 5}, 2},
		{"too late", []int{5, 4, 6}, []int{5, 6}, nil, 0},
		{"wrap", []int{65534, 0, 65535, 1}, []int{65534, 65535, 0, 1}, nil, 0},
		{"one far away", []int{1, 2, 20000, 3}, []int{1, 2, 3}, nil, 0},
		{"restart", []int{1, 2, 20000, 20001, 20002}, []int{1, 2, 20001, 20002}, nil, 0},
		{"restart backwards", []int{20000, 20001, 5, 6, 7}, []int{20000, 20001, 6, 7}, nil, 0},
		{"restart over a gap", []int{1, 3, 20000, 20001}, []int{1, 3, 20001}, nil, 1},
		{"window", []int{1, 3, 2000}, []int{1, 3}, []int{2000}, 1997},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			o := newOrder()
			o.take(ca.in...)
			if !slices.Equal(o.out, ca.out) {
				t.Errorf("at once: %v, want %v", o.out, ca.out)
			}
			o.expire(o.now.Add(99*time.Millisecond), 100*time.Millisecond)
			if !slices.Equal(o.out, ca.out) {
				t.Errorf("too early: %v", o.out)
			}
			o.expire(o.now.Add(100*time.Millisecond), 100*time.Millisecond)
			if want := slices.Concat(ca.out, ca.late); !slices.Equal(o.out, want) || o.gone != ca.gone || o.waiting() {
				t.Errorf("in the end: %v, want %v; %d lost, want %d", o.out, want, o.gone, ca.gone)
			}
		})
	}
}

func TestReorderAsk(t *testing.T) {
	t.Parallel()
	o := newOrder()
	o.take(1, 4, 6)
	again := 50 * time.Millisecond
	if got := o.ask(nil, o.now, again); fmt.Sprint(got) != "[2 3 5]" {
		t.Error(got)
	}
	if got := o.ask(nil, o.now.Add(again-1), again); len(got) != 0 {
		t.Error("again too early:", got)
	}
	o.take(3)
	if got := o.ask(nil, o.now.Add(again), again); fmt.Sprint(got) != "[2 5]" {
		t.Error(got)
	}
	for i := range 100 {
		o.ask(nil, o.now.Add(time.Duration(i)*time.Second), again)
	}
	if got := o.ask(nil, o.now.Add(time.Hour), again); len(got) != 0 {
		t.Error("asked without end:", got)
	}
	o = newOrder()
	o.take(1, 900)
	if got := o.ask(nil, o.now, again); len(got) != maxPerNACK {
		t.Errorf("%d numbers in a NACK", len(got))
	}
}

// FuzzReorder checks that packets come out in order, whatever comes in.
func FuzzReorder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{0, 0, 200, 1, 255, 7, 128, 128})
	f.Fuzz(func(t *testing.T, data []byte) {
		o := newOrder()
		seq := 0
		for _, b := range data {
			seq += int(int8(b))
			if b > 250 {
				seq += int(b) * 40
			}
			o.take(seq & 0xffff)
			o.now = o.now.Add(time.Duration(b%8) * time.Millisecond)
			o.ask(nil, o.now, 0)
			o.expire(o.now, 20*time.Millisecond)
		}
		o.expire(o.now.Add(time.Hour), time.Second)
		if o.waiting() {
			t.Fatal("packets wait for ever")
		}
		for i := 1; i < len(o.out); i++ {
			// by how much it differs from the number that is due
			if d := int16(uint16(o.out[i]) - uint16(o.out[i-1]) - 1); d < 0 && d > -restartDistance {
				t.Fatalf("%d after %d", o.out[i], o.out[i-1])
			}
		}
	})
}

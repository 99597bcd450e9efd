package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

// testFrame is a patched frame of several packets.
func testFrame(seq uint16, number uint32, sent int64) *frame {
	f := newFrame(spsNALU, ppsNALU, makeSlice(5000, true, rand.New(rand.NewPCG(1, 2))))
	f.patch(seq, 0, sent, number)
	return f
}

func TestMeterFrame(t *testing.T) {
	t.Parallel()
	var recording atomic.Bool
	recording.Store(true)
	m := newMeter(30, &recording)
	const wraps = 0xfffe // sequence numbers wrap within the first frame
	first := testFrame(wraps, 1, now())
	next := uint16(wraps)
	next += uint16(len(first.packets))
	third := testFrame(next, 3, now())

	for _, f := range []*frame{first, third} {
		if used, ok := interleaved(f.buf, m.packet); used != len(f.buf) || !ok {
			t.Fatalf("used %d of %d, ok %v", used, len(f.buf), ok)
		}
	}
	if got, want := m.packets.Load(), int64(len(first.packets)+len(third.packets)); got != want {
		t.Errorf("%d packets, want %d", got, want)
	}
	if got, want := m.bytes.Load(), int64(len(first.buf)+len(third.buf)-4*(len(first.packets)+len(third.packets))); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	if m.lost.Load() != 0 || m.lostFrames.Load() != 1 {
		t.Errorf("lost %d packets, %d frames, want 0, 1", m.lost.Load(), m.lostFrames.Load())
	}
	if l := m.takeLatencies(); len(l) != 2 || l[0] <= 0 || l[1] <= 0 {
		t.Errorf("latencies %v, want two above 0", l)
	}
	select {
	case <-m.keyed:
	default:
		t.Error("frame 1 was not taken for a key frame")
	}
}

func TestMeterSequence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		seqs []uint16
		lost int64
	}{
		"in order":  {[]uint16{5, 6, 7}, 0},
		"wrapped":   {[]uint16{0xffff, 0, 1}, 0},
		"gap":       {[]uint16{5, 9}, 3},
		"late":      {[]uint16{5, 7, 6, 8}, 0},
		"duplicate": {[]uint16{5, 5, 6}, 0},
	} {
		m := newMeter(30, &atomic.Bool{})
		for _, s := range c.seqs {
			m.sequence(s)
		}
		if m.lost.Load() != c.lost {
			t.Errorf("%s: %d lost, want %d", name, m.lost.Load(), c.lost)
		}
	}
}

func TestInterleavedPieces(t *testing.T) {
	t.Parallel()
	f := testFrame(1, 1, 1)
	stream := bytes.Clone(f.buf)
	stream = append(stream, "RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n"...)
	stream = append(stream, '$', 1, 0, 2, 0x80, 200) // RTCP: not counted
	stream = append(stream, f.buf...)

	var packets int
	var buf []byte
	for _, c := range stream { // the worst case: one byte at a time
		buf = append(buf, c)
		used, ok := interleaved(buf, func([]byte) { packets++ })
		if !ok {
			t.Fatal("refused")
		}
		buf = buf[used:]
	}
	if want := 2 * len(f.packets); packets != want || len(buf) != 0 {
		t.Errorf("%d packets and %d bytes left, want %d and 0", packets, len(buf), want)
	}
	if _, ok := interleaved([]byte("nonsense"), func([]byte) {}); ok {
		t.Error("nonsense was accepted")
	}
}

func TestStamp(t *testing.T) {
	t.Parallel()
	b := make([]byte, 40)
	putStamp(b[7:], 123456789012345, 4000000)
	sent, number, ok := findStamp(b)
	if !ok || sent != 123456789012345 || number != 4000000 {
		t.Errorf("got %d, %d, %v", sent, number, ok)
	}
	if _, _, ok := findStamp(b[:7+stampLen-1]); ok {
		t.Error("an incomplete stamp was found")
	}
}

func TestStampAreaExtension(t *testing.T) {
	t.Parallel()
	f := newFrame(makeSlice(100, false, rand.New(rand.NewPCG(1, 2))))
	p := f.buf[f.packets[0]:]
	// the same packet with a contributing source and a header extension of a word
	ext := append([]byte{p[0] | 0x11}, p[1:12]...)
	ext = append(ext, 1, 2, 3, 4, 0xbe, 0xde, 0, 1, 0, 0, 0, 0)
	ext = append(ext, p[12:]...)
	if a, b := stampArea(p), stampArea(ext); a == nil || !bytes.Equal(a, b) {
		t.Errorf("%x and %x differ", a, b)
	}
}

func TestPercentileAndMedian(t *testing.T) {
	t.Parallel()
	sorted := make([]int64, 101)
	for i := range sorted {
		sorted[i] = int64(i)
	}
	for q, want := range map[float64]int64{0: 0, 0.5: 50, 0.99: 99, 1: 100} {
		if got := percentile(sorted, q); got != want {
			t.Errorf("percentile %v is %d, want %d", q, got, want)
		}
	}
	if percentile(nil, 0.5) != 0 || median(nil) != 0 {
		t.Error("nothing must give 0")
	}
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Errorf("median of three is %v", got)
	}
	if got := median([]float64{4, 1, 2, 9}); got != 3 {
		t.Errorf("median of four is %v", got)
	}
}

func FuzzInterleaved(f *testing.F) {
	f.Add(testFrame(1, 1, 1).buf)
	f.Add([]byte("RTSP/1.0 200 OK\r\n\r\n$\x00\x00\x0d\x90\x60"))
	f.Add([]byte{'$', 0, 0, 14, 0x9f, 0xe0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMeter(30, &atomic.Bool{})
		used, _ := interleaved(b, m.packet)
		if used < 0 || used > len(b) {
			t.Fatalf("used %d of %d", used, len(b))
		}
		if m.bytes.Load() > int64(used) {
			t.Fatalf("%d bytes of media in %d", m.bytes.Load(), used)
		}
		if len(b) >= 2 { // the same bytes as a datagram
			m.packet(b)
		}
	})
}

func TestNewFramePackets(t *testing.T) {
	t.Parallel()
	f := testFrame(100, 1, 1)
	for i, at := range f.packets {
		size := int(binary.BigEndian.Uint16(f.buf[at-2:]))
		if size > 12+maxPayload {
			t.Errorf("packet %d has %d bytes", i, size)
		}
		if seq := binary.BigEndian.Uint16(f.buf[at+2:]); seq != 100+uint16(i) {
			t.Errorf("packet %d has sequence number %d", i, seq)
		}
		if marker := f.buf[at+1]&0x80 != 0; marker != (i == len(f.packets)-1) {
			t.Errorf("packet %d has marker %v", i, marker)
		}
	}
}

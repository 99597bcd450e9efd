package srt

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// healthy is a client that reads while others misbehave.
func (g *rig) healthy() (check func()) {
	g.t.Helper()
	g.publish("healthy")
	c := g.read("read:healthy", "")
	c.has(0, 5)
	return func() {
		g.t.Helper()
		c.mu.Lock()
		before := len(c.units[0])
		c.mu.Unlock()
		units := c.has(0, before+10)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.damaged) > 0 {
			g.t.Errorf("the healthy reader got %v", c.damaged)
		}
		for i := 1; i < len(units); i++ {
			if d := units[i].PTS - units[i-1].PTS; d != 3000 {
				g.t.Errorf("the healthy reader misses pictures: PTS go on by %d", d)
				return
			}
		}
	}
}

// handshake makes a handshake packet: a header and the fields of section 3.2.1.
func handshake(version, typ, socket, cookie uint32, ext ...byte) []byte {
	b := append([]byte{0x80}, make([]byte, 15)...)
	for _, v := range []uint32{version, 2, 1, 1500, 8192, typ, socket, cookie, 0, 0, 0, 0} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return append(b, ext...)
}

// Datagrams of every kind, from strangers.
func TestGarbage(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath())
	check := g.healthy()
	rnd := rand.New(rand.NewPCG(1, 2))
	raw := g.raw()
	before := heap()
	for i := range 20000 {
		var b []byte
		switch i % 5 {
		case 0:
			b = random(rnd, rnd.IntN(1500))
		case 1: // an induction
			b = handshake(4, 1, rnd.Uint32(), 0)
		case 2: // a conclusion with a guessed cookie
			b = handshake(5, 0xffffffff, rnd.Uint32(), rnd.Uint32(), random(rnd, rnd.IntN(600))...)
		case 3: // control packets for connections that do not exist
			b = append([]byte{0x80, byte(rnd.IntN(10)), 0, 0}, random(rnd, rnd.IntN(100))...)
		case 4: // data for them
			b = append(random(rnd, 16), make([]byte, 1316)...)
			b[0] &= 0x7f
		}
		_, _ = raw.Write(b)
		if i%200 == 0 {
			time.Sleep(time.Millisecond) // so that the socket of the server takes some
		}
	}
	check()
	if after := heap(); after > before+8<<20 {
		t.Errorf("memory grew from %d to %d bytes", before, after)
	}
	if n := len(g.sessions("")); n != 1 {
		t.Errorf("%d sessions", n)
	}
	g.noPanic()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func random(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// A stream id that is longer than the protocol allows: 512 bytes, section 3.2.1.3.
func TestLongStreamID(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath())
	check := g.healthy()
	for _, ca := range []struct {
		size int
		code uint32
	}{
		{512, 1400}, // as long as may be, and no path
		{513, 4},
		{516, 4},
		{1300, 4},
	} {
		raw := g.raw()
		_ = raw.SetDeadline(time.Now().Add(patience))
		cookie := exchange(t, raw, handshake(4, 1, 7, 0), 1)[1]
		ext := []byte{
			0, 1, 0, 3, 0, 1, 5, 1, 0, 0, 0, 0x3f, 0, 120, 0, 120, // version and flags
			0, 5, 0, byte((ca.size + 3) / 4),
		}
		ext[18] = byte((ca.size + 3) / 4 >> 8)
		ext = append(ext, bytes.Repeat([]byte("x"), (ca.size+3)/4*4)...)
		b := handshake(5, 0xffffffff, 7, cookie, ext...)
		binary.BigEndian.PutUint32(b[16+4:], 5) // no encryption; extensions: handshake, stream id
		if got := exchange(t, raw, b, 0)[0]; got != 1000+ca.code {
			t.Errorf("%d bytes: answer %d, want code %d", ca.size, int32(got), ca.code)
		}
	}
	check()
	g.noPanic()
}

// exchange sends a handshake and returns type and cookie of the answer; typ is
// the type that is waited for, 0 for any.
func exchange(t *testing.T, c *net.UDPConn, b []byte, typ uint32) [2]uint32 {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	for {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n < 64 {
			continue
		}
		if got := binary.BigEndian.Uint32(buf[16+20:]); typ == 0 || got == typ {
			return [2]uint32{got, binary.BigEndian.Uint32(buf[16+28:])}
		}
	}
}

// Publishers whose media is damaged.
func TestDamagedMedia(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath())
	check := g.healthy()
	stream := sampleStream(t, routertest.SampleTracks(), 60)
	other := sampleStream(t, []media.Track{{Codec: &media.H265{}}, {Codec: &media.AC3{SampleRate: 48000, ChannelCount: 2}}}, 0)
	rnd := rand.New(rand.NewPCG(3, 4))
	flipped := bytes.Clone(stream)
	for range len(flipped) / 100 {
		flipped[rnd.IntN(len(flipped))] ^= 1 << rnd.IntN(8)
	}
	shifted := append(append(bytes.Clone(stream[:len(stream)/2]), random(rnd, 1000)...), stream[len(stream)/2:]...)
	clock := bytes.Clone(stream)
	for i := 0; i < len(clock); i += 188 {
		if clock[i+3]&0x20 != 0 && clock[i+4] > 0 && clock[i+5]&0x10 != 0 {
			copy(clock[i+6:], random(rnd, 4))
		}
	}
	for _, ca := range []struct {
		name   string
		stream []byte
		ends   bool // the connection is closed by the server
		logged string
	}{
		{"noise", random(rnd, 200*1316), false, "no transport packet"},
		{"bit errors", flipped, false, ""},
		{"lost sync", shifted, false, "damaged"},
		{"jumps of the clock", clock, false, ""},
		{"tracks that change", append(bytes.Clone(stream), other...), true, "tracks of the MPEG transport stream have changed"},
		{"no known codec", noTracks(stream), true, "no track that can be received"},
	} {
		c := g.dial("publish:"+string(bytes.ReplaceAll([]byte(ca.name), []byte(" "), []byte("-"))), "")
		ended := false
		for b := ca.stream; len(b) > 0 && !ended; {
			n := min(len(b), 1316)
			_, err := c.Write(b[:n])
			ended = err != nil
			b = b[n:]
			time.Sleep(time.Millisecond)
		}
		if ca.ends {
			routertest.Eventually(t, ca.name+": the publisher is disconnected", func() bool {
				return len(g.sessions("publish")) == 0 && len(g.sessions("idle")) == 0
			})
		}
		if ca.logged != "" {
			routertest.Eventually(t, ca.name+": it is logged", func() bool { return g.log.Count(ca.logged) > 0 })
		}
		_ = c.Close()
		routertest.Eventually(t, ca.name+": the publisher is gone", func() bool { return len(g.sessions("")) == 1 })
	}
	check()
	g.noPanic()
	if n := g.log.Count("damaged"); n > 20 {
		t.Errorf("%d lines about damage", n)
	}
}

// sampleStream is a transport stream; only its tables if n is zero.
func sampleStream(t *testing.T, tracks []media.Track, n int) []byte {
	t.Helper()
	m, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{Tracks: tracks})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		out, _, err := m.Append(nil, 0, &media.Unit{RandomAccess: true, Payload: [][]byte{{0x26, 1, 2, 3}}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var out []byte
	for i := range n {
		for track := range tracks {
			u := routertest.SampleUnit(track, i)
			u.RandomAccess = len(u.Payload) > 1
			if out, _, err = m.Append(out, track, u); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// noTracks makes a stream whose program consists of one that nobody knows: it
// changes the types in the PMT, and its checksum.
func noTracks(stream []byte) []byte {
	b := bytes.Clone(stream[:2*188])
	pmt := b[188+5 : 2*188]
	size := 3 + int(pmt[1]&0x0f)<<8 + int(pmt[2])
	for i := 12; i < size-4; i += 5 + int(pmt[i+3]&0x0f)<<8 + int(pmt[i+4]) {
		pmt[i] = 0x99
	}
	crc := ^uint32(0)
	for _, v := range pmt[:size-4] {
		crc ^= uint32(v) << 24
		for range 8 {
			carry := crc&(1<<31) != 0
			crc <<= 1
			if carry {
				crc ^= 0x04c11db7
			}
		}
	}
	binary.BigEndian.PutUint32(pmt[size-4:], crc)
	return append(b, stream[2*188:]...)
}

package srtcore

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/org/mtx/protocol/internal/egress"
)

// fuzzed is a listener without loops, into which datagrams are put by hand.
type fuzzed struct {
	l     *Listener
	b     *egress.Batch
	w     *tickWork
	conns []*Conn
	peer  netip.AddrPort
}

func newFuzzed(t testing.TB) *fuzzed {
	t.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	panics := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "panic" {
			t.Fatal(a.Value)
		}
		return a
	}
	cfg, err := Config{
		Accept: func(context.Context, *Request) (*Answer, error) { return nil, RejectForbidden },
		Log:    slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{ReplaceAttr: panics})), //nolint:sloglint // it looks at the attributes
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := egress.WrapUDP(sock)
	if err != nil {
		t.Fatal(err)
	}
	f := &fuzzed{
		l: &Listener{
			cfg: cfg, sock: s, cookies: newCookies(), timers: newTimers(), conns: map[uint32]*Conn{},
			peers: map[peerKey]*peer{}, accepting: map[netip.Addr]int{}, closed: true,
		},
		b: egress.NewBatch(0), w: &tickWork{}, peer: netip.MustParseAddrPort("127.0.0.1:9"),
	}
	for i, a := range []*Answer{{OnData: func([]byte) {}}, {}, {ReadBuffer: 10000}} {
		h := handshake{version: 5, isn: maxSeq - 2, mtu: 1500, flow: 8192, socket: uint32(i)}
		if i == 0 {
			h.version = 4
		}
		r := &Request{HandshakeVersion: int(h.version), hs: &conclusion{handshake: h}}
		if i != 1 {
			km := keyMaterial{keys: keyEven, keyLen: 16, salt: make([]byte, 16)}
			cs := newCryptoState("a passphrase")
			cs.keyLen, cs.current = 16, keyEven
			cs.send[0] = newSEK(make([]byte, 16), km.salt)
			cs.receive, cs.receiveKEK, cs.sendKEK = cs.send, kek{key: make([]byte, 16)}, kek{key: make([]byte, 16)}
			r.crypto = cs
		}
		f.l.closed = false
		c, err := f.l.newConn(r, a, peerKey{f.peer, h.socket}, 0, 0)
		f.l.closed = true
		if err != nil {
			t.Fatal(err)
		}
		c.opened = true
		f.conns = append(f.conns, c)
	}
	t.Cleanup(func() { s.Close() })
	return f
}

// FuzzDatagram puts datagrams into the receive path of live connections of several kinds, while they send, and
// lets time go by.
func FuzzDatagram(f *testing.F) {
	data := func(q seq, ts uint32) []byte {
		p := make([]byte, 40)
		putData(p, q, solo|1, ts, 1)
		return p
	}
	control := func(typ, subtype uint16, payload []byte) []byte {
		p := make([]byte, headerSize)
		putControl(p, typ, subtype, 1, 100, 1)
		return append(p, payload...) //nolint:makezero // a header that is filled in
	}
	join := func(list ...[]byte) (out []byte) {
		for _, p := range list {
			out = binary.BigEndian.AppendUint16(out, uint16(len(p)))
			out = append(out, p...)
		}
		return out
	}
	h := handshake{version: 5, extension: 1, mtu: 1500, flow: 100, typ: hsConclusion}
	km := keyMaterial{keys: keyBoth, keyLen: 16, salt: make([]byte, 16), wrap: make([]byte, 40)}
	f.Add(join(data(maxSeq-2, 0), data(3, 100), data(1, 100), control(ctrlACKACK, 0, nil)))
	f.Add(join(control(ctrlACK, 0, words(maxSeq, 1, 2, 3, 4, 5, 6)), control(ctrlNAK, 0, words(1<<31, 5, 7))))
	f.Add(join(control(ctrlDropReq, 0, words(0, 10)), control(ctrlUser, extKMReq, km.append(nil)), control(ctrlKeepAlive, 0, nil)))
	f.Add(join(append(handshakePacket(&h, 0), append(hsReq(nil), sid("read:x")...)...), control(ctrlUser, extHSReq, hsReq(nil)[4:])))
	f.Add(join(data(20000, 0), data(1<<30, 1<<31), control(ctrlShutdown, 0, nil)))
	pool := egress.NewPool(1)
	f.Cleanup(pool.Close)
	f.Fuzz(func(t *testing.T, in []byte) {
		x := newFuzzed(t)
		now := int64(1_000_000)
		for n := 0; len(in) >= 2 && n < 200; n++ {
			size := min(int(binary.BigEndian.Uint16(in)), len(in)-2)
			p := append([]byte(nil), in[2:2+size]...)
			in = in[2+size:]
			blk := pool.Get(4000)
			for range 3 {
				blk.AppendPacket(make([]byte, 1316))
			}
			for _, c := range x.conns {
				c.send(x.b, blk, now)
				if len(p) >= headerSize {
					copy(p[12:], words(c.id))
				}
				x.l.datagram(t.Context(), x.b, p, x.peer, now)
			}
			blk.Release()
			if hs, ext, ok := parseHandshake(p); ok {
				parseConclusion(hs, ext)
			}
			if len(p) > 0 {
				now += int64(p[0]) * 1000
			}
			for _, c := range x.conns {
				x.w.deliver = x.w.deliver[:0]
				c.advance(x.b, x.w, now)
				c.check(t)
				c.deliver(x.w.deliver)
				c.Stats()
			}
			x.b.Flush()
		}
		for _, c := range x.conns {
			c.closing = ErrClosed
			c.finish()
		}
	})
}

// check verifies what must always hold.
func (c *Conn) check(t *testing.T) {
	t.Helper()
	if c.snd.count > c.snd.window || len(c.snd.ring) > 2*c.l.cfg.Window {
		t.Fatalf("%d packets to be sent", c.snd.count)
	}
	r := c.rcv
	if r == nil {
		return
	}
	held := 0
	n := r.end.from(r.base)
	for i := range n {
		if r.at(i).full {
			held++
		}
	}
	if n < 0 || n > len(r.ring) || n > r.window || held != r.held || len(r.losses) > maxLosses {
		t.Fatalf("receiver with %d slots for %d packets, %d of %d held, %d losses", len(r.ring), n, held, r.held, len(r.losses))
	}
	for i, l := range r.losses {
		if l.hi.from(l.lo) < 0 || l.lo.from(r.base) < 0 || l.hi.from(r.end) >= 0 || i > 0 && r.losses[i-1].hi.from(l.lo) >= 0 {
			t.Fatalf("losses %+v, base %d, end %d", r.losses, r.base, r.end)
		}
	}
}

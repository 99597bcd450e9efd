package srtcore

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// rawCaller is a caller that sends what it is told to.
type rawCaller struct {
	t      testing.TB
	conn   *net.UDPConn
	socket uint32
	peer   uint32 // the listener's socket id
	cookie uint32
	isn    seq
}

func newRawCaller(t testing.TB, l *testListener) *rawCaller {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(l.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rawCaller{t: t, conn: c, socket: 1 + rand.Uint32N(1<<30), isn: maxSeq - 5}
}

func (r *rawCaller) send(p []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(p); err != nil {
		r.t.Fatal(err)
	}
}

// receive returns the next datagram that matches, or nil.
func (r *rawCaller) receive(wait time.Duration, match func(h header, payload []byte) bool) []byte {
	r.t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 2048)
	for {
		n, err := r.conn.Read(buf)
		if err != nil {
			return nil
		}
		if h, p := parseHeader(buf[:n]); match(h, p) {
			return buf[:n]
		}
	}
}

// control waits for a control packet of a type, and returns its payload.
func (r *rawCaller) control(typ uint16) []byte {
	r.t.Helper()
	p := r.receive(patience, func(h header, _ []byte) bool { return h.control && h.typ == typ })
	if p == nil {
		r.t.Fatalf("no control packet of type %d", typ)
	}
	return p[headerSize:]
}

func (r *rawCaller) handshake(change func(h *handshake), ext []byte) []byte {
	h := handshake{version: 5, extension: hasHSReq, isn: r.isn, mtu: 1500, flow: 8192, typ: hsConclusion, socket: r.socket, cookie: r.cookie}
	if change != nil {
		change(&h)
	}
	p := handshakePacket(&h, 1000)
	binary.BigEndian.PutUint32(p[12:], 0)
	return append(p, ext...)
}

// induce gets a cookie.
func (r *rawCaller) induce() {
	r.t.Helper()
	r.send(r.handshake(func(h *handshake) { h.version, h.extension, h.typ, h.cookie = 4, dgramSocket, hsInduction, 0 }, nil))
	h, _, ok := parseHandshake(r.control(ctrlHandshake))
	if !ok || h.version != 5 || h.extension != magic || h.typ != hsInduction || h.cookie == 0 {
		r.t.Fatalf("induction was answered with %+v", h)
	}
	r.cookie = h.cookie
}

// hsReq is the extension of an ordinary request.
func hsReq(change func(e *hsExt)) []byte {
	e := hsExt{version: 0x010501, flags: ourFlags, receiveDelay: 50, sendDelay: 50}
	if change != nil {
		change(&e)
	}
	return e.append([]byte{0, extHSReq, 0, 3})
}

// connect completes the handshake.
func (r *rawCaller) connect() {
	r.t.Helper()
	r.induce()
	r.send(r.handshake(nil, hsReq(nil)))
	h, _, ok := parseHandshake(r.control(ctrlHandshake))
	if !ok || h.typ != hsConclusion {
		r.t.Fatalf("conclusion was answered with %+v", h)
	}
	r.peer = h.socket
}

func (r *rawCaller) data(q seq, ts uint32, payload []byte) {
	r.t.Helper()
	p := make([]byte, headerSize, headerSize+len(payload))
	putData(p, q, solo|1, ts, r.peer)
	r.send(append(p, payload...))
}

func (r *rawCaller) command(typ, subtype uint16, info uint32, payload []byte) {
	r.t.Helper()
	p := make([]byte, headerSize, headerSize+len(payload))
	putControl(p, typ, subtype, info, 2000, r.peer)
	r.send(append(p, payload...))
}

// words encodes 32-bit words.
func words(w ...uint32) []byte {
	var p []byte
	for _, v := range w {
		p = binary.BigEndian.AppendUint32(p, v)
	}
	return p
}

// alive checks that the connection still answers: an acknowledgement gets its answer.
func (r *rawCaller) alive(info uint32) {
	r.t.Helper()
	for range 200 { // answers are limited, and buffers may be full
		r.command(ctrlACK, 0, info, words(uint32(r.isn), 1000, 500, 8192, 0, 0, 0))
		if r.receive(50*time.Millisecond, func(h header, _ []byte) bool { return h.control && h.typ == ctrlACKACK && h.info == info }) != nil {
			return
		}
	}
	r.t.Fatal("the connection does not answer")
}

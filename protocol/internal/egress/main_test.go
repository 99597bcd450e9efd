package egress

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listenUDP(t testing.TB, network, addr string) *UDPSocket {
	t.Helper()
	a, err := net.ResolveUDPAddr(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP(network, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := WrapUDP(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually fails the test if cond does not become true.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatal("did not happen: " + what)
		}
	}
}

// socketPair returns both ends of a connection of the given kind: tcp, unix, pipe or tls; tcp-large has
// the buffers of the system, the others small ones. The first is the sender's.
func socketPair(t testing.TB, kind string) (net.Conn, net.Conn) {
	t.Helper()
	if kind == "pipe" {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		return a, b
	}
	network, addr := "tcp", "127.0.0.1:0"
	if kind == "unix" {
		network, addr = "unix", filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	if kind == "tcp-large" {
		return a, b
	}
	// Small buffers, so that a slow reader is noticed early.
	switch a := a.(type) {
	case *net.TCPConn:
		a.SetWriteBuffer(16 << 10)
		b.(*net.TCPConn).SetReadBuffer(16 << 10)
	case *net.UnixConn:
		a.SetWriteBuffer(16 << 10)
	}
	if kind == "tls" {
		return tls.Server(a, &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}}),
			tls.Client(b, &tls.Config{InsecureSkipVerify: true})
	}
	return a, b
}

func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// testPacket fills a packet of size bytes (at least 16) that can be checked: number of the unit, of the packet, of
// packets, and a pattern.
func testPacket(dst []byte, unit, i, n, size int, key bool) []byte {
	dst = append(dst[:0], make([]byte, size)...)
	binary.BigEndian.PutUint32(dst, uint32(unit))
	binary.BigEndian.PutUint16(dst[4:], uint16(i))
	binary.BigEndian.PutUint16(dst[6:], uint16(n))
	binary.BigEndian.PutUint32(dst[8:], uint32(size))
	if key {
		dst[12] = 1
	}
	for k := 13; k < size; k++ {
		dst[k] = byte(unit + i + k)
	}
	return dst
}

// unitSizes returns the number and sizes of the packets of a unit, in a way that is easily computed by the receiver too.
func unitSizes(unit int) []int {
	n := 1 + unit*7%12
	if unit%30 == 0 {
		n = 60
	}
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = 1400
	}
	sizes[n-1] = 16 + unit*131%1300
	return sizes
}

// testMessage makes unit number unit of track 0 with all encodings that the group needs.
func testMessage(p *Pool, g *Group, unit int, sizes []int) *Message {
	m := p.NewMessage()
	m.Video, m.Key = true, unit%30 == 0
	flat := p.Get(0)
	var pkt []byte
	for i, size := range sizes {
		pkt = testPacket(pkt, unit, i, len(sizes), size, m.Key)
		flat.AppendPacket(pkt)
	}
	for _, ch := range g.Channels(0) {
		b := p.Get(len(flat.Data) + 4*len(sizes))
		b.AppendFrames(ch, flat)
		m.SetInterleaved(ch, b)
	}
	if g.HasUDP() {
		m.SetPackets(flat)
	} else {
		flat.Release()
	}
	return m
}

// checkPacket verifies a packet and returns its unit, number and how many there are.
func checkPacket(pkt []byte) (unit, i, n int, key bool, err error) {
	if len(pkt) < 16 || int(binary.BigEndian.Uint32(pkt[8:])) != len(pkt) {
		return 0, 0, 0, false, fmt.Errorf("torn packet of %d bytes", len(pkt))
	}
	unit = int(binary.BigEndian.Uint32(pkt))
	i, n = int(binary.BigEndian.Uint16(pkt[4:])), int(binary.BigEndian.Uint16(pkt[6:]))
	want := testPacket(nil, unit, i, n, len(pkt), pkt[12] == 1)
	if !bytes.Equal(pkt, want) {
		return 0, 0, 0, false, fmt.Errorf("unit %d packet %d: wrong bytes", unit, i)
	}
	return unit, i, n, pkt[12] == 1, nil
}

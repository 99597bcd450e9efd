package egress

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// recorder is a Tap that remembers.
type recorder struct {
	on atomic.Bool

	mu  sync.Mutex
	log []string
}

func (r *recorder) Enabled() bool { return r.on.Load() }

func (r *recorder) Packet(name string, sent bool, local, remote netip.AddrPort, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, entryOf(name, sent, local, netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()), data))
}

func entryOf(name string, sent bool, local, remote netip.AddrPort, data []byte) string {
	return fmt.Sprintf("%s %v %v %v %x", name, sent, local, remote, data)
}

// take returns what was recorded since the last time.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.log
	r.log = nil
	return log
}

// A tap sees each datagram as it is on the wire, whatever way it goes, while it is enabled.
func TestTap(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp4", "udp"} {
		for _, mode := range []sendMode{modeGSO, modeBatch, modePlain} {
			t.Run(fmt.Sprint(network, mode), func(t *testing.T) {
				t.Parallel()
				addr := map[string]string{"udp4": "127.0.0.1:0", "udp": ":0"}[network]
				s, peer := listenUDP(t, network, addr), listenUDP(t, "udp4", "127.0.0.1:0")
				s.mode.Store(min(mode, s.mode.Load()))
				rec := &recorder{}
				s.SetTap("x", rec)
				testTap(t, s, peer, rec)
			})
		}
	}
}

func testTap(t *testing.T, s, peer *UDPSocket, rec *recorder) {
	local := s.LocalAddr().(*net.UDPAddr).AddrPort()
	remote := peer.LocalAddr().(*net.UDPAddr).AddrPort()
	d, err := s.Destination(remote)
	if err != nil {
		t.Fatal(err)
	}
	batch := NewBatch(0)
	data := bytes.Repeat([]byte("0123456789"), 25)
	var want []string
	sent := func(b []byte) { want = append(want, entryOf("x", true, local, remote, b)) }
	got := func(b []byte) { want = append(want, entryOf("x", false, local, remote, b)) }
	toHere := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), local.Port())
	buf := make([]byte, 2000)
	receive := func(read func() (int, error), size int) {
		t.Helper()
		if n, err := read(); err != nil || n != size {
			t.Errorf("%d bytes, %v, want %d", n, err, size)
		}
	}
	for _, on := range []bool{false, true, false} {
		rec.on.Store(on)
		batch.Send(d, data, 100, nil, false)
		batch.Send(d, data[:7], 1000, nil, false)
		batch.Flush()
		for _, b := range [][]byte{data[:100], data[100:200], data[200:], data[:7]} {
			sent(b)
			peer.SetReadDeadline(time.Now().Add(10 * time.Second))
			receive(func() (int, error) { n, _, err := peer.ReadFromUDPAddrPort(buf); return n, err }, len(b))
		}
		s.WriteTo(data[:8], net.UDPAddrFromAddrPort(remote))
		sent(data[:8])
		s.WriteToUDPAddrPort(data[:9], remote)
		sent(data[:9])
		s.SetReadDeadline(time.Now().Add(10 * time.Second))
		peer.WriteToUDPAddrPort(data[:10], toHere)
		receive(func() (int, error) { n, _, err := s.ReadFrom(buf); return n, err }, 10)
		got(data[:10])
		peer.WriteToUDPAddrPort(data[:11], toHere)
		receive(func() (int, error) { n, _, err := s.ReadFromUDPAddrPort(buf); return n, err }, 11)
		got(data[:11])
		for _, n := range []int{8, 9} {
			receive(func() (int, error) { n, _, err := peer.ReadFromUDPAddrPort(buf); return n, err }, n)
		}
		if !on {
			want = nil
		}
		if log := rec.take(); !slices.Equal(log, want) {
			t.Errorf("enabled: %v: %q, want %q", on, log, want)
		}
		want = nil
	}
}

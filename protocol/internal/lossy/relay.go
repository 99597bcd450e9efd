// Package lossy is a bad network for tests: datagrams come late, in disorder, and
// not all of them.
package lossy

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Options say how bad the network is.
type Options struct {
	// Delay is that of one way. Jitter is what it varies by, which puts datagrams out of order.
	Delay, Jitter time.Duration

	// Loss is the part of the datagrams that get lost, from 0 to 1.
	Loss float64

	// Spare tells what is never lost. Optional.
	Spare func(datagram []byte) bool

	// Seed is that of the losses.
	Seed uint64
}

// Relay passes datagrams between one client and a server.
type Relay struct {
	o           Options
	front, back *net.UDPConn
	wg          sync.WaitGroup // of what runs, and of what is on its way

	mu     sync.Mutex
	client netip.AddrPort
	random *rand.Rand
	count  Counts
}

// Counts are numbers of datagrams.
type Counts struct {
	Passed, Lost int
	// Overtaken are those of the client that left after one that came later.
	Overtaken int

	newest int
}

// buffer is asked for at sockets, in bytes: what is lost is what the relay drops.
const buffer = 4 << 20

// maxDatagram is more than any network carries in one piece.
const maxDatagram = 2048

// New returns a relay to a server, on an address of its own.
func New(server netip.AddrPort, o Options) (*Relay, error) {
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	back, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(server))
	if err == nil {
		err = errors.Join(front.SetReadBuffer(buffer), back.SetReadBuffer(buffer))
	}
	if err != nil {
		_ = front.Close()
		return nil, err
	}
	r := &Relay{o: o, front: front, back: back, random: rand.New(rand.NewPCG(o.Seed, 1))}
	r.wg.Go(func() {
		r.pass(front, func(p []byte) { _, _ = back.Write(p) })
	})
	r.wg.Go(func() {
		r.pass(back, func(p []byte) {
			r.mu.Lock()
			to := r.client
			r.mu.Unlock()
			_, _ = front.WriteToUDPAddrPort(p, to)
		})
	})
	return r, nil
}

// Addr is what clients send to.
func (r *Relay) Addr() netip.AddrPort {
	return r.front.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Counts tells what has happened by now.
func (r *Relay) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Close ends the relay, and returns when nothing is on its way.
func (r *Relay) Close() {
	_ = r.front.Close()
	_ = r.back.Close()
	r.wg.Wait()
}

func (r *Relay) pass(in *net.UDPConn, out func(p []byte)) {
	buf := make([]byte, maxDatagram)
	for n := 1; ; n++ {
		size, from, err := in.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // nobody listens there (ICMP), now
		}
		wait, lost := r.fate(buf[:size], from, in == r.front)
		if lost {
			continue
		}
		p := append([]byte(nil), buf[:size]...)
		r.wg.Add(1)
		time.AfterFunc(wait, func() {
			defer r.wg.Done()
			r.departs(n, in == r.front)
			out(p)
		})
	}
}

// fate decides about a datagram.
func (r *Relay) fate(p []byte, from netip.AddrPort, fromClient bool) (wait time.Duration, lost bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fromClient {
		r.client = from
	}
	lost = r.random.Float64() < r.o.Loss && (r.o.Spare == nil || !r.o.Spare(p))
	if lost {
		r.count.Lost++
	}
	return r.o.Delay + time.Duration(r.random.Float64()*float64(r.o.Jitter)), lost
}

// departs counts a datagram.
func (r *Relay) departs(n int, fromClient bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count.Passed++
	if !fromClient {
		return
	}
	if n < r.count.newest {
		r.count.Overtaken++
	}
	r.count.newest = max(r.count.newest, n)
}

package app

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	// maxPeers bounds the files of UDP that are open, and so what a flood of
	// datagrams from invented addresses can take: with peerIdle, also per minute.
	maxPeers = 256

	// peerIdle is how long nothing is exchanged with an address until its file ends.
	peerIdle = time.Minute

	// sweepPeriod is the least time between two looks for idle addresses.
	sweepPeriod = time.Second
)

// dumpKey is whose datagrams go to one file.
type dumpKey struct {
	protocol string
	remote   netip.AddrPort
}

// keyOf returns the key of an address. RTP and RTCP of a media have neighbouring
// ports (RFC 3550 section 11) and belong together.
func keyOf(protocol string, remote netip.AddrPort) dumpKey {
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	if strings.HasPrefix(protocol, "rtsp") {
		remote = netip.AddrPortFrom(remote.Addr(), remote.Port()&^1)
	}
	return dumpKey{protocol, remote}
}

// dumpPeers are those that datagrams are exchanged with.
type dumpPeers struct {
	mu    sync.Mutex // before that of a peer
	list  map[dumpKey]*dumpPeer
	swept time.Time
}

// dumpPeer is an address that datagrams are exchanged with.
type dumpPeer struct {
	here netip.Addr // of this machine, if the socket does not tell
	last time.Time  // guarded by dumpPeers.mu

	mu   sync.Mutex
	file *dumpFile // nil: it is not dumped
	pcap *capture
}

// Enabled implements mtx.PacketTap.
func (d *dumper) Enabled() bool { return d.enabled.Load() }

// Packet implements mtx.PacketTap.
func (d *dumper) Packet(protocol string, sent bool, local, remote netip.AddrPort, data []byte) {
	p := d.peer(keyOf(protocol, remote), time.Now())
	if p == nil {
		return
	}
	if local.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(p.here, local.Port())
	}
	from, to := remote, local
	if sent {
		from, to = local, remote
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil || p.file.file == nil {
		return
	}
	if err := p.pcap.datagram(time.Now(), from, to, data); err != nil {
		p.file.close(err)
	}
}

// peer returns the peer of an address, a new one if need be; nil if there are too
// many.
func (d *dumper) peer(k dumpKey, now time.Time) *dumpPeer {
	d.peers.mu.Lock()
	defer d.peers.mu.Unlock()
	if p := d.peers.list[k]; p != nil {
		p.last = now
		return p
	}
	d.peers.sweep(now)
	if len(d.peers.list) >= maxPeers || !d.enabled.Load() {
		return nil
	}
	p := &dumpPeer{here: sourceFor(k.remote), last: now}
	if p.file = d.create(k.protocol+"-udp", k.remote, now); p.file != nil {
		var err error
		if p.pcap, err = newCapture(p.file); err != nil {
			p.file.close(err)
		}
	}
	if d.peers.list == nil {
		d.peers.list = map[dumpKey]*dumpPeer{}
	}
	// Also if there is no file, so that it is not tried with every datagram.
	d.peers.list[k] = p
	return p
}

// sourceFor returns the address of this machine that the system uses towards
// another one. Nothing is sent for that.
func sourceFor(remote netip.AddrPort) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err == nil {
		defer func() { _ = c.Close() }()
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
			return a.AddrPort().Addr().Unmap()
		}
	}
	if remote.Addr().Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// sweep ends what has been idle. The caller holds ps.mu.
func (ps *dumpPeers) sweep(now time.Time) {
	if now.Sub(ps.swept) < sweepPeriod {
		return
	}
	ps.swept = now
	for k, p := range ps.list {
		if now.Sub(p.last) >= peerIdle {
			delete(ps.list, k)
			p.end()
		}
	}
}

// forget ends all.
func (ps *dumpPeers) forget() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.list {
		p.end()
	}
	ps.list = nil
}

func (p *dumpPeer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		p.file.close(nil)
	}
}

//go:build unix

package egress

import "golang.org/x/sys/unix"

// pollMillis is how long a batch waits, once, for room in the send buffer of a socket.
const pollMillis = 2

// plainSender makes one call per datagram.
type plainSender struct {
	poll   [1]unix.PollFd
	polled bool
	fd     func(fd uintptr) // made once
}

// plainAddr is made when the first datagram is sent this way.
type plainAddr struct{ sa unix.Sockaddr }

func (d *Destination) sockaddr() unix.Sockaddr {
	switch {
	case d.plain.sa != nil:
	case d.socket.ipv4:
		d.plain.sa = &unix.SockaddrInet4{Port: int(d.addr.Port()), Addr: d.addr.Addr().As4()}
	default:
		d.plain.sa = &unix.SockaddrInet6{Port: int(d.addr.Port()), Addr: d.addr.Addr().As16(), ZoneId: d.zone}
	}
	return d.plain.sa
}

func (b *Batch) sendPlain(s *UDPSocket) {
	if b.plain.fd == nil {
		b.plain.fd = func(fd uintptr) { b.sendPlainFd(fd, b.entries) }
	}
	b.plain.polled = false
	if err := s.rc.Control(b.plain.fd); err != nil { // closed
		for i := range b.entries {
			b.entries[i].lost(b.entries[i].packets)
		}
	}
}

func (b *Batch) sendPlainFd(fd uintptr, entries []entry) {
	for i := range entries {
		e := &entries[i]
		data := e.data
		for range e.packets {
			n := min(e.segment, len(data))
			if b.plain.sendto(fd, data[:n], e.dest.sockaddr()) {
				e.sent(1, n, b.now)
			} else {
				e.lost(1)
			}
			data = data[n:]
		}
	}
}

// sendto sends a datagram. The socket never blocks, as all of package net.
func (p *plainSender) sendto(fd uintptr, data []byte, to unix.Sockaddr) bool {
	for {
		err := unix.Sendto(int(fd), data, 0, to)
		if err == unix.EINTR || err == unix.EAGAIN && p.writable(fd) {
			continue
		}
		return err == nil
	}
}

// writable waits shortly for room in the send buffer, once per batch.
func (p *plainSender) writable(fd uintptr) bool {
	if p.polled {
		return false
	}
	p.polled = true
	p.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	n, _ := unix.Poll(p.poll[:], pollMillis)
	return n > 0
}

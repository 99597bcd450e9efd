package srtcore

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readBatch = 64

	// datagramSize is what is read of a datagram; longer ones are ignored.
	datagramSize = 1536
)

// mmsghdr is struct mmsghdr of recvmmsg(2). The compiler pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// socketReader reads many datagrams at once. It belongs to one goroutine.
type socketReader struct {
	rc    syscall.RawConn
	msgs  [readBatch]mmsghdr
	iovs  [readBatch]unix.Iovec
	names [readBatch]unix.RawSockaddrInet6 // or a sockaddr_in, which is shorter
	data  []byte

	n     int
	errno syscall.Errno
	fd    func(fd uintptr) bool
}

func newSocketReader(c *net.UDPConn) (*socketReader, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &socketReader{rc: rc, data: make([]byte, readBatch*datagramSize)}
	for i := range r.msgs {
		r.iovs[i].Base = &r.data[i*datagramSize]
		r.iovs[i].SetLen(datagramSize)
		h := &r.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
	}
	r.fd = r.readFd
	return r, nil
}

// read waits for datagrams and returns how many there are.
func (r *socketReader) read() (int, error) {
	if err := r.rc.Read(r.fd); err != nil {
		return 0, err
	}
	if r.errno != 0 {
		return 0, r.errno
	}
	return r.n, nil
}

func (r *socketReader) readFd(fd uintptr) bool {
	for i := range r.msgs {
		r.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), readBatch,
			unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		r.n, r.errno = int(n), errno
		return errno != unix.EAGAIN
	}
}

// datagram returns a datagram of the last read, valid until the next one.
func (r *socketReader) datagram(i int) ([]byte, netip.AddrPort, bool) {
	m := &r.msgs[i]
	if m.hdr.Flags&unix.MSG_TRUNC != 0 {
		return nil, netip.AddrPort{}, false
	}
	addr, ok := r.addr(&r.names[i])
	return r.data[i*datagramSize:][:m.n], addr, ok
}

func (r *socketReader) addr(s *unix.RawSockaddrInet6) (netip.AddrPort, bool) {
	switch s.Family {
	case unix.AF_INET:
		p := (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
		return netip.AddrPortFrom(netip.AddrFrom4(p.Addr), port(&p.Port)), true
	case unix.AF_INET6:
		a := netip.AddrFrom16(s.Addr).Unmap()
		if s.Scope_id != 0 && a.IsLinkLocalUnicast() {
			a = a.WithZone(strconv.Itoa(int(s.Scope_id)))
		}
		return netip.AddrPortFrom(a, port(&s.Port)), true
	}
	return netip.AddrPort{}, false
}

// port reads a port number, which is in network byte order.
func port(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }

// setReceiveBuffer goes beyond net.core.rmem_max where the process may.
func setReceiveBuffer(c *net.UDPConn, size int) {
	var err error
	if rc, e := c.SyscallConn(); e == nil {
		rc.Control(func(fd uintptr) { //nolint:errcheck // a closed socket fails later
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
		})
	}
	if err != nil {
		c.SetReadBuffer(size) //nolint:errcheck // best effort
	}
}

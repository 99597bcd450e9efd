package egress

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	controlSpace = unix.CmsgSpace(2)
	controlLen   = unix.CmsgLen(2)
	controlData  = unix.CmsgLen(0)
)

// mmsghdr is struct mmsghdr of sendmmsg(2). The compiler pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// batchSys is what sendmmsg(2) works on.
type batchSys struct {
	limit  int
	msgs   []mmsghdr
	iovs   []unix.Iovec
	ctl    []byte
	one    [1]mmsghdr // for segments sent one by one
	oneIov [1]unix.Iovec
	fd     func(fd uintptr) // made once, so that a flush allocates nothing
}

func newBatchSys(limit int) batchSys { return batchSys{limit: limit} }

func (y *batchSys) grow(n int) {
	if n <= len(y.msgs) {
		return
	}
	n = min(max(n, 2*len(y.msgs)), y.limit)
	y.msgs = make([]mmsghdr, n)
	y.iovs = make([]unix.Iovec, n)
	y.ctl = make([]byte, n*controlSpace)
}

// sendBatch sends all entries with sendmmsg(2).
func (b *Batch) sendBatch(s *UDPSocket) {
	y := &b.sys
	n := len(b.entries)
	y.grow(n)
	for i := range b.entries {
		y.fill(i, &b.entries[i])
	}
	if y.fd == nil {
		y.fd = b.sendFd
	}
	b.plain.polled = false
	// Control and not Write: it takes no lock, so the workers use the socket at the same time.
	if err := s.rc.Control(y.fd); err != nil { // closed
		for i := range b.entries {
			b.entries[i].lost(b.entries[i].packets)
		}
	}
	clear(y.msgs[:n])
	clear(y.iovs[:n])
}

func (y *batchSys) fill(i int, e *entry) {
	h := &y.msgs[i].hdr
	e.dest.raw.name(h)
	y.iovs[i].Base = unsafe.SliceData(e.data)
	y.iovs[i].SetLen(len(e.data))
	h.Iov = &y.iovs[i]
	h.SetIovlen(1)
	if e.packets > 1 {
		c := y.ctl[i*controlSpace : (i+1)*controlSpace]
		ch := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
		ch.Level = unix.SOL_UDP
		ch.Type = unix.UDP_SEGMENT
		ch.SetLen(controlLen)
		binary.NativeEndian.PutUint16(c[controlData:], uint16(e.segment))
		h.Control = &c[0]
		h.SetControllen(controlSpace)
	}
}

// sendFd sends y.msgs. The kernel stops at the first message that fails and reports its error
// only when that message comes first.
func (b *Batch) sendFd(fd uintptr) {
	y := &b.sys
	for i := 0; i < len(b.entries); {
		n, errno := sendmmsg(fd, y.msgs[i:len(b.entries)])
		if errno == 0 && n > 0 {
			for j := i; j < i+n; j++ {
				e := &b.entries[j]
				e.sent(e.packets, len(e.data), b.now)
			}
			i += n
			continue
		}
		e := &b.entries[i]
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			if b.plain.writable(fd) {
				continue
			}
			for ; i < len(b.entries); i++ {
				b.entries[i].lost(b.entries[i].packets)
			}
			return
		case errno == unix.ENOSYS:
			e.dest.socket.mode.Store(modePlain)
			b.sendPlainFd(fd, b.entries[i:])
			return
		case e.packets > 1 && e.dest.refused(errno, e.segment):
			b.sendOneByOne(fd, e)
		default:
			e.lost(e.packets)
		}
		i++
	}
}

// refused notes that UDP_SEGMENT failed, and reports whether the error is one that segmentation can have.
func (d *Destination) refused(errno unix.Errno, segment int) bool {
	switch errno {
	case unix.EINVAL, unix.EMSGSIZE: // larger than the MTU
		d.gsoMax.Store(int32(segment - 1))
	case unix.EIO, unix.EOPNOTSUPP: // no checksum offload
		d.gsoMax.Store(0)
	default:
		return false
	}
	return true
}

// sendOneByOne sends the segments of an entry as datagrams of their own.
func (b *Batch) sendOneByOne(fd uintptr, e *entry) {
	y := &b.sys
	h := &y.one[0].hdr
	e.dest.raw.name(h)
	h.Iov = &y.oneIov[0]
	h.SetIovlen(1)
	data := e.data
	for len(data) > 0 {
		n := min(e.segment, len(data))
		y.oneIov[0].Base = &data[0]
		y.oneIov[0].SetLen(n)
		_, errno := sendmmsg(fd, y.one[:])
		if errno == unix.EINTR || errno == unix.EAGAIN && b.plain.writable(fd) {
			continue
		}
		if errno != 0 {
			e.lost(1)
		} else {
			e.sent(1, n, b.now)
		}
		data = data[n:]
	}
	y.one[0], y.oneIov[0] = mmsghdr{}, unix.Iovec{}
}

func sendmmsg(fd uintptr, msgs []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// rawAddr is a sockaddr_in or sockaddr_in6.
type rawAddr struct {
	buf [unix.SizeofSockaddrInet6]byte
	len uint32
}

func (r *rawAddr) set(a netip.AddrPort, ipv4 bool, zone uint32) {
	binary.BigEndian.PutUint16(r.buf[2:], a.Port())
	if ipv4 {
		binary.NativeEndian.PutUint16(r.buf[:], unix.AF_INET)
		ip := a.Addr().As4()
		copy(r.buf[4:], ip[:])
		r.len = unix.SizeofSockaddrInet4
		return
	}
	binary.NativeEndian.PutUint16(r.buf[:], unix.AF_INET6)
	ip := a.Addr().As16() // IPv4 becomes ::ffff:a.b.c.d
	copy(r.buf[8:], ip[:])
	binary.NativeEndian.PutUint32(r.buf[24:], zone)
	r.len = unix.SizeofSockaddrInet6
}

func (r *rawAddr) name(h *unix.Msghdr) {
	h.Name = &r.buf[0]
	h.Namelen = r.len
}

// probeSendMode finds out what the kernel has. What the network device lacks shows when sending.
func probeSendMode(s *UDPSocket) sendMode {
	mode := modeBatch
	s.rc.Control(func(fd uintptr) { //nolint:errcheck // a closed socket sends nothing anyway
		if _, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT); err == nil {
			mode = modeGSO
		}
		if sa, err := unix.Getsockname(int(fd)); err == nil {
			_, s.ipv4 = sa.(*unix.SockaddrInet4)
		}
	})
	return mode
}

// setSendBuffer goes beyond net.core.wmem_max where the process may.
func setSendBuffer(s *UDPSocket, size int) {
	var err error
	s.rc.Control(func(fd uintptr) { //nolint:errcheck // best effort
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size)
	})
	if err != nil {
		s.SetWriteBuffer(size) //nolint:errcheck // best effort
	}
}

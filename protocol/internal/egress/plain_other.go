//go:build !unix

package egress

import "time"

// plainPatience is how long a write may wait for room in the send buffer.
const plainPatience = 2 * time.Millisecond

// plainSender makes one call per datagram.
type plainSender struct{}

type plainAddr struct{}

func (b *Batch) sendPlain(s *UDPSocket) {
	for i := range b.entries {
		e := &b.entries[i]
		data := e.data
		for range e.packets {
			n := min(e.segment, len(data))
			s.UDPConn.SetWriteDeadline(time.Now().Add(plainPatience)) //nolint:errcheck // a closed socket fails below
			if _, err := s.UDPConn.WriteToUDPAddrPort(data[:n], e.dest.addr); err != nil {
				e.lost(1)
			} else {
				e.sent(1, n, b.now)
			}
			data = data[n:]
		}
	}
	s.UDPConn.SetWriteDeadline(time.Time{}) //nolint:errcheck // best effort
}

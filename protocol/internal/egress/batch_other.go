//go:build !linux

package egress

import "net/netip"

type batchSys struct{ limit int }

func newBatchSys(limit int) batchSys { return batchSys{limit} }

func (b *Batch) sendBatch(s *UDPSocket) { b.sendPlain(s) }

type rawAddr struct{}

func (*rawAddr) set(netip.AddrPort, bool, uint32) {}

func probeSendMode(*UDPSocket) sendMode { return modePlain }

func setSendBuffer(s *UDPSocket, size int) {
	s.SetWriteBuffer(size) //nolint:errcheck // best effort
}

// Package egress sends the media of one publisher to many readers at a fraction of
// what a goroutine, a queue and a system call per packet and reader cost.
//
// What it does differently:
//
//   - The unit of work is a [Message]: one access unit, encoded once for every reader that
//     takes the same bytes, in reference counted and pooled [Block] values.
//   - A [Pool] has one worker per processor. A [Group] (the readers of a stream) hands a message
//     over with one push per worker; one or two readers are served by the publisher itself.
//   - A TCP reader gets a whole access unit with one non-blocking write. Only while the socket
//     buffer is full does it have a queue, which refers to the shared blocks, and a goroutine.
//   - UDP readers are served together: one sendmmsg(2) with UDP_SEGMENT (GSO) carries an access
//     unit to many of them. Where the system has neither, plain writes do the same.
//   - Nothing here blocks a publisher or a worker. Who is too slow loses whole access units, and a video
//     track resumes at the next random access point.
//
// A protocol server owns a Pool and wraps its sockets with [NewTCPConn] and [WrapUDP]. Per stream it has a
// Group. For every access unit the publisher's goroutine asks which encodings are needed, makes them and sends:
//
//	size := 0
//	for _, pkt := range packets {
//		size += 4 + len(pkt)
//	}
//	m := pool.NewMessage()
//	m.Track, m.Video, m.Key = 0, true, randomAccess
//	for _, ch := range group.Channels(0) {
//		b := pool.Get(size)
//		for _, pkt := range packets {
//			b.AppendFrame(ch, pkt)
//		}
//		m.SetInterleaved(ch, b)
//	}
//	if group.HasUDP() {
//		b := pool.Get(size)
//		for _, pkt := range packets {
//			b.AppendPacket(pkt)
//		}
//		m.SetPackets(b)
//	}
//	group.Send(m) // takes over the message
//
// Locks, outermost first: Group.mu, part.mu, TCPConn.mu. Pool.mu and shard.mu are leaves.
package egress

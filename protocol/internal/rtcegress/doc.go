// Package rtcegress sends the media of a stream to many WebRTC viewers.
//
// A peer connection of pion costs, per packet and viewer, a system call, a copy kept for retransmission, a few
// allocations and the bookkeeping of reports. Here each packet still goes through pion's SRTP and ICE, so all they can
// do remains (profiles, changes of the candidate pair, TCP, relays); what is around them is replaced:
//
//   - [Conn] is the UDP socket below pion's mux. It recognizes, by SSRC, packets of a viewer that is just being served,
//     and keeps them for the [egress.Batch] of the worker that serves it: an access unit leaves as one message of
//     sendmmsg(2) with UDP_SEGMENT, together with those of other viewers. Everything else (STUN, DTLS, RTCP,
//     retransmissions) is written at once.
//   - [Track] is a webrtc.TrackLocal of one peer connection. Nothing is shared between viewers.
//   - [Viewer] is an [egress.Reader]: it writes all packets of an access unit to one peer connection in a row, with its
//     payload type, SSRC and sequence numbers. It answers NACKs from the blocks that all viewers share, and makes the
//     sender reports. No interceptor is needed: see [Registry].
//
// What a peer connection needs:
//
//	track := rtcegress.NewTrack(capability, "video", "stream")
//	sender, err := pc.AddTrack(track)
//	...
//	viewer := rtcegress.NewViewer(conn, map[int]*rtcegress.Track{0: track}, pc.WriteRTCP)
//	go viewer.ReadRTCP(0, sender, requestKeyFrame) // ends with the peer connection
//	...
//	group.Add(viewer) // once connected
//	...
//	group.Remove(viewer)
//	pc.Close()
//	viewer.Close()
//
// Retransmissions have the SSRC and the payload type of the track: rtx (RFC 4588) should not be negotiated.
//
// Writing to a peer connection over TCP or a relay may block. Such viewers, and all in the beginning, have a queue and,
// while it is not empty, a goroutine; nobody else waits for them. When the pair changes from UDP to TCP, one
// access unit is written by the worker all the same: ice.TCPMuxParams.WriteBufferSize must not be zero.
//
// Locks, outermost first: Viewer.mu, the locks of the table of SSRCs.
package rtcegress

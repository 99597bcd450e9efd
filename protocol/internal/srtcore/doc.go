// Package srtcore is the server side of SRT (draft-sharabayko-srt-01), as libsrt 1.5 speaks it: live mode, encryption with
// AES-CTR, handshakes of version 5 and, for callers that publish, version 4. Not served are file mode, packet filters (FEC), bonding
// and AES-GCM; callers that ask for these are refused with the proper code.
//
// It is made for many readers of the same stream. A [Listener] has one socket, a receive loop that fetches many packets with one
// call, and one loop for the timers of all connections; a connection has no goroutine. A [Conn] is a reader of an egress.Group: of
// an access unit that is packed once for all readers only the 16 bytes of header are its own, and what may have to be sent again
// refers to the shared block.
//
//	l, err := srtcore.Listen(socket, srtcore.Config{
//		Accept: func(ctx context.Context, r *srtcore.Request) (*srtcore.Answer, error) {
//			if !allowed(ctx, r.StreamID) {
//				return nil, srtcore.RejectUnauthorized
//			}
//			if err := r.SetPassphrase(passphrase); err != nil {
//				return nil, err
//			}
//			return &srtcore.Answer{
//				OnOpen:  func(c *srtcore.Conn) { group.Add(c) },
//				OnClose: func(c *srtcore.Conn, _ error) { group.Remove(c) },
//			}, nil
//		},
//	})
//
// For each access unit the publisher appends MPEG-TS packets, seven at a time, to a block with Block.AppendPacket and sends it with
// Message.SetPackets as track 0. Who receives sets Answer.OnData, or Answer.ReadBuffer and uses Conn.Read.
//
// What comes from the network is not trusted. Before a caller has proved by a cookie that it receives at its address, nothing is
// kept of it, and no answer is larger than its question. The number of undecided callers is bounded, and of each connection so is what it
// may buffer (Config.Window) and what it can have sent again (twice the stream).
//
// Time is in microseconds since the listener began, unless a name says otherwise. Locks, outermost first: Conn.mu, Listener.mu, timers.mu.
// Listener.mu is never held while Conn.mu is taken.
package srtcore

// Package webrtcpeer is WebRTC peer connections in terms of the media model. It
// knows session descriptions, ICE, codecs and RTP; it knows no HTTP: WHIP and
// WHEP (RFC 9725) servers and clients carry the descriptions.
//
// An [Engine] is what peers share: the UDP and TCP ports of a server, addresses,
// the certificate, timeouts. From it come peers of two kinds. Each of them can
// answer an offer, as servers do, or make one, as clients do:
//
//	                 the remote side publishes    the remote side reads
//	it made an offer Engine.Answer                Engine.AnswerSend
//	we make an offer Engine.OfferReceive          Engine.OfferSend
//
// # From a publisher
//
//	recv, answer, err := engine.Answer(ctx, offer, webrtcpeer.ReceiveOptions{Log: log})
//	// send the answer, then
//	tracks, origins, err := recv.Tracks(ctx)
//	err = recv.Run(ctx, pub.Write, pub.SetCodec)
//
// Lost packets are asked for again, and waited for, for at most 200 ms. Units
// carry packets in order, without duplicates and without padding.
//
// # To a reader
//
//	send, answer, err := engine.AnswerSend(ctx, offer, webrtcpeer.SendOptions{Tracks: tracks, Log: log})
//	for _, o := range send.Outputs() {
//		// packetize track o.Track as o.Format, once for all readers
//	}
//	err = send.Connected(ctx)
//	group.Add(send.Viewer())
//
// # Ends
//
// A peer ends by Close, by a failure of ICE or DTLS, when the remote side says
// so, or with its engine; Done and Err tell. Engine.Close leaves no goroutine.
package webrtcpeer

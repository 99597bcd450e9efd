// Package rtpbridge converts between RTP and the media model, both ways and for
// every codec that RTP carries. It does no I/O: protocols that speak RTP (RTSP,
// WebRTC, plain RTP) own the sockets and give and take packets.
//
// # From a publisher
//
// [Tracks] turns the session description of a publisher into tracks. A
// [Receiver] groups the packets of all tracks into access units and puts them
// on one time line. The units hold the packets as they are. A [Depacketizer]
// turns packets into payloads; the stream calls it only while somebody wants
// payloads.
//
//	tracks, refs, err := rtpbridge.Tracks(desc)
//	r := rtpbridge.NewReceiver(rtpbridge.ReceiverOptions{
//		Formats: formats, // refs[i].Format
//		Write:   func(track int, u *media.Unit) { ... },
//		Update:  func(track int, c media.Codec) { ... },
//	})
//	r.Packet(0, pkt, time.Now())
//
// # To a reader
//
// [Description] turns tracks into a session description. A [Packetizer] per
// track turns units into marshalled packets. If the units hold packets that
// readers can take, then they pass through: only payload type and SSRC change.
//
//	p, err := rtpbridge.NewPacketizer(rtpbridge.PacketizerOptions{
//		Track: track, Format: refs[i].Format, Origin: origin, SSRC: ssrc,
//	})
//	err = p.Append(&packets, unit)
//
// # Clock rates
//
// Time stamps of units are in ticks of the codec, those of packets in ticks of
// the format. They differ in one case: HE-AAC with explicit SBR, where RTP runs
// on the output rate and the codec on the core rate. See [ClockRate].
package rtpbridge

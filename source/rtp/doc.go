// Package rtp receives RTP that a sender pushes over UDP, unicast or multicast,
// or through a Unix socket. What the packets hold is told by a session
// description (SDP).
//
//	r, err := router.New(router.Config{
//		Paths: []router.PathConfig{{
//			Name: "studio",
//			Source: rtp.Source{
//				URL: "udp+rtp://0.0.0.0:5004",
//				SDP: "v=0\r\n" +
//					"o=- 0 0 IN IP4 0.0.0.0\r\n" +
//					"s=-\r\n" +
//					"t=0 0\r\n" +
//					"m=video 5004 RTP/AVP 96\r\n" +
//					"a=rtpmap:96 H264/90000\r\n",
//			},
//		}},
//	})
//
// All media arrive on the one port of the URL and are told apart by payload type.
// Packets are put in order within a small window and handed on as they are; they
// are unpacked only while somebody wants payloads. RTCP sender reports, on the
// same port or on the next one, align the tracks.
package rtp

// Package mpegts receives MPEG transport streams over UDP, unicast and
// multicast, and through Unix sockets.
//
//	r, err := router.New(router.Config{
//		Paths: []router.PathConfig{{
//			Name:   "tv",
//			Source: mpegts.Source{URL: "udp+mpegts://238.0.0.1:1234?interface=eth0"},
//		}},
//	})
//
// Codecs are those of [mpegtsbridge.Demuxer]. Datagrams may have any size and
// need not begin with a transport packet. Transport streams inside RTP (RFC
// 2250) are understood too; RTCP beside them is ignored.
//
// What is lost or damaged costs the access units that it belongs to, and is
// counted. If the tracks change, or the sender falls silent, the stream ends and
// the router starts the source again.
package mpegts

// Package datagram receives media from senders that just send: UDP packets, to
// an address of this machine or to a multicast group, and what comes through a
// Unix socket. There is no handshake, and nobody is asked for anything.
//
// Unlike most of the packages beside it, it does I/O: it opens and owns sockets.
// It knows nothing about what they carry.
//
//	a, err := datagram.Parse("udp+mpegts://238.0.0.1:1234?interface=eth0", "mpegts")
//	if err != nil {
//		return err
//	}
//	c, err := datagram.Listen(ctx, a, datagram.Options{Log: log})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	for {
//		packets, err := c.Receive(10 * time.Second)
//		...
//	}
//
// [Faults] counts what such senders lose and damage, and keeps the log short.
package datagram

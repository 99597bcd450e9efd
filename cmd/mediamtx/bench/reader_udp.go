package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/net/ipv4"
)

const (
	// udpReadBuffer holds more than a key frame while the reader waits for a core.
	udpReadBuffer = 2 << 20
	udpBatch      = 32
)

// readUDP plays a path with RTP over UDP.
func readUDP(ctx context.Context, addr, path string, m *meter) (*reader, error) {
	rtp, rtcp, err := listenPair()
	if err != nil {
		return nil, err
	}
	setReadBuffer(rtp, udpReadBuffer)
	c, err := dialRTSP(ctx, addr, path)
	if err != nil {
		rtp.Close()
		rtcp.Close()
		return nil, err
	}
	r := &reader{meter: m, client: c, sockets: []*net.UDPConn{rtp, rtcp}}
	port := rtp.LocalAddr().(*net.UDPAddr).Port
	if err := c.play(fmt.Sprintf("RTP/AVP;unicast;client_port=%d-%d", port, port+1)); err != nil {
		m.end(err)
		r.close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	go func() {
		io.Copy(io.Discard, c.br) // answers to keep-alives
		rtp.Close()               // the server has ended the session
	}()
	go func() { m.end(receiveUDP(rtp, m)) }()
	return r, nil
}

// receiveUDP takes many packets per system call (recvmmsg).
func receiveUDP(conn *net.UDPConn, m *meter) error {
	pc := ipv4.NewPacketConn(conn)
	msgs := make([]ipv4.Message, udpBatch)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, 1600)}
	}
	for {
		n, err := pc.ReadBatch(msgs, 0)
		if err != nil {
			return err
		}
		for i := range msgs[:n] {
			m.packet(msgs[i].Buffers[0][:msgs[i].N])
		}
	}
}

// listenPair opens an even port for RTP and the next one for RTCP. The second
// is only held, so that what the server sends there has somewhere to go.
func listenPair() (rtp, rtcp *net.UDPConn, err error) {
	for range 100 {
		rtp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, nil, err
		}
		if port := rtp.LocalAddr().(*net.UDPAddr).Port; port%2 == 0 {
			rtcp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port + 1})
			if err == nil {
				return rtp, rtcp, nil
			}
		}
		rtp.Close()
	}
	return nil, nil, errors.New("no free pair of UDP ports")
}

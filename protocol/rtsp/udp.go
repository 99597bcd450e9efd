package rtsp

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/bluenviron/gortsplib/v5"

	"github.com/org/mtx/protocol/internal/egress"
)

// openUDP opens the unicast sockets.
func (sv *server) openUDP(g *gortsplib.Server) error {
	if !slices.Contains(sv.cfg.Transports, UDP) {
		return nil
	}
	rtp, rtcp, err := listenPair(sv.cfg.RTPAddr, sv.cfg.RTCPAddr)
	if err != nil {
		return err
	}
	if sv.rtp, err = egress.WrapUDP(rtp); err == nil {
		sv.rtcp, err = egress.WrapUDP(rtcp)
	}
	if err != nil {
		_, _ = rtp.Close(), rtcp.Close()
		return err
	}
	sv.rtp.SetTap(sv.cfg.Name(), sv.host.Packets())
	sv.rtcp.SetTap(sv.cfg.Name(), sv.host.Packets())
	g.UDPRTPAddress, g.UDPRTCPAddress = rtp.LocalAddr().String(), rtcp.LocalAddr().String()
	return nil
}

func (sv *server) closeUDP() {
	if sv.rtp != nil {
		_ = sv.rtp.Close()
		_ = sv.rtcp.Close()
	}
}

// listenPacket hands the sockets of openUDP to the library; others are for
// multicast.
func (sv *server) listenPacket(network, addr string) (net.PacketConn, error) {
	switch {
	case sv.rtp != nil && addr == sv.rtp.LocalAddr().String():
		return sv.rtp, nil
	case sv.rtcp != nil && addr == sv.rtcp.LocalAddr().String():
		return sv.rtcp, nil
	}
	return net.ListenPacket(network, addr)
}

// listenPair opens an even UDP port and the one after it.
func listenPair(rtpAddr, rtcpAddr string) (rtp, rtcp *net.UDPConn, err error) {
	a, err := net.ResolveUDPAddr("udp", rtpAddr)
	if err != nil {
		return nil, nil, fmt.Errorf("RTP address %q: %w", rtpAddr, err)
	}
	b, err := net.ResolveUDPAddr("udp", rtcpAddr)
	if err != nil {
		return nil, nil, fmt.Errorf("RTCP address %q: %w", rtcpAddr, err)
	}
	if a.Port == 0 && b.Port == 0 {
		return listenAnyPair(a, b)
	}
	if a.Port%2 != 0 || b.Port != a.Port+1 {
		return nil, nil, fmt.Errorf("RTP port %d and RTCP port %d: the first must be even and the second must follow it", a.Port, b.Port)
	}
	return openPair(a, b)
}

func openPair(a, b *net.UDPAddr) (rtp, rtcp *net.UDPConn, err error) {
	if rtp, err = listenUDP(a); err != nil {
		return nil, nil, err
	}
	if rtcp, err = listenUDP(b); err != nil {
		_ = rtp.Close()
		return nil, nil, err
	}
	return rtp, rtcp, nil
}

// listenUDP takes 0.0.0.0 literally: without IPv6.
func listenUDP(a *net.UDPAddr) (*net.UDPConn, error) {
	if a.IP.To4() != nil {
		return net.ListenUDP("udp4", a)
	}
	return net.ListenUDP("udp", a)
}

// listenAnyPair tries pairs that the system suggests.
func listenAnyPair(a, b *net.UDPAddr) (rtp, rtcp *net.UDPConn, err error) {
	for range 100 {
		if rtp, err = listenUDP(a); err != nil {
			return nil, nil, err
		}
		port := rtp.LocalAddr().(*net.UDPAddr).Port
		if port%2 == 0 && port < 65535 {
			b2 := *b
			b2.Port = port + 1
			if rtcp, err = listenUDP(&b2); err == nil {
				return rtp, rtcp, nil
			}
		}
		_ = rtp.Close()
	}
	return nil, nil, errors.New("no free pair of UDP ports after " + strconv.Itoa(100) + " tries")
}

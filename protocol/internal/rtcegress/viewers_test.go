package rtcegress

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// viewersEnv makes the test binary so many viewers. They write offers to the standard output, read answers from the standard
// input, each a line of JSON, and at the end of it write their figures.
const viewersEnv = "RTCEGRESS_VIEWERS"

// viewerFigures are what viewers saw together.
type viewerFigures struct {
	Packets  uint64
	Gaps     uint64        // missing sequence numbers
	P50, P99 time.Duration // from the time in the RTP time stamp to the last packet of an access unit
}

func runViewers(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	var sockets []*sink
	for range n {
		u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		_ = u.SetReadBuffer(1 << 20)
		s := &sink{UDPConn: u}
		sockets = append(sockets, s)
		api, err := newAPI(overUDP(s), 96, nil)
		if err != nil {
			return err
		}
		pc, err := api.NewPeerConnection(webrtc.Configuration{})
		if err != nil {
			return err
		}
		ready := connected(pc)
		o, err := offer(pc, false)
		if err != nil {
			return err
		}
		if err := out.Encode(o); err != nil {
			return err
		}
		line, err := in.ReadBytes('\n')
		if err != nil {
			return err
		}
		var a string
		if err := json.Unmarshal(line, &a); err != nil {
			return err
		}
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a}); err != nil {
			return err
		}
		select {
		case <-ready:
		case <-time.After(patience):
			return errors.New("not connected")
		}
	}
	_, _ = in.ReadString('\n') // measure from here
	for _, s := range sockets {
		s.reset()
	}
	_, _ = io.Copy(io.Discard, in)
	var f viewerFigures
	var late []uint32
	for _, s := range sockets {
		s.mu.Lock()
		f.Packets += s.packets
		f.Gaps += s.gaps
		late = append(late, s.late...)
		s.mu.Unlock()
	}
	if slices.Sort(late); len(late) > 0 {
		f.P50 = time.Duration(late[len(late)/2]) * time.Microsecond
		f.P99 = time.Duration(late[len(late)*99/100]) * time.Microsecond
	}
	return out.Encode(f)
}

// sink is the socket of a viewer. It looks at the headers of media and throws it away: what viewers cost does not matter here.
type sink struct {
	*net.UDPConn

	mu            sync.Mutex
	packets, gaps uint64
	seq           uint16
	late          []uint32 // microseconds
}

func (s *sink) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packets, s.gaps, s.late = 0, 0, nil
}

func (s *sink) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	for {
		n, a, err := s.UDPConn.ReadFromUDPAddrPort(p)
		if err != nil || n < 12 || p[0]>>6 != 2 || p[1] >= 192 && p[1] <= 223 {
			return n, a, err
		}
		s.media(p)
	}
}

func (s *sink) WriteToAddrPort(p []byte, a netip.AddrPort) (int, error) {
	return s.UDPConn.WriteToUDPAddrPort(p, a)
}

func (s *sink) media(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := binary.BigEndian.Uint16(p[2:])
	if s.packets > 0 && seq != s.seq+1 {
		s.gaps += uint64(seq - s.seq - 1)
	}
	s.packets++
	s.seq = seq
	if p[1]&0x80 != 0 {
		s.late = append(s.late, microseconds()-binary.BigEndian.Uint32(p[4:]))
	}
}

// microseconds is a clock that both processes have.
func microseconds() uint32 { return uint32(time.Now().UnixMicro()) }

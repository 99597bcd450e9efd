package rtcegress

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/internal/egress"
)

// wire is a peer connection without encryption: what a track writes comes out at a Conn, or is kept.
type wire struct {
	ssrc  uint32
	codec webrtc.RTPCodecParameters

	conn  *Conn
	to    netip.AddrPort
	block chan struct{} // writes wait for it, if set

	mu      sync.Mutex
	got     []rtp.Packet
	reports [][]rtcp.Packet
}

func (w *wire) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	if w.block != nil {
		<-w.block
	}
	if w.conn != nil {
		b, err := (&rtp.Packet{Header: *h, Payload: payload}).Marshal()
		if err != nil {
			return 0, err
		}
		b = append(b, make([]byte, srtpOverhead)...)
		return w.conn.WriteToAddrPort(b, w.to)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, rtp.Packet{Header: *h, Payload: append([]byte(nil), payload...)})
	return rtpHeaderSize + len(payload), nil
}

func (w *wire) Write([]byte) (int, error) { panic("not used") }

func (w *wire) WriteRTCP(p []rtcp.Packet) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, p)
	return nil
}

func (w *wire) packets() []rtp.Packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]rtp.Packet(nil), w.got...)
}

func (w *wire) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{w.codec}
}
func (w *wire) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter { return nil }
func (w *wire) SSRC() webrtc.SSRC                                      { return webrtc.SSRC(w.ssrc) }
func (w *wire) SSRCRetransmission() webrtc.SSRC                        { return 0 }
func (w *wire) SSRCForwardErrorCorrection() webrtc.SSRC                { return 0 }
func (w *wire) WriteStream() webrtc.TrackLocalWriter                   { return w }
func (w *wire) ID() string                                             { return "wire" }
func (w *wire) RTCPReader() interceptor.RTCPReader                     { return nil }

// newWire returns a bound track of video.
func newWire(t testing.TB, ssrc uint32) (*wire, *Track) {
	t.Helper()
	w := &wire{ssrc: ssrc, codec: webrtc.RTPCodecParameters{RTPCodecCapability: videoCodec, PayloadType: 102}}
	tr := NewTrack(videoCodec, "video", "s")
	if _, err := tr.Bind(w); err != nil {
		t.Fatal(err)
	}
	return w, tr
}

// receiver is the socket of a fake viewer.
type receiver struct{ *net.UDPConn }

func newReceiver(t testing.TB) receiver { return receiver{loopback(t)} }

func (r receiver) addr() netip.AddrPort { return r.LocalAddr().(*net.UDPAddr).AddrPort() }

// next returns the sequence number and the size of the next packet.
func (r receiver) next(t testing.TB) (seq uint16, size int) {
	t.Helper()
	buf := make([]byte, 2000)
	_ = r.SetReadDeadline(deadline())
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint16(buf[2:]), n
}

// newPool returns a pool with one worker.
func newPool(t testing.TB) *egress.Pool {
	p := egress.NewPool(1)
	t.Cleanup(p.Close)
	return p
}

// plainWriter does not allocate.
type plainWriter struct {
	conn *Conn
	to   netip.AddrPort
	buf  [2000]byte
}

func (w *plainWriter) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	n, err := h.MarshalTo(w.buf[:])
	if err != nil {
		return 0, err
	}
	n += copy(w.buf[n:], payload)
	return w.conn.WriteToAddrPort(w.buf[:n+srtpOverhead], w.to)
}

func (w *plainWriter) Write([]byte) (int, error) { panic("not used") }

package webrtcpeer

import (
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
)

// rtcpCounter counts the RTCP packets that are sent. It is its own factory: a
// registry is made for each peer.
type rtcpCounter struct {
	interceptor.NoOp
	counters *counters
}

// NewInterceptor implements interceptor.Factory.
func (c *rtcpCounter) NewInterceptor(string) (interceptor.Interceptor, error) { return c, nil }

// BindRTCPWriter implements interceptor.Interceptor.
func (c *rtcpCounter) BindRTCPWriter(w interceptor.RTCPWriter) interceptor.RTCPWriter {
	return interceptor.RTCPWriterFunc(func(pkts []rtcp.Packet, a interceptor.Attributes) (int, error) {
		n, err := w.Write(pkts, a)
		if err == nil {
			c.counters.outRTCP.Add(1)
			c.counters.outBytes.Add(uint64(max(n, 0)))
		}
		return n, err
	})
}

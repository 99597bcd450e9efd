package webrtcpeer

import (
	"sync/atomic"

	"github.com/pion/webrtc/v4"
)

// maxDataChannels is how many data channels a remote side may open in the life of
// a peer. Each of them is closed at once; more of them are an attack.
const maxDataChannels = 16

// refuseDataChannels closes the data channels that the remote side opens: there
// is no use for them. Messages that come before are dropped by the library.
func refuseDataChannels(p *Peer) func(*webrtc.DataChannel) {
	var n atomic.Int32
	return func(d *webrtc.DataChannel) {
		if n.Add(1) > maxDataChannels {
			p.end(&reasonError{ErrRemoteClosed, "the remote side opened too many data channels"})
			return
		}
		d.OnOpen(func() { _ = d.Close() })
	}
}

package rtsp

import (
	"errors"
	"slices"
	"sync"

	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// recordMPEGTS publishes the elementary streams of an MPEG transport stream.
// They are known only after some packets: that is when the path becomes ready.
func (s *session) recordMPEGTS(p *publication) error {
	ref := p.refs[slices.IndexFunc(p.tracks, isMPEGTS)]
	ts := &tsPublication{s: s, p: p}
	ts.demuxer = mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{
		Tracks:  ts.publish,
		Damaged: func(err error) { s.warn.add("invalid MPEG-TS", err.Error(), 1) },
	})
	s.ss.OnPacketRTP(ref.Media, ref.Format, ts.packet)
	p.stop = ts.close
	return nil
}

// tsPublication is a publisher whose tracks are inside a transport stream.
type tsPublication struct {
	s *session
	p *publication

	mu      sync.Mutex
	demuxer *mpegtsbridge.Demuxer
	closed  bool
	stop    func() // ends the publication; nil before it begins
}

func (ts *tsPublication) packet(pkt *rtp.Packet) {
	defer ts.s.recoverPacket()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return
	}
	if _, err := ts.demuxer.Write(pkt.Payload); err != nil {
		ts.s.log.Warn("publication is refused", "reason", err.Error())
		ts.closed = true
		ts.s.ss.Close()
	}
}

// publish is called by the demuxer, inside packet and close.
func (ts *tsPublication) publish(tracks []media.Track) (func(int, *media.Unit), error) {
	if ts.closed {
		return nil, mpegtsbridge.ErrClosed // what was left is not worth a publication
	}
	pub, err := ts.p.grant.Publish(ts.s.sv.ctx, tracks, router.PublishOptions{Peer: ts.s.peer()})
	if err != nil {
		return nil, err
	}
	ts.stop = ts.s.closeWith(pub, func() {})
	return pub.Write, nil
}

// close ends the publication.
func (ts *tsPublication) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.closed = true
	if err := ts.demuxer.Close(); err != nil && !errors.Is(err, mpegtsbridge.ErrClosed) {
		ts.s.log.Debug("demuxer", "error", err)
	}
	if ts.stop != nil {
		ts.stop()
	}
}

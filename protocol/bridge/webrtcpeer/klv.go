package webrtcpeer

import (
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/router/media"
)

const (
	// klvLabel is the label of the data channels for KLV.
	klvLabel = "klv"

	// maxBuffered is how much a data channel may have waiting, bytes. Beyond, units
	// are dropped.
	maxBuffered = 1 << 20
)

// addDataTrack opens a data channel for a KLV track: one message per unit.
func (s *Sender) addDataTrack(track int) error {
	d, err := s.pc.CreateDataChannel(klvLabel, nil)
	if err != nil {
		return err
	}
	s.outputs = append(s.outputs, Output{
		Track: track, Codec: s.o.Tracks[track].Codec,
		Data: func(u *media.Unit) {
			if d.ReadyState() != webrtc.DataChannelStateOpen {
				return
			}
			for _, b := range u.Payload {
				if len(b) > sctpMessage || d.BufferedAmount() > maxBuffered {
					continue
				}
				if err := d.Send(b); err != nil {
					return
				}
				s.counters.outBytes.Add(uint64(len(b)))
			}
		},
	})
	return nil
}

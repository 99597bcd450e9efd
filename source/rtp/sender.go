package rtp

import (
	"errors"
	"time"

	"github.com/pion/rtp"
)

const (
	// takeover is how long the sender of a track must be silent before another
	// one may take its place. So two at the same time are not mixed.
	takeover = 250 * time.Millisecond
	// Bounds of what is kept of the other one meanwhile.
	maxWaiting      = 1024
	maxWaitingBytes = 2 << 20
)

var errSecondSender = errors.New("another sender uses the payload type of one that is active")

// sender follows who sends a track: an SSRC.
type sender struct {
	begun   func(ssrc uint32)
	invalid func(error)
	order   reorder

	known bool
	ssrc  uint32
	last  time.Time // when it sent something

	// Packets of another one, which may be its successor.
	waiting      []*rtp.Packet
	waitingBytes int
}

func (s *sender) push(pkt *rtp.Packet, now time.Time) {
	if !s.known {
		s.adopt(pkt.SSRC)
	}
	if pkt.SSRC == s.ssrc {
		s.forget()
		s.last = now
		s.order.push(pkt, now)
		return
	}
	if len(s.waiting) > 0 && s.waiting[0].SSRC != pkt.SSRC {
		s.forget()
	}
	if len(s.waiting) < maxWaiting && s.waitingBytes+len(pkt.Payload) <= maxWaitingBytes {
		s.waiting = append(s.waiting, pkt)
		s.waitingBytes += len(pkt.Payload)
	} else {
		s.invalid(errSecondSender)
	}
	if now.Sub(s.last) < takeover {
		return
	}
	s.order.flush(now)
	s.adopt(pkt.SSRC)
	s.last = now
	waiting := s.waiting
	s.waiting, s.waitingBytes = nil, 0
	for _, w := range waiting {
		s.order.push(w, now)
	}
}

func (s *sender) adopt(ssrc uint32) {
	s.known, s.ssrc = true, ssrc
	s.begun(ssrc)
}

// forget drops the packets of a sender that is no successor.
func (s *sender) forget() {
	for range s.waiting {
		s.invalid(errSecondSender)
	}
	s.waiting, s.waitingBytes = nil, 0
}

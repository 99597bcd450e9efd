package webrtc

import (
	"errors"
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtcp"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router/media"
)

const (
	// reportPeriod is the interval of RTCP sender reports.
	reportPeriod = time.Second

	// minReportPause is the least interval, between reports that are sent because
	// a track has moved.
	minReportPause = 100 * time.Millisecond

	// maxReportError is how far a track may move, against what the last report
	// told, until the next regular report.
	maxReportError = 10 * time.Millisecond
)

// variant is a track in one of the formats that viewers take. It is guarded by
// fan.mu.
type variant struct {
	track  *fanTrack
	key    string
	rate   int // of RTP times, ticks per second
	pk     *rtpbridge.Packetizer
	conv   func(*media.Unit) *media.Unit // nil: units are sent as they are
	groups []*fanGroup
	begins bool // a unit that is not sent yet has a key frame

	// what the last report told
	reported time.Time // when it was sent
	rtpTime  uint32
	ntp      time.Time
}

// variantLocked finds the variant for an output, or makes it.
func (f *fan) variantLocked(o webrtcpeer.Output) (*variant, error) {
	t := f.tracks[o.Track]
	key := formatKey(o)
	for _, va := range t.variants {
		if va.key == key {
			return va, nil
		}
	}
	opts := rtpbridge.PacketizerOptions{
		Track: f.stream.Tracks()[o.Track], Format: o.Format, Origin: f.stream.Depacketizer(o.Track),
		SSRC: o.SSRC, MaxSize: maxPacket,
	}
	if o.Convert != nil {
		opts.Track.Codec, opts.Origin = o.Codec, nil
	}
	pk, err := rtpbridge.NewPacketizer(opts)
	if err != nil {
		return nil, err
	}
	va := &variant{track: t, key: key, rate: rtpbridge.ClockRate(o.Format), pk: pk, conv: o.Convert}
	t.variants = append(t.variants, va)
	return va, nil
}

// drop removes a group, and the variant with its last group. fan.mu is held.
func (va *variant) drop(g *fanGroup) {
	va.groups = slices.DeleteFunc(va.groups, func(o *fanGroup) bool { return o == g })
	if len(va.groups) == 0 {
		va.track.variants = slices.DeleteFunc(va.track.variants, func(o *variant) bool { return o == va })
	}
}

// sendConverted is send for formats that the publisher does not have.
func (f *fan) sendConverted(va *variant, units []*media.Unit) error {
	var errs []error
	for _, u := range units {
		if c := va.conv(u); c != nil {
			errs = append(errs, f.send(va, c))
		}
	}
	return errors.Join(errs...)
}

// send packs a unit once, for all viewers. fan.mu is held.
func (f *fan) send(va *variant, u *media.Unit) error {
	va.begins = va.begins || u.RandomAccess
	b, err := f.pack(va, u)
	if b == nil {
		return err // the packetizer needs the rest of the access unit
	}
	key := va.begins
	va.begins = false
	if f.reportDue(va, time.Now()) {
		f.report(va) // before the packets that it is about
	}
	for _, g := range va.groups {
		m := f.sv.pool.NewMessage()
		m.Track, m.Video, m.Key = va.track.index, va.track.kind == media.Video, key
		b.Retain()
		m.SetPackets(b)
		f.stream.AddOutbound(uint64(len(b.Data)) * uint64(g.group.Len()))
		g.group.Send(m)
	}
	b.Release()
	return err
}

// pack makes packets of a unit. It returns nil if there are none. fan.mu is held.
func (f *fan) pack(va *variant, u *media.Unit) (*egress.Block, error) {
	f.scratch.Reset()
	err := va.pk.Append(&f.scratch, u)
	if len(f.scratch.Sizes) == 0 {
		return nil, err
	}
	b := f.sv.pool.Get(len(f.scratch.Data))
	off := 0
	for _, n := range f.scratch.Sizes {
		b.AppendPacket(f.scratch.Data[off : off+n])
		off += n
	}
	return b, err
}

// reportDue tells whether it is time for another report: the first one, which
// viewers need to align the tracks, a regular one, or one because the publisher
// told only now where its tracks belong. fan.mu is held.
func (f *fan) reportDue(va *variant, now time.Time) bool {
	switch since := now.Sub(va.reported); {
	case since >= reportPeriod:
		return true
	case since < minReportPause:
		return false
	}
	_, rtpTime, at, ok := va.pk.Position()
	if !ok || at.IsZero() {
		return false
	}
	told := va.ntp.Add(media.Duration(int64(int32(rtpTime-va.rtpTime)), va.rate))
	return at.Sub(told).Abs() > maxReportError
}

// report sends a sender report to all viewers. fan.mu is held.
func (f *fan) report(va *variant) {
	for _, g := range va.groups {
		if m := f.reportLocked(va); m != nil {
			g.group.Send(m)
		}
	}
	va.reported = time.Now()
	_, va.rtpTime, va.ntp, _ = va.pk.Position()
}

// reportLocked makes a sender report (RFC 3550 section 6.4.1), in which viewers
// fill in what is their own. It returns nil before the first packet.
func (f *fan) reportLocked(va *variant) *egress.Message {
	_, rtpTime, at, ok := va.pk.Position()
	if !ok || at.IsZero() {
		return nil
	}
	b, err := (&rtcp.SenderReport{NTPTime: ntp.Encode(at), RTPTime: rtpTime}).Marshal()
	if err != nil {
		return nil
	}
	blk := f.sv.pool.Get(len(b))
	blk.AppendPacket(b)
	m := f.sv.pool.NewMessage()
	m.Track, m.Control = va.track.index, true
	m.SetPackets(blk)
	return m
}

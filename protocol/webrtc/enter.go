package webrtc

import (
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router/media"
)

// enter gives a viewer what the path keeps for new readers (router.GOPCache), and
// then the stream. Packets of the past are made for each viewer: the numbers that
// they get are its own anyway. f.manage is held.
func (f *fan) enter(g *fanGroup, v egress.Reader) {
	var kept []*egress.Message
	first := true
	again := func(track int, u *media.Unit) {
		f.mu.Lock()
		defer f.mu.Unlock()
		kept = f.appendPast(kept, g, track, u, first)
		first = false
	}
	add := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		var backlog []*egress.Message
		for _, va := range g.variants {
			if m := f.reportLocked(va); m != nil {
				backlog = append(backlog, m)
			}
		}
		for _, m := range kept {
			f.stream.AddOutbound(uint64(m.Len()))
		}
		backlog = append(backlog, kept...)
		g.group.AddPaced(v, 0, backlog...)
		for _, m := range backlog {
			m.Release()
		}
	}
	if f.tap == nil { // nobody holds the fan
		add()
		return
	}
	f.tap.Replay(again, add)
}

// appendPast adds the messages of a unit that has passed. The first one begins the
// key frame, also if only a later part of it is marked. Audio that is converted
// begins with what comes next: the converter knows where it was. f.mu is held.
func (f *fan) appendPast(dst []*egress.Message, g *fanGroup, track int, u *media.Unit, first bool) []*egress.Message {
	t := f.tracks[track]
	for _, va := range g.variants {
		if va.track != t || va.conv != nil {
			continue
		}
		b, _ := f.pack(va, u) // what is wrong was counted when it came
		if b == nil {
			continue
		}
		m := f.sv.pool.NewMessage()
		m.Track, m.Video, m.Key = t.index, t.kind == media.Video, u.RandomAccess || first
		m.SetPackets(b)
		dst = append(dst, m)
	}
	return dst
}

package rtsp

import (
	"slices"
	"time"

	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
)

const (
	// keepOpening is how long key frames are kept for a client that has asked for
	// the stream and does not play yet.
	keepOpening = 3 * time.Second

	// maxOpeningAge is how old the key frame may be that a reader begins with.
	maxOpeningAge = 2 * time.Second

	// Bounds of what is kept, and of what may be sent at once without overrunning
	// the receive buffer of a UDP reader, bytes.
	maxOpening    = 4 << 20
	maxOpeningUDP = 64 << 10
)

// opening is what has just passed, of all tracks. It is kept only while readers
// wait, clients are about to play, or the path keeps it (router.GOPCache):
//
//   - since the start of the current picture, because a slow key frame comes in
//     parts, of which the first ones hold its parameters
//   - since the last key frame, so that clients that were asking for the stream
//     when it came need not wait for another one
//   - and since the start of the picture before, see prelude
//
// Pictures are those of the leading track. Guarded by fan.mu.
type opening struct {
	lead  *fanTrack // the first video track; nil without video
	until time.Time // key frames are kept
	limit int       // what the path keeps for new readers, bytes; 0: nothing
	more  bool      // the access unit of the leading track goes on

	units   []openingUnit
	start   int       // index of the first unit of the key frame, or of the current picture
	current int       // index of the first unit of the current picture
	before  int       // index of the first unit of the picture before
	keyed   bool      // there is a key frame
	since   time.Time // when it came
	reports []openingUnit
	bytes   int
	cut     bool // too much has passed since
}

// openingUnit is a unit of a track in RTP packets, or a sender report.
type openingUnit struct {
	track int
	key   bool
	data  []byte
	sizes []int // bytes of each packet
	made  []madeMessage
}

// madeMessage is a unit as readers want it that have its track on one channel. They
// share it, as many may come at once.
type madeMessage struct {
	channel int
	message *egress.Message
}

// release gives back what was made of units.
func release(units []openingUnit) {
	for _, u := range units {
		for _, m := range u.made {
			m.message.Release()
		}
	}
}

// wanted tells whether key frames are kept: the path wants that, or there are
// clients that are about to play.
func (o *opening) wanted(now time.Time) bool { return o.limit > 0 || now.Before(o.until) }

// drop forgets all units.
func (o *opening) drop() {
	release(o.units)
	*o = opening{lead: o.lead, until: o.until, limit: o.limit}
}

// begin is called before a unit is sent, and forgets what nothing needs anymore.
func (o *opening) begin(f *fan, t *fanTrack, key, more bool, now time.Time) {
	if t != o.lead {
		return
	}
	if !o.more { // a picture starts
		o.before, o.current = o.current, len(o.units)
		if !o.keyed || !o.wanted(now) {
			o.startHere()
		}
	}
	o.more = more
	if key && !o.cut && !(o.keyed && o.start == o.current) {
		o.startHere()
		o.keyed, o.since, o.reports = true, now, nil
		for _, x := range f.tracks {
			if b := f.senderReport(x); b != nil {
				o.reports = append(o.reports, openingUnit{track: x.index, data: b})
			}
		}
	}
}

// startHere makes the current picture the first one, but for the one before.
func (o *opening) startHere() {
	for _, u := range o.units[:o.before] {
		o.bytes -= len(u.data)
	}
	release(o.units[:o.before])
	o.units = slices.Delete(o.units, 0, o.before)
	o.current -= o.before
	o.before, o.start = 0, o.current
	o.keyed, o.cut = false, false
}

// add keeps the unit in scratch.
func (o *opening) add(f *fan, t *fanTrack, key bool) {
	if o.cut || len(o.units) == 0 && t != o.lead {
		return
	}
	o.bytes += len(f.scratch.Data)
	if o.bytes > max(maxOpening, o.limit) {
		release(o.units)
		o.units, o.before, o.current, o.start, o.bytes = nil, 0, 0, 0, 0
		o.keyed, o.cut = false, true
		return
	}
	if o.keyed && !slices.ContainsFunc(o.reports, func(r openingUnit) bool { return r.track == t.index }) {
		if b := f.senderReport(t); b != nil {
			o.reports = append(o.reports, openingUnit{track: t.index, data: b})
		}
	}
	o.units = append(o.units, openingUnit{t.index, key, slices.Clone(f.scratch.Data), slices.Clone(f.scratch.Sizes), nil})
}

// serves tells whether a reader can begin with what is kept, at once. Unless the
// path keeps it for that, nobody gets what passed before it was asked for.
func (o *opening) serves(j *joiner, now time.Time) bool {
	if j.lead != o.lead || !o.keyed || o.cut || len(o.units) <= o.start || !o.early(j) {
		return false
	}
	if o.limit > 0 && o.bytes <= o.limit && now.Sub(o.since) <= router.MaxGOPCacheAge {
		return true
	}
	return !j.asked.IsZero() && !o.since.Before(j.asked) && now.Sub(o.since) <= maxOpeningAge &&
		(!paced(j.reader) || o.bytes <= maxOpeningUDP)
}

// early tells whether there is what the reader needs before the key frame.
func (o *opening) early(j *joiner) bool { return !j.early || o.start > 0 }

// messages are what a reader begins with.
func (o *opening) messages(f *fan, j *joiner) []*egress.Message {
	var list []*egress.Message
	for _, u := range o.reports {
		if slices.Contains(j.tracks, u.track) {
			list = append(list, f.reportMessage(f.tracks[u.track], j.reader.Wants(), u.data))
		}
	}
	if j.early {
		prelude := o.prelude()
		for i := range prelude {
			list = o.appendMessages(list, f, j, &prelude[i], false)
		}
	}
	for i := range o.units[o.start:] {
		list = o.appendMessages(list, f, j, &o.units[o.start+i], o.limit > 0)
	}
	return list
}

// appendMessages adds a unit for a reader. What is made of it is kept for others if
// share is set.
func (o *opening) appendMessages(list []*egress.Message, f *fan, j *joiner, u *openingUnit, share bool) []*egress.Message {
	for _, w := range j.reader.Wants() {
		if w.Track != u.track {
			continue
		}
		f.stream.AddOutbound(uint64(len(u.data)))
		i := slices.IndexFunc(u.made, func(m madeMessage) bool { return m.channel == w.Channel })
		if i >= 0 && share {
			u.made[i].message.Retain()
			list = append(list, u.made[i].message)
			continue
		}
		m := f.message(f.tracks[u.track], u.key)
		f.encodeFor(m, w.Channel, u.data, u.sizes)
		if share {
			m.Retain()
			u.made = append(u.made, madeMessage{w.Channel, m})
		}
		list = append(list, m)
	}
	return list
}

package rtsp

import (
	"slices"
	"time"

	"github.com/org/mtx/protocol/internal/egress"
)

// maxKeyWait bounds how long a reader waits for its first key frame. Streams that
// refresh pictures piece by piece have none.
const maxKeyWait = 5 * time.Second

// joiner is a reader that is not written to before the next key frame: what comes
// earlier cannot be decoded, and audio alone would make players begin without
// pictures.
type joiner struct {
	reader egress.Reader
	tracks []int
	lead   *fanTrack // the track whose key frame counts
	early  bool      // needs a prelude
	asked  time.Time // when the client asked for the stream; zero if it was reading before
	until  time.Time
}

// play adds a reader. It begins with a key frame, and before that with sender
// reports, so that it can align the tracks from the start.
func (f *fan) play(r egress.Reader, tracks []int, agent string, asked time.Time) {
	f.stream.RequestKeyFrame()
	f.mu.Lock()
	defer f.mu.Unlock()
	if l, ok := r.(*libReader); ok {
		f.libs.add(l)
	}
	lead := f.lead(tracks)
	if lead == nil {
		f.addReader(r, tracks, f.reportsLocked(r, tracks))
		return
	}
	j := &joiner{
		reader: r, tracks: tracks, lead: lead, early: needsPrelude(agent, lead.codec),
		asked: asked, until: time.Now().Add(maxKeyWait),
	}
	if f.opening.serves(j, time.Now()) {
		f.addReader(r, tracks, f.opening.messages(f, j))
		return
	}
	f.joiners = append(f.joiners, j)
}

// lead is the track of a reader that tells when to begin; nil without video.
func (f *fan) lead(tracks []int) *fanTrack {
	for _, i := range tracks {
		if f.tracks[i].video {
			return f.tracks[i]
		}
	}
	return nil
}

// addReader makes a reader one that is written to. f.mu is held.
func (f *fan) addReader(r egress.Reader, tracks []int, backlog []*egress.Message) {
	for _, i := range tracks {
		f.tracks[i].readers.Add(1)
	}
	if l, ok := r.(*libReader); ok {
		l.joined = true
		for _, m := range backlog {
			if !m.Control {
				l.due += uint64(m.Packets().Packets)
			}
		}
	}
	if paced(r) {
		f.group.AddPaced(r, 0, backlog...)
	} else {
		f.group.Add(r, backlog...)
	}
	for _, m := range backlog {
		m.Release()
	}
}

// paced tells whether a reader loses what comes too fast: with UDP, and in the queue
// of the library.
func paced(r egress.Reader) bool {
	_, tcp := r.(*egress.TCPReader)
	return !tcp
}

// stop removes a reader. When it returns, nothing is sent to it anymore.
func (f *fan) stop(r egress.Reader, tracks []int) {
	f.mu.Lock()
	if l, ok := r.(*libReader); ok {
		f.libs.remove(l)
	}
	n := len(f.joiners)
	f.joiners = slices.DeleteFunc(f.joiners, func(j *joiner) bool { return j.reader == r })
	waited := len(f.joiners) < n
	f.mu.Unlock()
	if waited {
		return
	}
	f.group.Remove(r)
	for _, i := range tracks {
		f.tracks[i].readers.Add(-1)
	}
}

// admit lets in who waits for this unit, or has waited too long. f.mu is held; the
// unit is sent next.
func (f *fan) admit(t *fanTrack, key bool, now time.Time) {
	f.joiners = slices.DeleteFunc(f.joiners, func(j *joiner) bool {
		switch {
		case key && t == j.lead && t == f.opening.lead && f.opening.early(j):
			f.addReader(j.reader, j.tracks, f.opening.messages(f, j)) // what of the access unit is gone already
		case key && t == j.lead && t != f.opening.lead, now.After(j.until):
			f.addReader(j.reader, j.tracks, f.reportsLocked(j.reader, j.tracks))
		default:
			return false
		}
		return true
	})
}

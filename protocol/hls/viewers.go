package hls

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

const (
	// viewerKind is the type of viewers.
	viewerKind = "hlsSession"

	// maxViewers bounds the viewers of a muxer that are told apart: names of
	// programs cost nothing. Whoever else watches is served, but not listed.
	maxViewers = 10000

	// minViewerTime is the least time without a request after which a viewer has
	// gone; it is otherwise viewerTargets target durations.
	minViewerTime = 10 * time.Second
	viewerTargets = 3
)

// viewers are those who watch a muxer. There are no sessions: a viewer is whoever
// asks from one address, as one user, with one program. It costs a map entry, and
// nothing that runs.
type viewers struct {
	seed   maphash.Seed
	target atomic.Int64 // seconds; of the last playlist
	limit  int

	mu    sync.Mutex
	swept time.Time
	known map[viewerKey]*watcher
}

type viewerKey struct {
	addr netip.Addr
	who  uint64 // hash of the user and the program
}

// watcher is one of the viewers.
type watcher struct {
	id      string
	addr    netip.Addr
	user    string
	created time.Time
	last    atomic.Int64 // time of the last answer, Unix nanoseconds
	busy    atomic.Int64 // answers that are being sent
	out     atomic.Uint64
}

func newViewers() *viewers {
	return &viewers{seed: maphash.MakeSeed(), limit: maxViewers, known: map[viewerKey]*watcher{}}
}

// keyOf tells clients apart.
func (v *viewers) keyOf(r *http.Request, user string) viewerKey {
	var h maphash.Hash
	h.SetSeed(v.seed)
	_, _ = h.WriteString(user)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(r.UserAgent())
	return viewerKey{httpserver.ClientAddr(r), h.Sum64()}
}

// begin notes that a client gets an answer. It returns nil if there are too many.
func (v *viewers) begin(r *http.Request, user string) *watcher {
	key, now := v.keyOf(r, user), time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	w := v.known[key]
	if w == nil || v.gone(w, now) {
		v.sweep(now)
		if len(v.known) >= v.limit {
			return nil
		}
		w = &watcher{id: uuid.NewString(), addr: key.addr, user: user, created: now}
		v.known[key] = w
	}
	w.busy.Add(1)
	w.last.Store(now.UnixNano())
	return w
}

// end notes that the answer was sent. w may be nil.
func (w *watcher) end(sent int) {
	if w == nil {
		return
	}
	w.out.Add(uint64(sent))
	w.last.Store(time.Now().UnixNano())
	w.busy.Add(-1)
}

func (v *viewers) gone(w *watcher, now time.Time) bool {
	after := max(minViewerTime, time.Duration(v.target.Load())*viewerTargets*time.Second)
	return w.busy.Load() == 0 && now.Sub(time.Unix(0, w.last.Load())) > after
}

// targetOf returns the target duration of a media playlist, in seconds.
func targetOf(body []byte) int64 {
	_, tail, _ := bytes.Cut(body, []byte(tagTarget))
	line, _, _ := bytes.Cut(tail, []byte("\n"))
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 32)
	return n
}

// sweep forgets who is gone, now and then. v.mu is locked.
func (v *viewers) sweep(now time.Time) {
	if now.Sub(v.swept) < time.Second {
		return
	}
	v.swept = now
	for k, w := range v.known {
		if v.gone(w, now) {
			delete(v.known, k)
		}
	}
}

// ViewerDetails are the numbers of a viewer.
type ViewerDetails struct {
	ID            string    `json:"id"`
	Created       time.Time `json:"created"`
	RemoteAddr    string    `json:"remoteAddr"`
	Path          string    `json:"path"`
	User          string    `json:"user"`
	LastRequest   time.Time `json:"lastRequest"`
	OutboundBytes uint64    `json:"outboundBytes"`
	BytesSent     uint64    `json:"bytesSent"` // older name of OutboundBytes
}

// Viewers tells who watches the muxer, oldest first: who has asked for something
// during the last three target durations, and at least ten seconds. Behind a CDN
// these are its nodes.
func (d *Details) Viewers() []router.SessionInfo {
	if d.viewers == nil {
		return nil
	}
	return d.viewers.list(d.Path)
}

func (v *viewers) list(path string) []router.SessionInfo {
	now := time.Now()
	v.mu.Lock()
	v.swept = time.Time{}
	v.sweep(now)
	out := make([]router.SessionInfo, 0, len(v.known))
	for _, w := range v.known {
		d := &ViewerDetails{
			ID: w.id, Created: w.created, Path: path, User: w.user,
			LastRequest: time.Unix(0, w.last.Load()), OutboundBytes: w.out.Load(),
		}
		if w.addr.IsValid() {
			d.RemoteAddr = w.addr.String()
		}
		d.BytesSent = d.OutboundBytes
		out = append(out, router.SessionInfo{
			ID: w.id, Kind: viewerKind, Created: w.created, RemoteAddr: d.RemoteAddr, Path: path, User: w.user,
			State: "read", Out: d.OutboundBytes, Details: d,
		})
	}
	v.mu.Unlock()
	slices.SortFunc(out, func(a, b router.SessionInfo) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return out
}

package hls

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/protocol/bridge/hlsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// kind is the type of the readers and sessions of this protocol.
const kind = "hlsMuxer"

var (
	// errIdle: nobody asked for anything for a while.
	errIdle = errors.New("not used anymore")
	// errRestart: the stream goes on, but not in the same muxer.
	errRestart = errors.New("the muxer must start again")
)

// muxer makes the HLS stream of a path, for all who watch it.
type muxer struct {
	*server
	path    string
	grant   *router.Grant // nil: it was not made for a client
	id      string
	created time.Time
	log     *slog.Logger
	cancel  context.CancelCauseFunc
	again   bool // guarded by server.mu: another stream is available
	begun   bool // of the goroutine that works: there was a stream

	last      atomic.Int64 // time of the last request, Unix nanoseconds
	busy      atomic.Int64 // requests at work
	out       atomic.Uint64
	discarded atomic.Uint64
	viewers   *viewers
	over      chan struct{} // closed when err is set

	mu      sync.Mutex
	err     error
	inst    *instance     // nil between streams
	changed chan struct{} // closed when inst changes
	held    *router.Attachment
	sub     *router.Subscription
}

func (m *muxer) touch() { m.last.Store(time.Now().UnixNano()) }

// begin and end surround every request.
func (m *muxer) begin() { m.busy.Add(1); m.touch() }
func (m *muxer) end()   { m.touch(); m.busy.Add(-1) }

// idle tells for how long nobody has asked for anything.
func (m *muxer) idle() time.Duration {
	if m.busy.Load() > 0 {
		return 0
	}
	return time.Since(time.Unix(0, m.last.Load()))
}

// work runs until the stream, or the interest in it, is over.
func (m *muxer) work(ctx context.Context) {
	defer m.cancel(nil)
	remove := m.host.AddSession(m)
	defer remove()
	stop := m.watch(ctx)
	defer stop()
	var err error
	for {
		err = m.protect(func() error { return m.run(ctx) })
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if m.remove(m, ctx.Err() != nil) {
			break
		}
	}
	if m.begun { // what finds no stream is not worth a line per request
		m.log.Info("muxer closed", "reason", err)
	} else {
		m.log.Debug("no muxer", "reason", err)
	}
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
	close(m.over)
	m.release()
}

// watch ends what was made for clients, when there are none.
func (m *muxer) watch(ctx context.Context) (stop func()) {
	t := time.NewTicker(max(m.MuxerCloseAfter/20, 10*time.Millisecond))
	done := make(chan struct{})
	quit := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-t.C:
			case <-quit:
				return
			case <-ctx.Done():
				return
			}
			if m.idle() < m.MuxerCloseAfter {
				continue
			}
			if m.grant != nil {
				m.cancel(errIdle)
				return
			}
			m.release()
		}
	}()
	return func() { close(quit); <-done; t.Stop() }
}

// run serves one stream after another while there is one.
func (m *muxer) run(ctx context.Context) error {
	for {
		stream, detach, err := m.stream(ctx)
		if err != nil {
			return err
		}
		if !m.begun {
			m.begun = true
			m.log.Info("muxer created", "onDemand", m.grant != nil)
		}
		err = m.serveStream(ctx, stream)
		detach()
		if ctx.Err() != nil || !errors.Is(err, router.ErrStreamClosed) {
			return err
		}
	}
}

// stream becomes a reader of the path. A muxer that was not made for a client
// has nobody's permission to be one: it takes the stream as a part of the
// server, and viewers make it a reader, see hold.
func (m *muxer) stream(ctx context.Context) (*router.Stream, func(), error) {
	if m.grant != nil {
		a, err := m.grant.Attach(ctx, router.ReadOptions{Peer: router.Peer{Type: kind, ID: m.id}, Shared: true})
		if err != nil {
			return nil, nil, err
		}
		return a.Stream(), a.Close, nil
	}
	if p, ok := m.host.Router().Path(m.path); ok {
		if s := p.Stream(); s != nil {
			return s, m.release, nil
		}
	}
	return nil, nil, &router.PathError{Op: "read", Path: m.path, Err: router.ErrNoStream}
}

// hold makes a muxer that was not made for a client a reader of the path, with
// the grant of one, so that an on-demand source stays while it is watched.
func (m *muxer) hold(ctx context.Context, grant *router.Grant) error {
	if m.grant != nil {
		return nil
	}
	m.mu.Lock()
	held := m.held != nil
	m.mu.Unlock()
	if held {
		return nil
	}
	a, err := grant.Attach(ctx, router.ReadOptions{Peer: router.Peer{Type: kind, ID: m.id}, Shared: true})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held != nil || m.err != nil {
		a.Close()
		return nil
	}
	m.held = a
	return nil
}

// release undoes hold.
func (m *muxer) release() {
	m.mu.Lock()
	a := m.held
	m.held = nil
	m.mu.Unlock()
	if a != nil {
		a.Close()
	}
}

// noTracksError: the variant can carry nothing of the stream.
type noTracksError struct {
	variant Variant
	codecs  []string
}

func (e *noTracksError) Error() string {
	accepted := "AV1, VP9, H265, H264, Opus, MPEG-4 Audio, FLAC"
	if e.variant == MPEGTS {
		accepted = "H264, MPEG-4 Audio"
	}
	return fmt.Sprintf("the stream has no track that HLS variant %s can carry: it has %s, and %s are accepted",
		e.variant, strings.Join(e.codecs, ", "), accepted)
}

// serveStream makes instances until the stream is over.
func (m *muxer) serveStream(ctx context.Context, stream *router.Stream) error {
	layout := hlsbridge.NewLayout(stream.Tracks(), m.Variant)
	if len(layout.Muxers) == 0 {
		return &noTracksError{m.Variant, codecNames(stream.Tracks(), nil)}
	}
	if len(layout.Skipped) > 0 {
		m.log.Warn("tracks are left out: the variant cannot carry them", "variant", string(m.Variant),
			"codecs", strings.Join(codecNames(stream.Tracks(), layout.Skipped), ", "))
	}
	pause := time.Second
	for {
		began := time.Now()
		err := m.serveInstance(ctx, stream)
		if !errors.Is(err, errRestart) {
			return err
		}
		m.log.Warn("muxer starts again", "reason", err)
		// not in a hurry, if it is the rule
		wait := time.Second - time.Since(began)
		if isDiskError(err) && time.Since(began) < maxDiskPause {
			wait, pause = pause, min(2*pause, maxDiskPause)
		} else {
			pause = time.Second
		}
		select {
		case <-time.After(max(0, wait)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isDiskError tells whether a file could not be written.
func isDiskError(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe)
}

func codecNames(tracks []media.Track, indexes []int) []string {
	var names []string
	if indexes == nil {
		for _, t := range tracks {
			names = append(names, t.Codec.Name())
		}
	}
	for _, i := range indexes {
		names = append(names, tracks[i].Codec.Name())
	}
	return names
}

func (m *muxer) serveInstance(ctx context.Context, stream *router.Stream) error {
	inst, err := newInstance(m, stream)
	if err != nil {
		return err
	}
	defer inst.close()
	sub, err := stream.Subscribe(router.SubscribeOptions{Tracks: inst.indexes()})
	if err != nil {
		return err
	}
	defer sub.Close()
	m.set(inst, sub)
	defer m.set(nil, nil)
	err = m.protect(func() error { return inst.feed(ctx, sub) })
	if leavesRest(err) {
		inst.left = inst.rest()
	}
	var pe *panicError
	if errors.As(err, &pe) {
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	return err
}

// panicError is a panic of this package or of a library.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// protect turns panics into errors.
func (m *muxer) protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			m.log.Error("panic", "error", v, "stack", string(debug.Stack()))
			err = &panicError{v}
		}
	}()
	return f()
}

func (m *muxer) set(i *instance, sub *router.Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sub != nil {
		m.discarded.Add(m.sub.Dropped())
	}
	m.inst, m.sub = i, sub
	close(m.changed)
	m.changed = make(chan struct{})
}

// instance waits for an instance other than the last one that the caller saw.
func (m *muxer) instance(ctx context.Context, last *instance) (*instance, error) {
	for {
		m.mu.Lock()
		inst, changed := m.inst, m.changed
		m.mu.Unlock()
		if inst != nil && inst != last {
			return inst, nil
		}
		select {
		case <-changed:
		case <-m.over:
			return nil, m.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// current returns the instance, or nil.
func (m *muxer) current() *instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inst
}

// Details is what the Control API shows about muxers; see HLSMuxer there.
type Details struct {
	Path                    string    `json:"path"`
	Created                 time.Time `json:"created"`
	LastRequest             time.Time `json:"lastRequest"`
	OutboundBytes           uint64    `json:"outboundBytes"`
	OutboundFramesDiscarded uint64    `json:"outboundFramesDiscarded"`
	BytesSent               uint64    `json:"bytesSent"` // older name of OutboundBytes

	viewers *viewers
}

// Info implements router.Session.
func (m *muxer) Info() router.SessionInfo {
	d := &Details{
		Path: m.path, Created: m.created, LastRequest: time.Unix(0, m.last.Load()),
		OutboundBytes: m.out.Load(), OutboundFramesDiscarded: m.discarded.Load(),
		viewers: m.viewers,
	}
	d.BytesSent = d.OutboundBytes
	m.mu.Lock()
	if m.sub != nil {
		d.OutboundFramesDiscarded += m.sub.Dropped()
	}
	m.mu.Unlock()
	return router.SessionInfo{
		ID: m.id, Kind: kind, Created: m.created, Path: m.path, State: "read", Out: d.OutboundBytes, Details: d,
	}
}

// Close implements router.Session.
func (m *muxer) Close() error {
	m.cancel(router.ErrKicked)
	return nil
}

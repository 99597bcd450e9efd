package hls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"
)

const (
	// pollPause is the pause before a playlist is asked for again that had
	// nothing new.
	pollPause = 200 * time.Millisecond

	// retryPause is the pause before a request is repeated that failed.
	retryPause = 300 * time.Millisecond

	// patience is how often ReadTimeout fits into the time of a whole answer.
	patience = 12

	// startSegments is how many segments a playlist must have at the beginning.
	startSegments = 3
)

// guard is the transport of the client. It reads answers to their end before it
// hands them over.
type guard struct {
	Source
	ctx  context.Context //nolint:containedctx // that of the run, beside those of requests
	next http.RoundTripper

	// failed gets the first failure: the client may wait forever after one that
	// comes before it knows the tracks.
	failed chan error

	mu    sync.Mutex
	began bool
	seen  map[string]int // by URL: media sequence number of the last segment
}

func newGuard(ctx context.Context, s Source, next http.RoundTripper) *guard {
	return &guard{Source: s, ctx: ctx, next: next, failed: make(chan error, 1), seen: map[string]int{}}
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := g.roundTrip(req)
	switch {
	case err != nil:
		g.fail(req, err)
	case res.StatusCode >= http.StatusBadRequest:
		g.fail(req, fmt.Errorf("bad status code: %d", res.StatusCode))
	}
	return res, err
}

func (g *guard) fail(req *http.Request, err error) {
	if g.ctx.Err() != nil || req.Context().Err() != nil {
		return // nobody cares anymore
	}
	select {
	case g.failed <- fmt.Errorf("%s: %w", redact(req.URL.String()), err):
	default:
	}
}

// roundTrip repeats what failed, once, after the beginning.
func (g *guard) roundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	for tries := 0; ; tries++ {
		res, err := g.fetch(req)
		switch {
		case err == nil && res.StatusCode/100 == 3:
			return res, nil
		case err == nil && res.StatusCode/100 == 2:
			wait, err := g.check(req, res, time.Since(began))
			if err != nil {
				return nil, err
			}
			if wait == 0 {
				return res, nil
			}
			if err := g.sleep(req.Context(), wait); err != nil {
				return nil, err
			}
			tries = -1
			continue
		case g.ctx.Err() != nil || req.Context().Err() != nil || tries > 0 || !g.hasBegun():
			return res, err
		}
		if err := g.sleep(req.Context(), retryPause); err != nil {
			return nil, err
		}
	}
}

func (g *guard) hasBegun() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.began
}

func (g *guard) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-g.ctx.Done():
		return g.ctx.Err()
	}
}

// fetch reads an answer to its end.
func (g *guard) fetch(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(nil)
	defer context.AfterFunc(g.ctx, func() { cancel(g.ctx.Err()) })()
	silent := time.AfterFunc(g.ReadTimeout, func() {
		cancel(fmt.Errorf("the server was silent for %v", g.ReadTimeout))
	})
	defer silent.Stop()
	limit := min(maxDuration, patience*g.ReadTimeout)
	slow := time.AfterFunc(limit, func() { cancel(fmt.Errorf("the answer does not end after %v", limit)) })
	defer slow.Stop()
	res, err := g.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, cause(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := g.readAll(res.Body, func() { silent.Reset(g.ReadTimeout) })
	if err != nil {
		return nil, cause(ctx, err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	return res, nil
}

// cause prefers the reason of a cancellation.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// readAll calls alive whenever something arrives.
func (g *guard) readAll(r io.Reader, alive func()) ([]byte, error) {
	var out bytes.Buffer
	buf := make([]byte, 32<<10)
	limit := g.MaxSegmentSize
	for {
		n, err := r.Read(buf)
		out.Write(buf[:n])
		if bytes.HasPrefix(out.Bytes(), []byte("#EXTM3U")) {
			limit = min(limit, maxPlaylistSize)
		}
		switch {
		case int64(out.Len()) > limit:
			return nil, fmt.Errorf("the answer is larger than %d bytes", limit)
		case errors.Is(err, io.EOF):
			return out.Bytes(), nil
		case err != nil:
			return nil, err
		}
		alive()
	}
}

// check looks at an answer. If it is too early for it, it returns after which
// pause the request should be repeated.
func (g *guard) check(req *http.Request, res *http.Response, waited time.Duration) (time.Duration, error) {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	if !bytes.HasPrefix(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), []byte("#EXTM3U")) {
		g.mu.Lock()
		g.began = true
		g.mu.Unlock()
		return 0, checkMedia(body)
	}
	if !bytes.Contains(body, []byte("#EXTINF:")) && !bytes.Contains(body, []byte("#EXT-X-STREAM-INF:")) {
		return g.later(waited, maxDuration/8, "the playlist has no segments")
	}
	pl, err := parse(body)
	if err != nil {
		return 0, fmt.Errorf("invalid playlist: %w", err)
	}
	switch pl := pl.(type) {
	case *playlist.Multivariant:
		return 0, checkMultivariant(pl)
	case *playlist.Media:
		if err := checkPlaylist(pl, body); err != nil {
			return 0, err
		}
		return g.schedule(req, pl, waited)
	}
	return 0, nil
}

// parse survives panics of the parser.
func parse(body []byte) (pl playlist.Playlist, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return playlist.Unmarshal(body)
}

// schedule holds a playlist back until the next segment is in it: the client
// gives up if it is not. Playlists with low latency wait by themselves.
func (g *guard) schedule(req *http.Request, pl *playlist.Media, waited time.Duration) (time.Duration, error) {
	lowLatency := pl.PreloadHint != nil && pl.ServerControl != nil && pl.ServerControl.CanBlockReload
	if pl.Endlist || lowLatency || pl.Skip != nil {
		return 0, nil
	}
	last := pl.MediaSequence + len(pl.Segments) - 1
	key := req.URL.String()
	g.mu.Lock()
	seen, again := g.seen[key]
	if !again && len(pl.Segments) >= startSegments || again && last != seen {
		g.seen[key] = last
		g.mu.Unlock()
		return 0, nil
	}
	g.mu.Unlock()
	wait := max(3*time.Duration(pl.TargetDuration)*time.Second, g.ReadTimeout)
	if again {
		return g.later(waited, wait, "the playlist does not change")
	}
	return g.later(waited, startSegments*wait, "the playlist does not get enough segments")
}

func (g *guard) later(waited, patience time.Duration, problem string) (time.Duration, error) {
	if waited > patience {
		return 0, fmt.Errorf("%s, for %v", problem, patience)
	}
	return pollPause, nil
}

// checkMultivariant bounds what the client would start.
func checkMultivariant(pl *playlist.Multivariant) error {
	if len(pl.Variants) > maxVariants {
		return fmt.Errorf("the playlist has %d variants, at most %d are accepted", len(pl.Variants), maxVariants)
	}
	groups := map[string]int{}
	for _, r := range pl.Renditions {
		groups[r.GroupID]++
		if groups[r.GroupID] > maxRenditions {
			return fmt.Errorf("the playlist has more than %d renditions in group %q", maxRenditions, r.GroupID)
		}
	}
	return nil
}

// checkPlaylist refuses what the client would misunderstand.
func checkPlaylist(pl *playlist.Media, body []byte) error {
	if d := time.Duration(pl.TargetDuration) * time.Second; d < 0 || d > maxDuration {
		return fmt.Errorf("target duration of %d seconds: at most %v is accepted", pl.TargetDuration, maxDuration)
	}
	for _, s := range pl.Segments {
		if s.Duration < 0 || s.Duration > maxDuration {
			return fmt.Errorf("a segment of %v: at most %v is accepted", s.Duration, maxDuration)
		}
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, "#EXT-X-KEY:"); ok && !strings.Contains(rest, "METHOD=NONE") {
			return errors.New("the segments are encrypted, which is not supported")
		}
	}
	return nil
}

package hls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
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
	log  *slog.Logger

	// failed gets the first failure: the client may wait forever after one that
	// comes before it knows the tracks.
	failed chan error

	// origin is the URL of the source.
	origin *url.URL

	// resume is where playlists begin for the client, by media sequence number: a
	// client before it has seen the rest.
	resume map[string]int

	mu    sync.Mutex
	began bool
	told  bool                // that tracks are ignored
	lists map[string]*listing // media playlists, by URL
	drain *time.Timer
}

func newGuard(ctx context.Context, s Source, next http.RoundTripper, log *slog.Logger) *guard {
	return &guard{Source: s, ctx: ctx, next: next, log: log, failed: make(chan error, 1), lists: map[string]*listing{}}
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := g.roundTrip(req)
	var jump *jumpError
	switch {
	case errors.As(err, &jump):
		g.awaitEnd(req, err)
	case err != nil:
		g.fail(req, err)
	case res.StatusCode >= http.StatusBadRequest:
		g.fail(req, fmt.Errorf("bad status code: %d", res.StatusCode))
	}
	return res, err
}

// awaitEnd lets the client end by itself after a jump, when it has played what it
// has. With playlists that do not jump it never does.
func (g *guard) awaitEnd(req *http.Request, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	longest := time.Second
	for _, l := range g.lists {
		if l.pl != nil {
			longest = max(longest, time.Duration(l.pl.TargetDuration)*time.Second)
		}
	}
	if g.drain == nil {
		g.drain = time.AfterFunc(3*longest, func() { g.fail(req, err) })
	}
}

// close stops what awaitEnd has begun.
func (g *guard) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drain != nil {
		g.drain.Stop()
	}
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
	res, err := g.next.RoundTrip(g.withCredentials(req.WithContext(ctx)))
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

// withCredentials adds those of the source to requests for absolute URLs of the
// same server, which its playlists and redirects may hold; never for others.
func (g *guard) withCredentials(req *http.Request) *http.Request {
	if g.origin == nil || g.origin.User == nil || req.Header.Get("Authorization") != "" ||
		req.URL.Scheme != g.origin.Scheme || !strings.EqualFold(req.URL.Host, g.origin.Host) {
		return req
	}
	req.Header = req.Header.Clone()
	pass, _ := g.origin.User.Password()
	req.SetBasicAuth(g.origin.User.Username(), pass)
	return req
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
		if isPlaylist(out.Bytes()) {
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

// check looks at an answer, and changes it into one that the client can take. If
// it is too early for it, it returns after which pause the request should be
// repeated.
func (g *guard) check(req *http.Request, res *http.Response, waited time.Duration) (time.Duration, error) {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	out, wait, err := g.checkBody(req, res.StatusCode, body, waited)
	res.Body = io.NopCloser(bytes.NewReader(out))
	res.ContentLength = int64(len(out))
	return wait, err
}

func (g *guard) checkBody(req *http.Request, status int, body []byte, waited time.Duration) ([]byte, time.Duration, error) {
	if !isPlaylist(body) {
		body, err := part(req, status, body)
		if err != nil {
			return nil, 0, err
		}
		return body, 0, g.checkSegment(req, body)
	}
	if !bytes.Contains(body, []byte("#EXTINF:")) && !bytes.Contains(body, []byte("#EXT-X-STREAM-INF:")) {
		wait, err := g.later(waited, maxDuration/8, "the playlist has no segments")
		return nil, wait, err
	}
	t, err := tidy(body)
	if err != nil {
		return nil, 0, err
	}
	pl, err := parse(t.body)
	if err != nil {
		return nil, 0, fmt.Errorf("invalid playlist: %w", err)
	}
	switch pl := pl.(type) {
	case *playlist.Multivariant:
		out, err := choose(pl, req.URL)
		return out, 0, err
	case *playlist.Media:
		changed, err := checkPlaylist(pl)
		if err != nil {
			return nil, 0, err
		}
		return g.follow(req.URL, pl, t, changed, waited)
	}
	return t.body, 0, nil
}

func isPlaylist(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimPrefix(body, byteOrderMark), []byte("#EXTM3U"))
}

// part cuts out what was asked for, if the server has sent the whole file.
func part(req *http.Request, status int, body []byte) ([]byte, error) {
	var first, last int
	if n, _ := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-%d", &first, &last); n != 2 || status != http.StatusOK {
		return body, nil
	}
	if first < 0 || last < first || first >= len(body) {
		return nil, errors.New("the byte range is not in the file")
	}
	return body[first:min(last+1, len(body))], nil
}

// checkSegment looks at media, and whether it goes on from what came before.
func (g *guard) checkSegment(req *http.Request, body []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.began = true
	l, what, number := g.find(req)
	switch what {
	case roleInit:
		tracks, err := checkInit(body)
		if err != nil {
			return err
		}
		l.lead = leadOf(tracks)
		return nil
	case roleUnknown:
		return checkMedia(body)
	}
	l.fetched, l.resume = number, number
	if l.init != "" {
		s, err := checkFragments(body, l.lead)
		if err != nil {
			return err
		}
		return l.advance(s, false)
	}
	s, ignored, err := checkTransportStream(body)
	if err != nil {
		return err
	}
	if ignored != "" && !g.told {
		g.told = true
		g.log.Warn("codecs are ignored that are not supported in transport streams: H264, MPEG-4 Audio and KLV are", "codecs", ignored)
	}
	l.lead = &lead{scale: 90000}
	return l.advance(s, true)
}

// positions tells where the next client should begin, by playlist.
func (g *guard) positions() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]int{}
	for key, l := range g.lists {
		out[key] = l.resume
	}
	return out
}

func (g *guard) later(waited, patience time.Duration, problem string) (time.Duration, error) {
	if waited > patience {
		return 0, fmt.Errorf("%s, for %v", problem, patience)
	}
	return pollPause, nil
}

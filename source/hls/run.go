package hls

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/protocol/bridge/hlsbridge"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// warnPeriod is the shortest time between two warnings.
const warnPeriod = 5 * time.Second

// shortestSession is how long a client must have lasted for another one to follow
// at once.
const shortestSession = 100 * time.Millisecond

// errEnded is not router.ErrStreamClosed, after which there is no restart.
var errEnded = errors.New("the publication was ended by the router")

// errStreamEnded is for playlists that do not go on.
var errStreamEnded = errors.New("the stream has ended")

// Run implements router.Source.
func (s Source) Run(ctx context.Context, run *router.SourceRun) error {
	s = s.withDefaults()
	u, err := parseURL(run.Expand(s.URL))
	if err != nil {
		return err
	}
	conf, err := tlsConfig(s.Fingerprint)
	if err != nil {
		return err
	}
	tr := &http.Transport{
		TLSClientConfig:       conf,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   s.ReadTimeout,
		ResponseHeaderTimeout: s.ReadTimeout,
		IdleConnTimeout:       time.Minute,
		MaxConnsPerHost:       64,
	}
	defer tr.CloseIdleConnections()
	jar, _ := cookiejar.New(nil)
	p := &pull{Source: s, run: run, url: u, http: &http.Client{Jar: jar, CheckRedirect: checkRedirect}}
	defer p.unpublish()
	var resume map[string]int
	for {
		began := time.Now()
		g := newGuard(ctx, s, tr, run.Log)
		g.origin, g.resume, g.began = u, resume, resume != nil
		err := p.receive(ctx, g)
		var jump *jumpError
		if ctx.Err() != nil || !errors.As(err, &jump) || time.Since(began) < shortestSession {
			return err
		}
		run.Log.Info("the stream goes on with a new client", "reason", jump.reason)
		resume = g.positions()
	}
}

// checkRedirect ends loops.
func checkRedirect(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// pull receives a stream, by one client after the other.
type pull struct {
	Source
	run    *router.SourceRun
	url    *url.URL
	http   *http.Client
	pub    *router.Publisher // nil before the first client knows the tracks
	tracks []media.Track

	// end is where the units that were written end, from the first one on. What
	// the next client reads begins there.
	end atomic.Int64

	// of the current client
	client    *gohlslib.Client
	guard     *guard
	published chan struct{} // closed when pub is set

	mu     sync.Mutex
	warned time.Time
}

// receive returns at the end of a client.
func (p *pull) receive(ctx context.Context, g *guard) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer g.close()
	g.ctx = ctx
	p.guard, p.published = g, make(chan struct{})
	hc := *p.http
	hc.Transport = g
	p.client = &gohlslib.Client{
		URI:                       p.url.String(),
		HTTPClient:                &hc,
		OnTracks:                  func(tracks []*gohlslib.Track) error { return p.publish(ctx, tracks) },
		OnDownloadPrimaryPlaylist: p.ask("primary playlist"),
		OnDownloadStreamPlaylist:  p.ask("playlist"),
		OnDownloadSegment:         p.ask("segment"),
		OnDownloadPart:            p.ask("part"),
		OnDecodeError:             p.fault,
	}
	if err := p.client.Start(); err != nil {
		return explain(err)
	}
	var clientErr error
	over := make(chan struct{})
	go func() {
		defer close(over)
		clientErr = p.client.Wait2()
	}()
	err := p.wait(ctx, over)
	p.client.Close()
	<-over
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	}
	return explain(clientErr)
}

func (p *pull) unpublish() {
	if p.pub != nil {
		p.pub.Close()
		p.pub = nil
	}
}

// wait returns nil when the client is over.
func (p *pull) wait(ctx context.Context, over <-chan struct{}) error {
	select {
	case <-over:
		return nil
	case err := <-p.guard.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-p.published:
	}
	select {
	case <-over:
		return nil
	case err := <-p.guard.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-p.pub.Done():
		return errEnded
	}
}

func (p *pull) isPublished() bool {
	select {
	case <-p.published:
		return true
	default:
		return false
	}
}

// publish is called by the client when it knows the tracks. If they are those of
// the client before, the publication goes on.
func (p *pull) publish(ctx context.Context, found []*gohlslib.Track) error {
	tracks := make([]media.Track, len(found))
	for i, t := range found {
		m, ok := hlsbridge.FromTrack(t)
		if !ok {
			return fmt.Errorf("track %d has a codec that is not supported", i+1)
		}
		tracks[i] = m
	}
	if p.pub != nil && !slices.EqualFunc(tracks, p.tracks, sameTrack) {
		p.unpublish()
	}
	if p.pub == nil {
		pub, err := p.run.Publish(ctx, slices.Clone(tracks), router.PublishOptions{})
		if err != nil {
			return err
		}
		p.pub, p.tracks = pub, tracks
		p.end.Store(0)
	}
	offset := time.Duration(p.end.Load())
	for i, t := range found {
		p.forward(p.pub, i, t, offset)
	}
	close(p.published)
	return nil
}

func sameTrack(a, b media.Track) bool {
	return a.Name == b.Name && a.Language == b.Language && media.Equal(a.Codec, b.Codec)
}

// forward publishes the units of a track, later by an offset.
func (p *pull) forward(pub *router.Publisher, i int, t *gohlslib.Track, offset time.Duration) {
	rate := p.tracks[i].Codec.ClockRate()
	shift := media.Ticks(offset, rate)
	client, last, length := p.client, int64(-1), int64(0)
	_, isAAC := t.Codec.(*codecs.MPEG4Audio)
	hlsbridge.OnData(client, t, func(pts int64, payload [][]byte) {
		pts += shift
		u := &media.Unit{PTS: pts, Payload: payload}
		if when, ok := client.AbsoluteTime(t); ok {
			u.NTP = when
		}
		pub.Write(i, u)
		switch by := pts - last; {
		case isAAC: // in transport streams, units have many frames
			length = mpeg4audio.SamplesPerAccessUnit * int64(len(payload))
		case last >= 0 && by > 0 && (length == 0 || by < length): // pictures may be out of order
			length = by
		}
		last = pts
		p.reach(media.Duration(pts+length, rate))
	})
}

// reach moves the end.
func (p *pull) reach(end time.Duration) {
	for {
		old := p.end.Load()
		if int64(end) <= old || p.end.CompareAndSwap(old, int64(end)) {
			return
		}
	}
}

// ask logs requests at debug level.
func (p *pull) ask(what string) func(string) {
	return func(u string) { p.run.Log.Debug("request", "what", what, "url", redact(u)) }
}

// fault logs damaged data, now and then.
func (p *pull) fault(err error) {
	if p.isPublished() {
		p.pub.Stream().AddInboundErrors(1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.warned) >= warnPeriod {
		p.warned = time.Now()
		p.run.Log.Warn("damaged data", "error", err)
	}
}

// redact removes secrets from a URL.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "invalid URL"
	}
	u.User = nil
	u.RawQuery = httpserver.RedactQuery(u.RawQuery)
	return u.String()
}

// explain removes secrets from errors of the client.
func explain(err error) error {
	var ue *url.Error
	switch {
	case err == nil:
		return errors.New("the client ended")
	case errors.Is(err, gohlslib.ErrClientEOS):
		return errStreamEnded
	case errors.As(err, &ue):
		return fmt.Errorf("%s: %w", redact(ue.URL), ue.Err)
	}
	return err
}

package hls

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync"
	"time"

	"github.com/bluenviron/gohlslib/v2"

	"github.com/org/mtx/protocol/bridge/hlsbridge"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// warnPeriod is the shortest time between two warnings.
const warnPeriod = 5 * time.Second

// errEnded is not router.ErrStreamClosed, after which there is no restart.
var errEnded = errors.New("the publication was ended by the router")

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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jar, _ := cookiejar.New(nil)
	g := newGuard(ctx, s, tr)
	p := &pull{Source: s, run: run, guard: g, published: make(chan struct{})}
	p.client = &gohlslib.Client{
		URI: u.String(),
		HTTPClient: &http.Client{
			Transport:     g,
			Jar:           jar,
			CheckRedirect: checkRedirect,
		},
		OnTracks:                  func(tracks []*gohlslib.Track) error { return p.publish(ctx, tracks) },
		OnDownloadPrimaryPlaylist: p.ask("primary playlist"),
		OnDownloadStreamPlaylist:  p.ask("playlist"),
		OnDownloadSegment:         p.ask("segment"),
		OnDownloadPart:            p.ask("part"),
		OnDecodeError:             p.fault,
	}
	return p.work(ctx)
}

// checkRedirect ends loops.
func checkRedirect(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// pull is one attempt to receive a stream.
type pull struct {
	Source
	run       *router.SourceRun
	client    *gohlslib.Client
	guard     *guard
	published chan struct{} // closed when pub is set
	pub       *router.Publisher

	mu     sync.Mutex
	warned time.Time
}

func (p *pull) work(ctx context.Context) error {
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
	if p.isPublished() {
		p.pub.Close()
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	}
	return explain(clientErr)
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

// publish is called by the client when it knows the tracks.
func (p *pull) publish(ctx context.Context, found []*gohlslib.Track) error {
	tracks := make([]media.Track, len(found))
	for i, t := range found {
		m, ok := hlsbridge.FromTrack(t)
		if !ok {
			return fmt.Errorf("track %d has a codec that is not supported", i+1)
		}
		tracks[i] = m
	}
	pub, err := p.run.Publish(ctx, tracks, router.PublishOptions{})
	if err != nil {
		return err
	}
	for i, t := range found {
		hlsbridge.OnData(p.client, t, func(pts int64, payload [][]byte) {
			u := &media.Unit{PTS: pts, Payload: payload}
			if when, ok := p.client.AbsoluteTime(t); ok {
				u.NTP = when
			}
			pub.Write(i, u)
		})
	}
	p.pub = pub
	close(p.published)
	return nil
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
		return errors.New("the stream has ended")
	case errors.As(err, &ue):
		return fmt.Errorf("%s: %w", redact(ue.URL), ue.Err)
	}
	return err
}

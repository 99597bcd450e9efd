package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/cmd/mediamtx/config"
	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
)

// nameAPI is the name of the Control API among the protocols.
const nameAPI = "api"

// lastWait is how long a change may go on after the request for it was over, and
// still be answered.
const lastWait = time.Second

var (
	errWithdrawn = fmt.Errorf("nothing was changed, try again: %w", controlapi.ErrEnding)
	errUnknown   = fmt.Errorf("the outcome is not known: %w", controlapi.ErrEnding)
)

// change applies an edit of the Control API, on a goroutine of its own: it may
// restart the server that the request came through, which waits for the request.
// The answer is true all the same. A change is made in two steps then, and
// answered between them: see applyFor. Who waits for changes of others when the
// server ends is told that nothing has changed.
func (c *configuration) change(ctx context.Context, edit func(*config.Document, *config.Edits) error) error {
	result, certain := make(chan error, 1), make(chan struct{})
	started := c.s.background(func(running context.Context) {
		result <- c.makeChange(running, ctx, edit, func() { close(certain) })
	})
	if !started {
		return router.ErrClosed
	}
	select {
	case err := <-result:
		return err
	case <-certain:
		select {
		case err := <-result:
			return err
		case <-ctx.Done():
			return controlapi.ErrUnderWay
		}
	case <-ctx.Done():
	}
	last := time.NewTimer(lastWait)
	defer last.Stop()
	select {
	case err := <-result:
		return err
	case <-certain:
		return controlapi.ErrUnderWay
	case <-last.C:
		return errUnknown
	}
}

// makeChange is not begun if the request is over before.
func (c *configuration) makeChange(ctx, request context.Context, edit func(*config.Document, *config.Edits) error, certain func()) error {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(request, func() { cancel(errWithdrawn) })()
	if err := c.lock(waiting); err != nil {
		return err
	}
	defer c.unlock()
	edits := c.edits.Clone()
	err := edit(c.doc, edits)
	if err == nil {
		_, err = c.put(ctx, c.sources, edits, certain)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, controlapi.ErrPathNotFound) {
		c.s.tellRefused(err)
	}
	return err
}

// tellRefused tells webhooks and listeners why a configuration is not used.
func (s *server) tellRefused(err error) {
	e := hook.New(hook.ConfigRefused)
	e.Error = err.Error()
	s.webhooks.Emit(e)
	s.feed.Emit(e)
}

// applyFor applies a configuration for a client of the Control API. If that has to
// be restarted, it is restarted alone, after everything else that could fail, and
// after certain was called.
func (c *configuration) applyFor(ctx context.Context, doc *config.Document, cfg mtx.Config, certain func()) (mtx.Changes, error) {
	r := c.s.router
	now := r.Config()
	all := router.Diff(&now, &cfg)
	if !slices.Contains(all.ProtocolsStopped, nameAPI) {
		return r.Apply(ctx, cfg)
	}
	heirs := slices.DeleteFunc(heirsOfAPI(c.doc, doc), func(n string) bool { return !has(cfg, n) })
	if first := keeping(now, cfg, append(heirs, nameAPI)); !unchanged(now, first) {
		if _, err := r.Apply(ctx, first); err != nil {
			return mtx.Changes{}, err
		}
	}
	undo := func(err error) (mtx.Changes, error) {
		if _, err2 := r.Apply(ctx, now); err2 != nil {
			err = errors.Join(err, err2)
		}
		return mtx.Changes{}, err
	}
	if err := tryAPI(c.doc, doc, heirs); err != nil {
		return undo(err)
	}
	certain()
	if _, err := r.Apply(ctx, cfg); err != nil {
		slog.New(c.s.log).Error("the change is taken back: the Control API does not start", "error", err)
		return undo(err)
	}
	return all, nil
}

func has(cfg mtx.Config, protocol string) bool {
	return slices.ContainsFunc(cfg.Protocols, func(p mtx.Protocol) bool { return p.Name() == protocol })
}

func unchanged(a, b mtx.Config) bool {
	ch := router.Diff(&a, &b)
	return ch.Empty()
}

// keeping returns next with some protocols as they are now.
func keeping(now, next mtx.Config, names []string) mtx.Config {
	isKept := func(p mtx.Protocol) bool { return slices.Contains(names, p.Name()) }
	next.Protocols = slices.DeleteFunc(slices.Clone(next.Protocols), isKept)
	for _, p := range now.Protocols {
		if isKept(p) {
			next.Protocols = append(next.Protocols, p)
		}
	}
	return next
}

// place is where a server accepts TCP connections.
type place struct {
	protocol, address string
	keys              string // what the keys of the certificate begin with
	encrypted         bool
	cert, key         string
}

func placesOf(d *config.Document) []place {
	return []place{
		{nameAPI, d.APIAddress, "api", d.APIEncryption, d.APIServerCert, d.APIServerKey},
		{"metrics", d.MetricsAddress, "metrics", d.MetricsEncryption, d.MetricsServerCert, d.MetricsServerKey},
		{"pprof", d.PprofAddress, "pprof", d.PprofEncryption, d.PprofServerCert, d.PprofServerKey},
		{"playback", d.PlaybackAddress, "playback", d.PlaybackEncryption, d.PlaybackServerCert, d.PlaybackServerKey},
		{"rtsp", d.RTSPAddress, "", false, "", ""},
		{"rtsps", d.RTSPSAddress, "rtsp", true, d.RTSPServerCert, d.RTSPServerKey},
		{"rtmp", d.RTMPAddress, "", false, "", ""},
		{"rtmps", d.RTMPSAddress, "rtmp", true, d.RTMPServerCert, d.RTMPServerKey},
		{"hls", d.HLSAddress, "hls", d.HLSEncryption, d.HLSServerCert, d.HLSServerKey},
		{"webrtc", d.WebRTCAddress, "webrtc", d.WebRTCEncryption, d.WebRTCServerCert, d.WebRTCServerKey},
		{"webrtc", d.WebRTCLocalTCPAddress, "", false, "", ""},
	}
}

// heirsOfAPI are the servers that take the place of the Control API when it moves.
// They can start only together with it.
func heirsOfAPI(old, next *config.Document) []string {
	_, port, err := net.SplitHostPort(old.APIAddress)
	if err != nil || port == "0" || old.APIAddress == next.APIAddress {
		return nil
	}
	var out []string
	for _, p := range placesOf(next) {
		if p.address == old.APIAddress {
			out = append(out, p.protocol)
		}
	}
	return out
}

// tryAPI tells why the Control API, and who takes its place, could not start,
// while everything else is where it will be.
func tryAPI(old, next *config.Document, heirs []string) error {
	for _, p := range placesOf(next) {
		mine := p.protocol == nameAPI && next.API || slices.Contains(heirs, p.protocol)
		if !mine || !p.encrypted {
			continue
		}
		if _, err := tls.LoadX509KeyPair(p.cert, p.key); err != nil {
			return fmt.Errorf("%sServerCert, %sServerKey: %w", p.keys, p.keys, err)
		}
	}
	if !next.API || next.APIAddress == old.APIAddress {
		return nil
	}
	for _, p := range placesOf(old) {
		if p.address == next.APIAddress && slices.Contains(heirs, p.protocol) {
			return nil // they exchange their places
		}
	}
	ln, err := net.Listen("tcp", next.APIAddress)
	if err != nil {
		return fmt.Errorf("apiAddress: %w", err)
	}
	return ln.Close()
}

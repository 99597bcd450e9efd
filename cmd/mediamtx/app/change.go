package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	edits, err := c.base()
	if err == nil {
		err = edit(c.doc, edits)
	}
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

package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/org/mtx/router"
)

// Policy tells how long the segments of some paths are kept. Limits that are
// zero do not apply.
type Policy struct {
	// Path is the name of the path configuration: that of a path, or a regular
	// expression behind "~", or "all_others". As in the router, a policy with the
	// name of the path goes first, then the first expression that matches, then
	// "all_others".
	Path string

	// Pattern is that of the sinks of the path; default [DefaultPattern]. Segments
	// of all formats are meant.
	Pattern string

	// DeleteAfter is the time after which a segment is deleted, counted from when
	// it was written last.
	DeleteAfter time.Duration

	// MaxSize is what the segments of each path may take together, in bytes. The
	// oldest ones are deleted.
	MaxSize int64

	// MinFreeSpace is what must stay free where the segments are stored, in bytes.
	// The oldest segments there are deleted, whichever of these policies they
	// belong to, a little ahead of time.
	MinFreeSpace int64
}

// Defaults of a [Cleaner].
const (
	DefaultCleanInterval = 30 * time.Second
	freeInterval         = time.Second // of a look at the free space, which is cheap
)

// freeMargin is added to MinFreeSpace, so that recorders need not wait for the
// cleaner: it is a tenth of that or this much, whichever is more, but not more
// than MinFreeSpace itself.
const freeMargin = 64 << 20

// staleAfter is when a file that was never published is taken for what a crash
// has left.
const staleAfter = time.Hour

// Cleaner deletes old segments. It is a [router.Protocol] that serves nobody.
// Segments that are being written are never deleted; recorders tell which those
// are through the State that they share with the cleaner.
type Cleaner struct {
	Policies []Policy

	// MaxSize is what all segments together may take, in bytes. The oldest ones
	// are deleted, of whichever path. Zero means no limit.
	MaxSize int64

	// Interval is the time between two looks at all segments. Default
	// [DefaultCleanInterval].
	Interval time.Duration

	// Store that the segments are in. Default [Local].
	Store Store

	// State that the sinks share. Optional, but without it a segment that is being
	// written may be deleted.
	State *State
}

// Name implements router.Protocol.
func (*Cleaner) Name() string { return "recordcleaner" }

// Serve implements router.Protocol.
func (c *Cleaner) Serve(ctx context.Context, h *router.Host) error {
	if _, err := c.rules(); err != nil {
		return err
	}
	h.Ready()
	// free space is looked at more often, if it matters
	all := time.NewTicker(cmp.Or(c.Interval, DefaultCleanInterval))
	defer all.Stop()
	free := time.NewTicker(freeInterval)
	defer free.Stop()
	if !slices.ContainsFunc(c.Policies, func(p Policy) bool { return p.MinFreeSpace > 0 }) {
		free.Stop()
	}
	for {
		if err := c.Clean(ctx, time.Now(), h.Log()); err != nil && ctx.Err() == nil {
			h.Log().Warn("segments cannot be cleaned up", keyError, err)
		}
		if !c.wait(ctx, all.C, free.C) {
			return nil
		}
	}
}

// wait returns true when there may be something to do.
func (c *Cleaner) wait(ctx context.Context, all, free <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-all:
			return true
		case <-free:
			if rules, err := c.rules(); err == nil && slices.ContainsFunc(rules, func(r *rule) bool { return c.missing(r) > 0 }) {
				return true
			}
		}
	}
}

// Clean deletes what is to be deleted at the time now. Deletions are logged. It
// goes on after an error, and returns the errors together.
func (c *Cleaner) Clean(ctx context.Context, now time.Time, log *slog.Logger) error {
	rules, err := c.rules()
	if err != nil {
		return err
	}
	run := &cleaning{c: c, ctx: ctx, store: storeOr(c.Store), log: log, now: now, rules: rules}
	run.collect()
	run.byAge()
	run.bySize()
	run.byFreeSpace()
	if run.count > 0 {
		log.Info("segments are deleted", "segments", run.count, "bytes", run.bytes)
	}
	return errors.Join(append(run.errs, ctx.Err())...)
}

// rule is a policy in the form to work with.
type rule struct {
	Policy

	expr     *regexp.Regexp // nil: Path is a name
	catchAll bool
	patterns []Pattern // one for each format
}

// maxCleanErrors bounds what one cleaning reports.
const maxCleanErrors = 10

func (c *Cleaner) rules() ([]*rule, error) {
	if c.MaxSize < 0 || c.Interval < 0 {
		return nil, errors.New("the maximum size of recordings and the interval must not be negative")
	}
	var out []*rule
	for _, p := range c.Policies {
		r := &rule{Policy: p}
		r.Pattern = cmp.Or(p.Pattern, DefaultPattern)
		if p.DeleteAfter < 0 || p.MaxSize < 0 || p.MinFreeSpace < 0 {
			return nil, fmt.Errorf("path %q: limits of recordings must not be negative", p.Path)
		}
		for _, f := range []Format{FMP4, MPEGTS} {
			pat, err := ParsePattern(r.Pattern, f)
			if err != nil {
				return nil, fmt.Errorf("path %q: %w", p.Path, err)
			}
			r.patterns = append(r.patterns, pat)
		}
		switch expr, ok := strings.CutPrefix(p.Path, "~"); {
		case p.Path == router.AllOthers || p.Path == "all" || expr == "^.*$" && ok:
			r.catchAll = true
		case ok:
			var err error
			if r.expr, err = regexp.Compile(expr); err != nil {
				return nil, fmt.Errorf("path %q: %w", p.Path, err)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// ruleOf returns the rule for a path, or nil.
func ruleOf(rules []*rule, path string) *rule {
	var found *rule
	for _, r := range rules {
		switch {
		case r.catchAll:
			if found == nil {
				found = r
			}
		case r.expr == nil && r.Path == path:
			return r
		case r.expr != nil && (found == nil || found.catchAll) && r.expr.MatchString(path):
			found = r
		}
	}
	return found
}

// missing returns how many bytes are to be freed where the segments of a rule
// are.
func (c *Cleaner) missing(r *rule) int64 {
	if r.MinFreeSpace <= 0 {
		return 0
	}
	free, err := storeOr(c.Store).Free(r.patterns[0].Root())
	want := r.MinFreeSpace + max(r.MinFreeSpace/10, min(r.MinFreeSpace, freeMargin))
	if err != nil || free > uint64(want) {
		return 0
	}
	return want - int64(free)
}

// cleaning is one round.
type cleaning struct {
	c     *Cleaner
	ctx   context.Context //nolint:containedctx // of one call
	store Store
	log   *slog.Logger
	now   time.Time
	rules []*rule

	list  []owned // from the oldest to the newest
	count int
	bytes int64
	errs  []error
}

// owned is a segment with the rule of its path.
type owned struct {
	Segment

	rule *rule
	root string
	open bool
	gone bool
}

func (k *cleaning) fail(err error) {
	if len(k.errs) < maxCleanErrors {
		k.errs = append(k.errs, err)
	}
}

// collect lists the segments, each once. A segment belongs to the rule of its path
// only where that rule stores it.
func (k *cleaning) collect() {
	var roots []string
	for _, r := range k.rules {
		roots = append(roots, r.patterns[0].Root())
	}
	for i, root := range roots {
		within := func(other string) bool { return inside(other, root) }
		if slices.Contains(roots[:i], root) || slices.ContainsFunc(roots, within) {
			continue
		}
		for e, err := range k.store.List(k.ctx, root) {
			if err != nil {
				k.fail(err)
				break
			}
			k.take(e)
		}
	}
	slices.SortFunc(k.list, func(a, b owned) int { return bySegmentStart(a.Segment, b.Segment) })
}

func (k *cleaning) take(e Entry) {
	name, stale := strings.CutSuffix(e.Name, unpublished)
	for _, r := range k.rules {
		for _, p := range r.patterns {
			path, start, ok := p.Match(name)
			if !ok || ruleOf(k.rules, path) != r {
				continue
			}
			s := owned{Segment: Segment{e.Name, p.format, path, start, e.Size, e.Modified}, rule: r, root: p.Root()}
			s.open = k.c.State != nil && k.c.State.Open(name)
			switch {
			case !stale:
				k.list = append(k.list, s)
			case !s.open && k.now.Sub(e.Modified) > staleAfter:
				k.delete(&s, "left by a crash")
			}
			return
		}
	}
}

// delete returns false if the segment stays.
func (k *cleaning) delete(s *owned, why string) bool {
	if s.gone || s.open || k.ctx.Err() != nil || k.c.State != nil && k.c.State.Open(s.Name) {
		return false
	}
	if err := k.store.Remove(s.root, s.Name); err != nil {
		k.fail(err)
		return false
	}
	s.gone = true
	k.count++
	k.bytes += s.Size
	k.log.Debug("segment is deleted", keyFile, s.Name, keyReason, why)
	return true
}

func (k *cleaning) byAge() {
	for i := range k.list {
		s := &k.list[i]
		end := s.Modified
		if end.Before(s.Start) {
			end = s.Start
		}
		if s.rule.DeleteAfter > 0 && k.now.Sub(end) > s.rule.DeleteAfter {
			k.delete(s, "age")
		}
	}
}

func (k *cleaning) bySize() {
	var total int64
	paths := map[string]int64{}
	for _, s := range k.list {
		if !s.gone {
			paths[s.Path] += s.Size
			total += s.Size
		}
	}
	for i := range k.list {
		s := &k.list[i]
		if s.rule.MaxSize > 0 && paths[s.Path] > s.rule.MaxSize && k.delete(s, "size of the path") {
			paths[s.Path] -= s.Size
			total -= s.Size
		}
	}
	for i := range k.list {
		if s := &k.list[i]; k.c.MaxSize > 0 && total > k.c.MaxSize && k.delete(s, "size of all paths") {
			total -= s.Size
		}
	}
}

// byFreeSpace asks again after each deletion: nobody knows what a file really
// takes.
func (k *cleaning) byFreeSpace() {
	for _, r := range k.rules {
		root := r.patterns[0].Root()
		for i := range k.list {
			if k.c.missing(r) <= 0 {
				break
			}
			if s := &k.list[i]; s.root == root {
				k.delete(s, "free space")
			}
		}
	}
}

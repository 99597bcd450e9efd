package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/org/mtx"
	"github.com/org/mtx/cmd/mediamtx/config"
	"github.com/org/mtx/controlapi"
)

// configuration is what is in force. Changes come from the file and from the
// Control API, one after the other.
type configuration struct {
	s    *server
	busy chan struct{} // a lock that can be given up; guards what follows

	sources *config.Sources
	edits   *config.Edits
	kept    []byte // of the edits, in their file
	doc     *config.Document
}

var _ controlapi.ConfigStore = (*configuration)(nil)

// newConfiguration reads the file, and the changes that the Control API made
// before if they are kept.
func (s *server) newConfiguration() (*configuration, *config.Info, error) {
	sources, err := config.Read(s.file, s.Env, s.overrides)
	if err != nil {
		return nil, nil, err
	}
	c := &configuration{s: s, busy: make(chan struct{}, 1)}
	doc, info, err := sources.Document(nil)
	if err != nil {
		return nil, nil, err
	}
	if err := c.readEdits(doc.APIPersist); err != nil {
		return nil, nil, err
	}
	if file := doc.APIPersist; file != "" {
		if doc, info, err = sources.Document(c.edits); err != nil {
			return nil, nil, misfit(file, err)
		}
	}
	c.sources, c.doc = sources, doc
	return c, info, nil
}

// misfit says where the reason is to be looked for.
func misfit(file string, err error) error {
	return fmt.Errorf("apiPersist %q: the changes that were kept do not fit the configuration: %w", file, err)
}

// readEdits takes the edits from the file that keeps them; there are none without
// a file.
func (c *configuration) readEdits(file string) error {
	edits, kept := &config.Edits{}, []byte(nil)
	if file != "" {
		var err error
		if kept, err = os.ReadFile(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("apiPersist: %w", err)
		}
		if edits, err = config.ParseEdits(kept); err != nil {
			return fmt.Errorf("apiPersist %q: the file is damaged", file)
		}
	}
	c.edits, c.kept = edits.Clone(), kept
	return nil
}

// base returns the edits that the next change is added to: those in force, or
// what somebody made of the file that keeps them.
func (c *configuration) base() (*config.Edits, error) {
	if c.doc.APIPersist == "" {
		return c.edits.Clone(), nil
	}
	switch now, err := os.ReadFile(c.doc.APIPersist); {
	case errors.Is(err, fs.ErrNotExist), err == nil && bytes.Equal(now, c.kept):
		return c.edits.Clone(), nil
	default:
		edited := &configuration{}
		err := edited.readEdits(c.doc.APIPersist)
		return edited.edits, err
	}
}

func (c *configuration) lock(ctx context.Context) error {
	select {
	case c.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *configuration) unlock() { <-c.busy }

// applied is a configuration that was put in force.
type applied struct {
	doc     *config.Document
	info    *config.Info
	changes mtx.Changes
}

// reload puts another state of the file in force; nil if nothing was to be done.
func (c *configuration) reload(ctx context.Context, sources *config.Sources) (*applied, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	if sources.Digest == c.sources.Digest {
		return nil, nil
	}
	doc, _, err := sources.Document(nil)
	if err != nil {
		return nil, err
	}
	file := doc.APIPersist
	if file == "" {
		file, _ = c.edits.Global["apiPersist"].(string) // switched on by the API
	}
	next := &configuration{}
	if err := next.readEdits(file); err != nil {
		return nil, err
	}
	put, err := c.put(ctx, sources, next.edits, nil)
	if err == nil {
		c.kept = next.kept
	}
	return put, err
}

// put applies a configuration, or changes nothing. It is called with the lock
// held. certain is what is called before the server ends that a client of the
// Control API waits at, when nothing can fail any longer; nil if nobody waits.
func (c *configuration) put(ctx context.Context, sources *config.Sources, edits *config.Edits, certain func()) (*applied, error) {
	doc, info, err := sources.Document(edits)
	if err != nil {
		return nil, err
	}
	if certain != nil { // a file may lack a path for a moment only, while it is written
		edits = edits.Without(info.Idle)
	}
	cfg, err := c.s.build(doc)
	if err != nil {
		return nil, err
	}
	if err := tryServers(c.doc, doc, c.s.router.Config(), cfg); err != nil {
		return nil, err
	}
	logging, err := c.s.log.Prepare(logOptionsOf(doc))
	if err != nil {
		return nil, err
	}
	keep := func(bool) error { return nil }
	if certain != nil {
		if keep, err = c.persist(doc.APIPersist, edits); err != nil {
			logging(false)
			return nil, err
		}
	}
	var ch mtx.Changes
	if certain == nil {
		ch, err = c.s.router.Apply(ctx, cfg)
	} else {
		ch, err = c.applyFor(ctx, doc, cfg, certain)
	}
	logging(err == nil)
	if err != nil {
		_ = keep(false)
		return nil, err
	}
	log := slog.New(c.s.log)
	if err := keep(true); err != nil {
		log.Error("the change is in force but cannot be kept in apiPersist", "error", err)
	}
	c.sources, c.edits, c.doc = sources, edits, doc
	c.s.setHooks(doc)
	c.s.dump.Configure(doc.DumpPackets, dumpDir(doc.LogFile))
	return &applied{doc, info, ch}, nil
}

// persist writes edits beside the file, so that a full disk is known before
// anything changes; keep puts them in its place, or forgets them.
func (c *configuration) persist(file string, edits *config.Edits) (keep func(bool) error, err error) {
	if file == "" {
		return func(bool) error { return nil }, nil
	}
	data, err := edits.Marshal()
	if err != nil {
		return nil, err
	}
	fail := func(err error) (func(bool) error, error) {
		return nil, fmt.Errorf("the change cannot be kept in apiPersist: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".mtx-*") // readable by the owner only
	if err != nil {
		return fail(err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fail(err)
	}
	return func(good bool) error {
		var err error
		if good {
			err = os.Rename(f.Name(), file)
		}
		if !good || err != nil {
			_ = os.Remove(f.Name())
			return err
		}
		c.kept = data
		return nil
	}, nil
}

// document returns what is in force, as it can be shown.
func (c *configuration) document(ctx context.Context) (*config.Document, error) {
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	return c.doc.Shown(), nil
}

// Global implements controlapi.ConfigStore.
func (c *configuration) Global(ctx context.Context) (json.RawMessage, error) {
	d, err := c.document(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(d.Global)
}

// PatchGlobal implements controlapi.ConfigStore.
func (c *configuration) PatchGlobal(ctx context.Context, doc json.RawMessage) error {
	return c.change(ctx, func(now *config.Document, e *config.Edits) error {
		tree, err := parseSection(config.SectionGlobal, doc, &now.Global)
		if err == nil {
			maps.Copy(e.Global, tree)
		}
		return err
	})
}

// PathDefaults implements controlapi.ConfigStore.
func (c *configuration) PathDefaults(ctx context.Context) (json.RawMessage, error) {
	d, err := c.document(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(d.PathDefaults)
}

// PatchPathDefaults implements controlapi.ConfigStore.
func (c *configuration) PatchPathDefaults(ctx context.Context, doc json.RawMessage) error {
	return c.change(ctx, func(now *config.Document, e *config.Edits) error {
		tree, err := parseSection(config.SectionPath, doc, &now.PathDefaults)
		if err == nil {
			maps.Copy(e.PathDefaults, tree)
		}
		return err
	})
}

// parseSection reads a document, in which secrets may be as they were shown.
func parseSection(s config.Section, doc json.RawMessage, now any) (map[string]any, error) {
	tree, err := config.FromJSON(s, doc)
	if err == nil && now != nil {
		s.Restore(tree, now)
	}
	return tree, err
}

// Paths implements controlapi.ConfigStore.
func (c *configuration) Paths(ctx context.Context) ([]json.RawMessage, error) {
	d, err := c.document(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, 0, len(d.Paths))
	for _, n := range slices.Sorted(maps.Keys(d.Paths)) {
		b, err := json.Marshal(d.Paths[n])
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// Path implements controlapi.ConfigStore.
func (c *configuration) Path(ctx context.Context, name string) (json.RawMessage, error) {
	d, err := c.document(ctx)
	if err != nil {
		return nil, err
	}
	p, ok := d.Paths[name]
	if !ok {
		return nil, controlapi.ErrPathNotFound
	}
	return json.Marshal(p)
}

// AddPath implements controlapi.ConfigStore.
func (c *configuration) AddPath(ctx context.Context, name string, doc json.RawMessage) error {
	return c.change(ctx, func(now *config.Document, e *config.Edits) error {
		if _, ok := now.Paths[name]; ok {
			return controlapi.ErrPathExists
		}
		tree, err := parseSection(config.SectionPath, doc, nil)
		if err == nil {
			e.ReplacePath(name, tree)
		}
		return err
	})
}

// PatchPath implements controlapi.ConfigStore.
func (c *configuration) PatchPath(ctx context.Context, name string, doc json.RawMessage) error {
	return c.change(ctx, func(now *config.Document, e *config.Edits) error {
		p, ok := now.Paths[name]
		if !ok {
			return controlapi.ErrPathNotFound
		}
		tree, err := parseSection(config.SectionPath, doc, &p)
		if err == nil {
			e.SetPath(name, tree)
		}
		return err
	})
}

// ReplacePath implements controlapi.ConfigStore.
func (c *configuration) ReplacePath(ctx context.Context, name string, doc json.RawMessage) error {
	return c.change(ctx, func(now *config.Document, e *config.Edits) error {
		var present any
		if p, ok := now.Paths[name]; ok {
			present = &p
		}
		tree, err := parseSection(config.SectionPath, doc, present)
		if err == nil {
			e.ReplacePath(name, tree)
		}
		return err
	})
}

// DeletePath implements controlapi.ConfigStore.
func (c *configuration) DeletePath(ctx context.Context, name string) error {
	return c.change(ctx, func(now *config.Document, e *config.Edits) error {
		if _, ok := now.Paths[name]; !ok {
			return controlapi.ErrPathNotFound
		}
		e.RemovePath(name)
		return nil
	})
}

// Export implements controlapi.ConfigStore.
func (c *configuration) Export(ctx context.Context) ([]byte, error) {
	d, err := c.document(ctx)
	if err != nil {
		return nil, err
	}
	return d.Export()
}

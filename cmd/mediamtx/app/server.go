package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/cmd/mediamtx/config"
	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router/hook"
)

// server is one run of the command.
type server struct {
	Options
	file      string // as given; empty: searched for
	overrides map[string]any

	log       *logger
	config    *configuration
	router    *mtx.Router
	commands  *hook.Runner
	webhooks  *hook.Webhooks
	feed      *controlapi.Feed
	started   time.Time
	recording record.State
	beside    beside
	dump      dumper
}

// shared is what outlives a configuration.
func (s *server) shared() config.Shared {
	return config.Shared{Recording: &s.recording, Processes: s.processes}
}

// check loads and builds the configuration, and says what is worth knowing.
func (s *server) check() error {
	doc, info, err := config.Load(s.file, s.Env, s.overrides)
	if err != nil {
		return err
	}
	if _, err := s.build(doc); err != nil {
		return err
	}
	for _, w := range info.Warnings {
		fmt.Fprintf(s.Stdout, "WAR: %s\n", printable(w))
	}
	for _, k := range doc.NotInForce() {
		fmt.Fprintf(s.Stdout, "WAR: has no effect in this version: %s\n", printable(k))
	}
	file := info.File
	if file == "" {
		file = "no file: any path is accepted"
	}
	fmt.Fprintf(s.Stdout, "the configuration is good (%s)\n", printable(file))
	return nil
}

// build makes the configuration of the router and lets the program extend it.
func (s *server) build(doc *config.Document) (mtx.Config, error) {
	c, err := doc.BuildWith(s.shared())
	if err != nil {
		return c, err
	}
	for _, p := range c.Protocols {
		if api, ok := p.(*controlapi.Server); ok {
			api.Store, api.Feed, api.Version, api.Started = s.config, s.feed, Version(), s.started
			api.Recordings = archive{s.config}
		}
	}
	for _, f := range s.Extend {
		f(&c)
	}
	return c, c.Validate()
}

// run serves until ctx is done.
func (s *server) run(ctx context.Context) error {
	c, info, err := s.newConfiguration()
	if err != nil {
		return err
	}
	s.config, s.feed, s.started = c, controlapi.NewFeed(), time.Now()
	cfg, err := s.build(c.doc)
	if err != nil {
		return err
	}
	s.log, err = newLogger(s.Stdout, logOptionsOf(c.doc))
	if err != nil {
		return err
	}
	defer s.log.Close()
	log := slog.New(s.log)
	s.announce(log, c.doc, info)
	s.commands, s.webhooks = hook.NewRunner(log), hook.NewWebhooks(log)
	defer s.webhooks.Close()
	defer s.commands.Close()
	s.setHooks(c.doc)
	s.dump.log = log
	s.dump.Configure(c.doc.DumpPackets, dumpDir(c.doc.LogFile))
	defer s.dump.Configure(false, "")
	s.router, err = mtx.New(cfg, mtx.WithLogger(log), mtx.WithConns(s.dump.Conn), mtx.WithPackets(&s.dump),
		mtx.WithHooks(s.commands.Hooks()), mtx.WithHooks(s.webhooks.Hooks()))
	if err != nil {
		return err
	}
	if s.store != nil {
		s.store(c)
	}
	if s.Router != nil {
		s.Router(s.router)
	}
	debug.FreeOSMemory() // what parsing a large file took is not needed again
	return s.serve(ctx, log)
}

// serve runs the router, and reloads its configuration when the file changes.
func (s *server) serve(ctx context.Context, log *slog.Logger) error {
	running, cancel := context.WithCancel(ctx)
	s.beside.open(running)
	s.background(func(context.Context) {
		<-running.Done()
		if ctx.Err() != nil {
			log.Info("shutting down")
		}
	})
	s.background(func(running context.Context) { s.reopen(running, log) })
	if file := s.config.sources.File; file != "" {
		s.background(func(running context.Context) {
			err := config.Watch(running, file, log, func() { s.reload(running, log, file) })
			if err != nil {
				log.Warn("changes of the configuration will not be seen", "error", err)
			}
		})
	}
	err := s.router.Run(ctx)
	cancel()
	s.beside.close()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // asked to stop while it was starting
	}
	return err
}

// reopen opens the log file anew when it is asked for.
func (s *server) reopen(ctx context.Context, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-s.Reopen:
			if !ok {
				return
			}
			if err := s.log.Reopen(); err != nil {
				log.Error("the log file cannot be opened anew", "error", err)
			}
		}
	}
}

// background runs a function beside the router; it returns false if the server
// is about to end.
func (s *server) background(f func(context.Context)) bool { return s.beside.start(f) }

// beside is what runs beside the router.
type beside struct {
	mu  sync.Mutex
	ctx context.Context //nolint:containedctx // of the functions that it runs; nil: not open
	wg  sync.WaitGroup
}

func (b *beside) open(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ctx = ctx
}

func (b *beside) start(f func(context.Context)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx == nil {
		return false
	}
	ctx := b.ctx
	b.wg.Go(func() { f(ctx) })
	return true
}

// close waits for what runs.
func (b *beside) close() {
	b.mu.Lock()
	b.ctx = nil
	b.mu.Unlock()
	b.wg.Wait()
}

// announce says what was loaded.
func (s *server) announce(log *slog.Logger, doc *config.Document, info *config.Info) {
	log.Info("mediamtx", "version", Version())
	if info.File == "" {
		log.Info("no configuration file was found, so any path can be published and read")
	} else {
		log.Info("configuration loaded", "file", info.File)
	}
	s.warn(log, doc, info)
}

func (s *server) warn(log *slog.Logger, doc *config.Document, info *config.Info) {
	for _, w := range info.Warnings {
		log.Warn(w) //nolint:sloglint // a whole sentence
	}
	for _, k := range doc.NotInForce() {
		log.Warn("has no effect in this version", "key", k)
	}
}

// reload puts the changed file in force. If anything is wrong with it the server
// goes on as it is.
func (s *server) reload(ctx context.Context, log *slog.Logger, file string) {
	sources, err := config.Read(file, s.Env, s.overrides)
	if err == nil {
		var put *applied
		if put, err = s.config.reload(ctx, sources); err == nil {
			if put != nil {
				s.warn(log, put.doc, put.info)
				if put.changes.Empty() { // otherwise the router tells what changed
					log.Info("configuration reloaded, nothing to change")
				}
				debug.FreeOSMemory()
			}
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	s.tellRefused(err)
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Error("the changed configuration is not used", "error", line)
	}
}

// setHooks puts in force what a document says about commands of connections and
// webhooks; those of paths are part of the paths.
func (s *server) setHooks(doc *config.Document) {
	s.commands.SetConnections(doc.Connections(s.shared()))
	s.webhooks.Set(doc.WebhookTargets())
}

// logOptionsOf returns what a document says about logging.
func logOptionsOf(doc *config.Document) logOptions {
	o := logOptions{Structured: doc.LogStructured, File: doc.LogFile, Prefix: doc.SysLogPrefix}
	switch doc.LogLevel {
	case "error":
		o.Level = slog.LevelError
	case "warn":
		o.Level = slog.LevelWarn
	case "debug":
		o.Level = slog.LevelDebug
	default:
		o.Level = slog.LevelInfo
	}
	for _, d := range doc.LogDestinations {
		if !slices.Contains(o.Destinations, string(d)) { // named twice, it gets each message once
			o.Destinations = append(o.Destinations, string(d))
		}
	}
	return o
}

package router_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// plain is a plugin of every kind that is compared by its content.
type plain struct {
	Label string
	Value int
}

func (p plain) Name() string { return p.Label }
func (p plain) Type() string { return p.Label }
func (p plain) Serve(ctx context.Context, h *router.Host) error {
	h.Ready()
	<-ctx.Done()
	return nil
}

type plainSource struct{ plain }

func (plainSource) Run(ctx context.Context, _ *router.SourceRun) error {
	<-ctx.Done()
	return ctx.Err()
}

type plainSink struct{ plain }

func (plainSink) Run(ctx context.Context, _ *router.SinkRun) error {
	<-ctx.Done()
	return ctx.Err()
}

// hot takes new values while it runs.
type hot struct{ plain }

func (hot) CanUpdate(next router.Protocol) bool {
	_, ok := next.(hot)
	return ok
}

// same is always equal, whatever it holds.
type same struct {
	plainSink
	f func()
}

func (same) Equal(b any) bool {
	_, ok := b.(same)
	return ok
}

type redirect struct{ to string }

func (redirect) Type() string                                 { return "redirect" }
func (redirect) Run(context.Context, *router.SourceRun) error { panic("a redirector never runs") }
func (r redirect) RedirectURL() string                        { return r.to }

func TestDiff(t *testing.T) {
	t.Parallel()
	protocols := func(p ...router.Protocol) router.Config { return router.Config{Protocols: p} }
	path := func(p router.PathConfig) router.Config {
		p.Name = "a"
		return router.Config{Paths: []router.PathConfig{p}}
	}
	source := func(v int) router.Source { return plainSource{plain{"s", v}} }
	sink := func(v int) router.Sink { return plainSink{plain{"k", v}} }
	fake := &routertest.Protocol{ServeFunc: func(context.Context, *router.Host) error { return nil }}
	added := router.Changes{PathsAdded: []string{"a"}}
	updated := router.Changes{PathsUpdated: []string{"a"}}
	restarted := router.Changes{PathsRestarted: []string{"a"}}
	for name, c := range map[string]struct {
		old, next router.Config
		want      router.Changes
	}{
		"nothing":          {path(router.PathConfig{Source: source(1)}), path(router.PathConfig{Source: source(1)}), router.Changes{}},
		"protocol started": {protocols(), protocols(plain{"b", 1}, plain{"a", 1}), router.Changes{ProtocolsStarted: []string{"a", "b"}}},
		"protocol stopped": {protocols(plain{"a", 1}), protocols(), router.Changes{ProtocolsStopped: []string{"a"}}},
		"protocol changed": {protocols(plain{"a", 1}), protocols(plain{"a", 2}), router.Changes{ProtocolsStarted: []string{"a"}, ProtocolsStopped: []string{"a"}}},
		"protocol updated": {protocols(hot{plain{"a", 1}}), protocols(hot{plain{"a", 2}}), router.Changes{ProtocolsUpdated: []string{"a"}}},
		"hot to another":   {protocols(hot{plain{"a", 1}}), protocols(plain{"a", 1}), router.Changes{ProtocolsStarted: []string{"a"}, ProtocolsStopped: []string{"a"}}},
		"same pointer":     {protocols(fake), protocols(fake), router.Changes{}},
		"path added":       {router.Config{}, path(router.PathConfig{}), added},
		"path removed":     {path(router.PathConfig{}), router.Config{}, router.Changes{PathsRemoved: []string{"a"}}},
		"readers":          {path(router.PathConfig{}), path(router.PathConfig{MaxReaders: 1}), updated},
		"override":         {path(router.PathConfig{}), path(router.PathConfig{Override: true}), updated},
		"fallback":         {path(router.PathConfig{}), path(router.PathConfig{Fallback: "/b"}), updated},
		"sink added":       {path(router.PathConfig{}), path(router.PathConfig{Sinks: []router.Sink{sink(1)}}), updated},
		"sink changed":     {path(router.PathConfig{Sinks: []router.Sink{sink(1)}}), path(router.PathConfig{Sinks: []router.Sink{sink(2)}}), updated},
		"sink with Equal": {
			path(router.PathConfig{Sinks: []router.Sink{same{f: func() {}}}}),
			path(router.PathConfig{Sinks: []router.Sink{same{f: func() {}}}}), router.Changes{},
		},
		"on-demand": {
			path(router.PathConfig{Source: source(1)}),
			path(router.PathConfig{Source: source(1), OnDemand: router.OnDemand{Enabled: true}}), updated,
		},
		"source changed": {path(router.PathConfig{Source: source(1)}), path(router.PathConfig{Source: source(2)}), restarted},
		"source added":   {path(router.PathConfig{}), path(router.PathConfig{Source: source(2)}), restarted},
		"source removed": {path(router.PathConfig{Source: source(2)}), path(router.PathConfig{}), restarted},
		"hot source":     {path(router.PathConfig{Source: hotSource{Value: 1}}), path(router.PathConfig{Source: hotSource{Value: 2}}), updated},
		"hot source, other extras": {
			path(router.PathConfig{Source: hotSource{Value: 1}}),
			path(router.PathConfig{Source: hotSource{Value: 2}, Extras: []any{1}}), restarted,
		},
		"standby":      {path(router.PathConfig{}), path(router.PathConfig{Standby: &routertest.Standby{}}), restarted},
		"grace":        {path(router.PathConfig{}), path(router.PathConfig{PublisherGrace: 1}), updated},
		"GOP cache":    {path(router.PathConfig{}), path(router.PathConfig{GOPCache: router.GOPCache{MaxBytes: 1 << 20}}), updated},
		"clock":        {path(router.PathConfig{}), path(router.PathConfig{UseAbsoluteTimestamp: true}), restarted},
		"extras":       {path(router.PathConfig{Extras: []any{1}}), path(router.PathConfig{Extras: []any{2}}), restarted},
		"equal extras": {path(router.PathConfig{Extras: []any{1}}), path(router.PathConfig{Extras: []any{1}}), router.Changes{}},
		"auth":         {router.Config{}, router.Config{Auth: &routertest.Authenticator{}}, router.Changes{Auth: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := router.Diff(&c.old, &c.next)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if got.Empty() != reflect.DeepEqual(c.want, router.Changes{}) {
				t.Errorf("Empty() = %v", got.Empty())
			}
		})
	}
}

// Every field of a path must make a difference, or a reload would forget it.
func TestDiffSeesEveryField(t *testing.T) {
	t.Parallel()
	values := map[string]any{
		"Name": "b", "Source": plainSource{}, "OnDemand": router.OnDemand{CloseAfter: 1}, "Sinks": []router.Sink{plainSink{}},
		"Standby": &routertest.Standby{}, "PublisherGrace": time.Second, "GOPCache": router.GOPCache{MaxBytes: 1 << 20}, "MaxReaders": 1, "Override": true, "Fallback": "/x", "UseAbsoluteTimestamp": true, "Extras": []any{1},
	}
	for f := range reflect.TypeFor[router.PathConfig]().Fields() {
		old, next := router.PathConfig{Name: "a"}, router.PathConfig{Name: "a"}
		v, ok := values[f.Name]
		if !ok {
			t.Errorf("field %s is new: add a value for it", f.Name)
			continue
		}
		reflect.ValueOf(&next).Elem().FieldByIndex(f.Index).Set(reflect.ValueOf(v))
		a, b := config(old), config(next)
		if ch := router.Diff(&a, &b); ch.Empty() {
			t.Errorf("a change of %s is not seen", f.Name)
		}
	}
}

package router

import (
	"log/slog"
	"maps"
	"reflect"
	"slices"
)

// Changes is the difference between two configurations, as applied. Names are
// sorted.
type Changes struct {
	ProtocolsStarted, ProtocolsStopped []string // what changed is in both
	ProtocolsUpdated                   []string // live, see HotProtocol
	PathsAdded, PathsRemoved           []string
	PathsUpdated                       []string // live, nobody disconnected
	PathsRestarted                     []string
	Auth                               bool // the authenticator changed; nobody is disconnected
}

// Empty tells whether nothing changed.
func (c Changes) Empty() bool {
	return !c.Auth && len(c.ProtocolsStarted)+len(c.ProtocolsStopped)+len(c.ProtocolsUpdated)+
		len(c.PathsAdded)+len(c.PathsRemoved)+len(c.PathsUpdated)+len(c.PathsRestarted) == 0
}

// LogValue implements slog.LogValuer: only what changed is shown.
func (c Changes) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, l := range []struct {
		key   string
		names []string
	}{
		{"protocolsStopped", c.ProtocolsStopped},
		{"protocolsStarted", c.ProtocolsStarted},
		{"protocolsUpdated", c.ProtocolsUpdated},
		{"pathsAdded", c.PathsAdded},
		{"pathsRemoved", c.PathsRemoved},
		{"pathsUpdated", c.PathsUpdated},
		{"pathsRestarted", c.PathsRestarted},
	} {
		if len(l.names) > 0 {
			attrs = append(attrs, slog.Any(l.key, l.names))
		}
	}
	if c.Auth {
		attrs = append(attrs, slog.Bool("auth", true))
	}
	return slog.GroupValue(attrs...)
}

// Diff tells what a change of configuration disturbs. It is a pure function, so
// that the effect of a reload is a table test.
func Diff(old, next *Config) Changes {
	var ch Changes
	op, np := byName(old.Protocols), byName(next.Protocols)
	for _, n := range slices.Sorted(maps.Keys(op)) {
		q, ok := np[n]
		switch {
		case ok && equal(op[n], q):
		case ok && canUpdateProtocol(op[n], q):
			ch.ProtocolsUpdated = append(ch.ProtocolsUpdated, n)
		default:
			ch.ProtocolsStopped = append(ch.ProtocolsStopped, n)
			if ok {
				ch.ProtocolsStarted = append(ch.ProtocolsStarted, n)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(np)) {
		if op[n] == nil {
			ch.ProtocolsStarted = append(ch.ProtocolsStarted, n)
		}
	}
	slices.Sort(ch.ProtocolsStarted)
	oc, nc := pathsByName(old.Paths), pathsByName(next.Paths)
	for _, n := range slices.Sorted(maps.Keys(oc)) {
		q := nc[n]
		switch {
		case q == nil:
			ch.PathsRemoved = append(ch.PathsRemoved, n)
		case oc[n].equal(q):
		case oc[n].canUpdate(q):
			ch.PathsUpdated = append(ch.PathsUpdated, n)
		default:
			ch.PathsRestarted = append(ch.PathsRestarted, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(nc)) {
		if oc[n] == nil {
			ch.PathsAdded = append(ch.PathsAdded, n)
		}
	}
	ch.Auth = !equal(old.Auth, next.Auth)
	return ch
}

// equal compares plugin values as [Protocol] says, and everything else deeply.
func (c *PathConfig) equal(next *PathConfig) bool {
	a, b := *c, *next
	a.Source, a.Standby, a.Sinks, a.Extras = nil, nil, nil, nil
	b.Source, b.Standby, b.Sinks, b.Extras = nil, nil, nil, nil
	return reflect.DeepEqual(a, b) && equal(c.Source, next.Source) && equal(c.Standby, next.Standby) &&
		slices.EqualFunc(c.Sinks, next.Sinks, func(s, t Sink) bool { return equal(s, t) }) &&
		slices.EqualFunc(c.Extras, next.Extras, equal)
}

// canUpdate tells whether a live path can change from c to next. Everything but
// the extras, the clock, the standby and the source changes live; the source if
// it can.
func (c *PathConfig) canUpdate(next *PathConfig) bool {
	if c.UseAbsoluteTimestamp != next.UseAbsoluteTimestamp || !equal(c.Standby, next.Standby) ||
		!slices.EqualFunc(c.Extras, next.Extras, equal) {
		return false
	}
	if equal(c.Source, next.Source) {
		return true
	}
	h, ok := c.Source.(HotSource)
	return ok && next.Source != nil && h.CanUpdate(next.Source)
}

func canUpdateProtocol(old, next Protocol) bool {
	h, ok := old.(HotProtocol)
	return ok && h.CanUpdate(next)
}

func byName(ps []Protocol) map[string]Protocol {
	m := make(map[string]Protocol, len(ps))
	for _, p := range ps {
		m[p.Name()] = p
	}
	return m
}

func pathsByName(ps []PathConfig) map[string]*PathConfig {
	m := make(map[string]*PathConfig, len(ps))
	for i := range ps {
		m[ps[i].Name] = &ps[i]
	}
	return m
}

package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// logOptions is what the configuration says about messages.
type logOptions struct {
	Level        slog.Level
	Structured   bool
	Destinations []string // stdout, file, syslog
	File         string
	Prefix       string // of syslog
}

func (o logOptions) equal(p logOptions) bool {
	return o.Level == p.Level && o.Structured == p.Structured && slices.Equal(o.Destinations, p.Destinations) &&
		o.File == p.File && o.Prefix == p.Prefix
}

// logger is a slog.Handler whose level, format and destinations can change while
// it is in use. Handlers derived from it follow.
type logger struct {
	*logCore
	attrs  []slog.Attr // with the names of their groups in front
	groups string      // "a.b."
}

// logCore is what a logger and those derived from it share.
type logCore struct {
	level  slog.LevelVar
	stdout io.Writer

	mu      sync.Mutex
	options logOptions
	outputs []output
	buf     []byte // of the record that is being written
}

// output is one destination.
type output interface {
	// write stores a line without its end. The text is the line in full, bare the
	// same without time and level, for destinations that have their own.
	write(level slog.Level, text, bare []byte) error
	io.Closer
}

// newLogger opens the destinations.
func newLogger(stdout io.Writer, o logOptions) (*logger, error) {
	l := &logger{logCore: &logCore{stdout: stdout}}
	return l, l.Configure(o)
}

// Configure changes the options. If a destination cannot be opened, all stays as
// it was.
func (c *logCore) Configure(o logOptions) error {
	use, err := c.Prepare(o)
	if err == nil {
		use(true)
	}
	return err
}

// Prepare opens the destinations of other options. The returned function, which
// must be called, puts the options in force, or forgets them.
func (c *logCore) Prepare(o logOptions) (use func(bool), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outputs != nil && c.options.equal(o) {
		return func(bool) {}, nil
	}
	outputs, err := c.open(o)
	if err != nil {
		return nil, err
	}
	return func(good bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		unwanted := outputs
		if good {
			unwanted = c.outputs
			c.options, c.outputs = o, outputs
			c.level.Set(o.Level)
		}
		for _, out := range unwanted {
			_ = out.Close() // nothing can be done about it, and nowhere to say it
		}
	}, nil
}

func (c *logCore) open(o logOptions) ([]output, error) {
	outputs := []output{}
	fail := func(err error) ([]output, error) {
		for _, out := range outputs {
			err = errors.Join(err, out.Close())
		}
		return nil, err
	}
	for _, d := range o.Destinations {
		switch d {
		case "stdout":
			outputs = append(outputs, writerOutput{c.stdout})
		case "file":
			f, err := openFile(o.File)
			if err != nil {
				return fail(err)
			}
			outputs = append(outputs, f)
		case "syslog":
			s, err := openSyslog(o.Prefix)
			if err != nil {
				return fail(err)
			}
			outputs = append(outputs, s)
		}
	}
	return outputs, nil
}

// Reopen opens the files anew, for programs that moved them away.
func (c *logCore) Reopen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, o := range c.outputs {
		if f, ok := o.(*fileOutput); ok {
			errs = append(errs, f.reopen())
		}
	}
	return errors.Join(errs...)
}

// Close closes the destinations. Messages that come later are lost.
func (c *logCore) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, o := range c.outputs {
		errs = append(errs, o.Close())
	}
	c.outputs = []output{}
	return errors.Join(errs...)
}

// Enabled implements slog.Handler.
func (l *logger) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level.Level() }

// WithAttrs implements slog.Handler.
func (l *logger) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logger{l.logCore, append(slices.Clip(l.attrs), flatten(l.groups, attrs)...), l.groups}
}

// WithGroup implements slog.Handler.
func (l *logger) WithGroup(name string) slog.Handler {
	if name == "" {
		return l
	}
	return &logger{l.logCore, l.attrs, l.groups + name + "."}
}

// Handle implements slog.Handler.
func (l *logger) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clip(l.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, flatten(l.groups, []slog.Attr{a})...)
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buf[:0]
	bare := 0 // where the part without time and level begins
	if l.options.Structured {
		b = appendJSON(b, r, attrs)
	} else {
		b = appendHead(b, r)
		bare = len(b)
		b = appendText(b, r, attrs)
	}
	l.buf = b
	var first error
	for _, o := range l.outputs {
		if err := o.write(r.Level, b, b[bare:]); err != nil && first == nil {
			first = err
		}
	}
	if cap(l.buf) > 64<<10 {
		l.buf = nil
	}
	return first
}

// flatten resolves values and turns groups into prefixes of names.
func flatten(prefix string, attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		v := a.Value.Resolve()
		switch {
		case v.Kind() == slog.KindGroup:
			p := prefix
			if a.Key != "" {
				p += a.Key + "."
			}
			out = append(out, flatten(p, v.Group())...)
		case a.Key != "":
			out = append(out, slog.Attr{Key: prefix + a.Key, Value: v})
		}
	}
	return out
}

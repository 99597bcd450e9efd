package router

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// AllOthers is the name of the path that accepts every name that no other path
// matches. "all" and "~^.*$" are the same.
const AllOthers = "all_others"

// Config is the desired state of a router. It is a snapshot: the router copies
// the lists and never changes the plugin values in them, and neither may the
// caller once they were handed over.
//
// It has no file format. Files, environment and flags are the business of
// cmd/mediamtx/config.
type Config struct {
	// Protocols are started in order. If one has a method Validate() error, the
	// configuration is refused when that fails, before anything is stopped for it.
	Protocols []Protocol

	// Auth decides who may do what. Nil allows everything. It is validated as
	// protocols are.
	Auth Authenticator

	// AuthPause bounds the random pause before a client with wrong credentials
	// gets its answer. Default 4s. While many such pauses of one address last, its
	// other clients with credentials wait, or fail with [ErrTooManyAttempts].
	// Negative means neither.
	AuthPause time.Duration

	// Paths are the paths that exist, by name, by regular expression or as
	// [AllOthers].
	Paths []PathConfig

	// QueueSize is the number of units that a subscription holds before it
	// drops. Default 512.
	QueueSize int

	// SourceRetryPause is the pause before a source or a sink that failed is
	// started again. Default 5s.
	SourceRetryPause time.Duration
}

// PathConfig configures a path, or a set of paths if Name is a regular
// expression ("~^cam[0-9]+$") or [AllOthers]. Exact names win over regular
// expressions, these (in order) over AllOthers.
type PathConfig struct {
	// Name is the name of one path, a regular expression behind "~", or [AllOthers].
	// [ValidatePathName] tells what a name may consist of.
	Name string

	// Source brings the stream. Nil: the path waits for a publisher.
	Source Source

	// OnDemand starts the source with the first reader.
	OnDemand OnDemand

	// Sinks consume the stream whenever there is one.
	Sinks []Sink

	// MaxReaders limits the readers. Zero means no limit.
	MaxReaders int

	// Override lets a new publisher replace the current one. If false, the new
	// one is refused with [ErrAlreadyPublishing].
	Override bool

	// Fallback redirects readers while no stream is available: an absolute URL,
	// or the name of another path with a leading slash.
	Fallback string

	// Standby is shown while nobody publishes: readers never miss the stream.
	// Publishers whose tracks do not fit are refused with a [*TracksError]. Nil:
	// without a publisher there is no stream. The path cannot be on-demand.
	Standby Standby

	// PublisherGrace is how long the stream outlives its publisher, or source. Who
	// comes back in this time with the same tracks goes on with it, and readers stay
	// connected. Zero: the stream ends with its publisher. Streams with a
	// [media.Generic] track always do.
	PublisherGrace time.Duration

	// GOPCache lets new readers begin with the last key frame. It is turned on and
	// off without disturbing anybody.
	GOPCache GOPCache

	// UseAbsoluteTimestamp takes the absolute time of units from the publisher
	// (RTCP sender reports...) instead of from the local clock.
	UseAbsoluteTimestamp bool

	// Extras are settings of protocols for this path; each protocol reads its
	// own with [Extra].
	Extras []any
}

// OnDemand starts the source with the first reader and stops it after the last.
type OnDemand struct {
	// Enabled says so. False: the source runs for as long as the path exists.
	Enabled bool

	// StartTimeout bounds how long the first readers wait. Default 10s.
	StartTimeout time.Duration

	// CloseAfter is how long the source outlives the last reader. Zero means
	// that it stops at once.
	CloseAfter time.Duration
}

func (o OnDemand) startTimeout() time.Duration {
	if o.StartTimeout <= 0 {
		return 10 * time.Second
	}
	return o.StartTimeout
}

// Extra returns the value of type T among the extras of a path: the way a
// protocol reads its own per-path settings without the router knowing them.
func Extra[T any](c *PathConfig) (T, bool) {
	for _, e := range c.Extras {
		if v, ok := e.(T); ok {
			return v, true
		}
	}
	var zero T
	return zero, false
}

// ValidatePathName tells why a name cannot be the name of a live path; nil if
// it can. Names consist of letters, digits and _ - . ~ / : @ ! $ & ' ( ) * + , ; =
// as in the path of a URL (RFC 3986), without empty, "." or ".." segments.
func ValidatePathName(name string) error {
	switch {
	case name == "":
		return errors.New("a path name cannot be empty")
	case len(name) > 1024:
		return errors.New("a path name cannot be longer than 1024 bytes")
	case name[0] == '/':
		return fmt.Errorf("path name %q cannot begin with a slash", name)
	case name[len(name)-1] == '/':
		return fmt.Errorf("path name %q cannot end with a slash", name)
	}
	for _, r := range name {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			strings.ContainsRune("_-.~/:@!$&'()*+,;=", r)) {
			return fmt.Errorf("path name %q can contain only letters, digits and _ - . ~ / : @ ! $ & ' ( ) * + , ; =", name)
		}
	}
	for seg := range strings.SplitSeq(name, "/") {
		switch seg {
		case "":
			return fmt.Errorf("path name %q cannot contain an empty segment", name)
		case ".", "..":
			return fmt.Errorf("path name %q cannot contain the segment %q", name, seg)
		}
	}
	return nil
}

// isCatchAll tells the names that mean "every other path".
func isCatchAll(name string) bool {
	return name == AllOthers || name == "all" || name == "~^.*$"
}

// isDynamic tells whether a path configuration stands for many paths.
func isDynamic(name string) bool { return isCatchAll(name) || strings.HasPrefix(name, "~") }

// Validate reports every problem of the configuration, joined.
func (c *Config) Validate() error {
	_, err := compile(c)
	return err
}

// WithPath returns a copy of c in which p is added or replaced.
func (c Config) WithPath(p PathConfig) Config {
	c.Paths = slices.Clone(c.Paths)
	if i := slices.IndexFunc(c.Paths, func(e PathConfig) bool { return e.Name == p.Name }); i >= 0 {
		c.Paths[i] = p
	} else {
		c.Paths = append(c.Paths, p)
	}
	return c
}

// WithoutPath returns a copy of c without a path.
func (c Config) WithoutPath(name string) Config {
	c.Paths = slices.DeleteFunc(slices.Clone(c.Paths), func(e PathConfig) bool { return e.Name == name })
	return c
}

// compiled is a configuration that was validated, with what is needed to match
// names quickly.
type compiled struct {
	Config
	exact   map[string]*PathConfig
	regexps []pathRegexp // in the order of the configuration
	others  *PathConfig
}

type pathRegexp struct {
	re   *regexp.Regexp
	conf *PathConfig
}

// clone copies the lists of c, so that the program may go on editing its own.
func (c Config) clone() Config {
	c.Protocols = slices.Clone(c.Protocols)
	c.Paths = slices.Clone(c.Paths)
	for i := range c.Paths {
		c.Paths[i].Sinks = slices.Clone(c.Paths[i].Sinks)
		c.Paths[i].Extras = slices.Clone(c.Paths[i].Extras)
	}
	return c
}

func compile(c *Config) (*compiled, error) {
	out := &compiled{Config: c.clone(), exact: make(map[string]*PathConfig, len(c.Paths))}
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	protocols := map[string]bool{}
	for i, p := range c.Protocols {
		if isNil(p) {
			bad("protocol number %d is nil", i+1)
			continue
		}
		if protocols[p.Name()] {
			bad("protocol %q: there are two of this name", p.Name())
		}
		protocols[p.Name()] = true
		if err := validatePlugin(p); err != nil {
			bad("protocol %q: %w", p.Name(), err)
		}
	}
	if c.Auth != nil && isNil(c.Auth) {
		bad("the authenticator is a nil pointer or function")
	} else if err := validatePlugin(c.Auth); err != nil {
		errs = append(errs, err)
	}
	if c.QueueSize < 0 || c.QueueSize > maxQueueSize {
		bad("queue size %d: must be between 0 and %d", c.QueueSize, maxQueueSize)
	}
	for i := range out.Paths {
		p := &out.Paths[i]
		if err := out.add(p); err != nil {
			errs = append(errs, fmt.Errorf("path %q: %w", p.Name, err))
		}
	}
	return out, errors.Join(errs...)
}

func (c *compiled) add(p *PathConfig) error {
	if err := p.validate(); err != nil {
		return err
	}
	if isCatchAll(p.Name) {
		if c.others != nil {
			return fmt.Errorf("%q, \"all\" and \"~^.*$\" mean the same and exclude each other", c.others.Name)
		}
		c.others = p
		return nil
	}
	if c.exact[p.Name] != nil || slices.ContainsFunc(c.regexps, func(r pathRegexp) bool { return r.conf.Name == p.Name }) {
		return errors.New("there are two paths of this name")
	}
	if expr, ok := strings.CutPrefix(p.Name, "~"); ok {
		re, err := regexp.Compile(expr)
		if err != nil {
			return fmt.Errorf("invalid regular expression: %w", err)
		}
		c.regexps = append(c.regexps, pathRegexp{re, p})
		return nil
	}
	if err := ValidatePathName(p.Name); err != nil {
		return err
	}
	c.exact[p.Name] = p
	return nil
}

func (c *PathConfig) validate() error {
	if c.Source != nil && isNil(c.Source) {
		return errors.New("the source is a nil pointer")
	}
	if slices.ContainsFunc(c.Sinks, func(s Sink) bool { return isNil(s) }) {
		return errors.New("a sink is nil")
	}
	if c.MaxReaders < 0 {
		return fmt.Errorf("maximum number of readers %d: must not be negative", c.MaxReaders)
	}
	if c.OnDemand.Enabled && c.Source == nil {
		return errors.New("on-demand needs a source")
	}
	if c.Fallback != "" && !isDestination(c.Fallback) {
		return errors.New("fallback: must be an absolute URL, or the name of another path with a leading slash")
	}
	if _, ok := c.Source.(Redirector); ok && c.OnDemand.Enabled {
		return errors.New("a redirect cannot be on-demand")
	}
	if err := c.GOPCache.validate(); err != nil {
		return err
	}
	if err := c.validateStandby(); err != nil {
		return err
	}
	if isDynamic(c.Name) && c.Source != nil && !c.OnDemand.Enabled {
		if _, ok := c.Source.(Redirector); !ok {
			return errors.New("the source of a path with a regular expression must be on-demand")
		}
	}
	return nil
}

func (c *PathConfig) validateStandby() error {
	if c.PublisherGrace < 0 {
		return fmt.Errorf("grace of the publisher %v: must not be negative", c.PublisherGrace)
	}
	if c.Standby == nil {
		return nil
	}
	if isNil(c.Standby) {
		return errors.New("the standby is a nil pointer")
	}
	if _, ok := c.Source.(Redirector); ok || c.OnDemand.Enabled {
		return errors.New("a path with a standby can neither be on-demand nor a redirect")
	}
	tracks := c.Standby.Tracks()
	if err := checkTracks(tracks); err != nil {
		return fmt.Errorf("standby: %w", err)
	}
	if !canSplice(tracks) {
		return errors.New("standby: generic tracks cannot be joined with others")
	}
	return nil
}

// match finds the configuration of a path and the groups of its regular
// expression ($0, $1...).
func (c *compiled) match(name string) (*PathConfig, []string) {
	if p := c.exact[name]; p != nil {
		return p, nil
	}
	for _, r := range c.regexps {
		if m := r.re.FindStringSubmatch(name); m != nil {
			return r.conf, m
		}
	}
	if c.others != nil {
		return c.others, []string{name}
	}
	return nil, nil
}

// validatePlugin asks a plugin value that can tell what is wrong with it.
func validatePlugin(v any) error {
	if v, ok := v.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// isNil tells whether a value is nil, or a nil pointer or function.
func isNil(v any) bool {
	rv := reflect.ValueOf(v)
	return v == nil || (rv.Kind() == reflect.Pointer || rv.Kind() == reflect.Func) && rv.IsNil()
}

// equal compares plugin values: the very same value, own Equal method, or deep
// equality.
func equal(a, b any) bool {
	if same(a, b) {
		return true
	}
	if e, ok := a.(interface{ Equal(any) bool }); ok {
		return e.Equal(b)
	}
	return reflect.DeepEqual(a, b)
}

// same tells whether two interfaces hold the very same value: the same pointer, or
// copies of one interface. Functions, and what holds them, are equal in no other way.
func same(a, b any) bool {
	type words [2]uintptr // type and value, or where the value is: it never changes
	return *(*words)(unsafe.Pointer(&a)) == *(*words)(unsafe.Pointer(&b))
}

// isDestination tells whether readers can be sent there.
func isDestination(s string) bool {
	if name, ok := strings.CutPrefix(s, "/"); ok {
		return name != "" && name[0] != '/'
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Host != ""
}

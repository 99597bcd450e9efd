package router

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/org/mtx/router/media"
)

// Protocol is a component that serves clients for as long as the router runs:
// a media server, the control API, the playback server.
//
// A Protocol value is configuration, not state: a plain struct (or a pointer to
// one) that the router compares with reflect.DeepEqual, or with its method
// Equal(any) bool if it has one, to find out whether [Router.Apply] changed it.
// What is handed back ([Router.Config]) is always equal, and so is the same pointer;
// functions are in no other way. Everything that lives at run time belongs to local
// variables of Serve.
type Protocol interface {
	// Name is unique in a router ("rtsp", "rtsps").
	Name() string

	// Serve binds, calls h.Ready exactly once, then works until ctx is done.
	// An error before Ready makes Start or Apply fail; an error after it is
	// fatal for the router. When Serve returns, nothing that it started is left.
	Serve(ctx context.Context, h *Host) error
}

// HotProtocol is a [Protocol] that can take some changes while it serves. They
// arrive on [Host.Updates].
type HotProtocol interface {
	Protocol
	// CanUpdate tells whether a running Serve can turn into next.
	CanUpdate(next Protocol) bool
}

// Source brings a stream into a path. As with [Protocol], the value is
// configuration; Run may be called again after it returned, never concurrently
// for the same path.
type Source interface {
	// Type is the label of the source in the Control API ("rtspSource").
	Type() string

	// Run connects, publishes through run, and returns when the stream is over
	// or ctx is done. The router restarts it after a pause, so it must not retry
	// by itself. When it returns, nothing that it started is left.
	Run(ctx context.Context, run *SourceRun) error
}

// HotSource is a [Source] that can take some changes without a restart. They
// are delivered on [SourceRun.Updates].
type HotSource interface {
	Source
	// CanUpdate tells whether a running Run can turn into next.
	CanUpdate(next Source) bool
}

// Redirector is a [Source] that has no media and sends readers elsewhere. Its
// Run is never called.
type Redirector interface {
	Source
	// RedirectURL is an absolute URL, or the name of another path with a
	// leading slash.
	RedirectURL() string
}

// Inviter is a [Source] that does not publish but makes somebody else do it:
// an external command, a camera that is told to push. While it is the source of
// a path, the path accepts publishers.
type Inviter interface {
	Source
	// Invites does nothing; it marks the type.
	Invites()
}

// Standby is what a path shows while nobody publishes, see [PathConfig]. The
// value is configuration, as with [Source].
type Standby interface {
	// Tracks returns the tracks of the stream of the path; they never change.
	Tracks() []media.Track

	// Play writes units with payloads at the pace at which they are to be seen,
	// until ctx is done: somebody publishes. The first unit of video is a key frame.
	// It is called again, never concurrently for the same path, when the
	// publisher left, and after a pause if it returned by itself.
	Play(ctx context.Context, write func(track int, u *media.Unit)) error
}

// Sink consumes the stream of a path while one is available: a recorder, a
// forwarder, an analyzer.
type Sink interface {
	// Type is the label of the sink in logs and in the Control API.
	Type() string

	// Run consumes run.Stream until it ends ([ErrStreamClosed]) or ctx is done.
	// The router restarts it after a pause if it fails.
	Run(ctx context.Context, run *SinkRun) error
}

// Authenticator decides who may do what. It is called from the goroutine of
// the client, never with a lock held, so it may block; it must honour ctx. It
// may be called by many goroutines at once.
//
// The router compares it as it does a [Protocol]: one that is equal to that in
// force does not take its place. If it has a method Close() error, that is
// called when another one took its place, or the router closed.
type Authenticator interface {
	// Authenticate returns the identity of the client, or an [*AuthError].
	Authenticate(ctx context.Context, req *AccessRequest) (Identity, error)
}

// AuthenticatorFunc adapts a function to [Authenticator].
type AuthenticatorFunc func(context.Context, *AccessRequest) (Identity, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, r *AccessRequest) (Identity, error) {
	return f(ctx, r)
}

// Action is what a client wants to do.
type Action string

// Actions. The first two concern streams, the others parts of the server.
const (
	ActionPublish  Action = "publish"
	ActionRead     Action = "read"
	ActionPlayback Action = "playback"
	ActionAPI      Action = "api"
	ActionMetrics  Action = "metrics"
	ActionPprof    Action = "pprof"
)

// AccessRequest is a question to the [Authenticator].
type AccessRequest struct {
	Action    Action     // what the client wants to do
	Path      string     // name of the path; empty for api, metrics, pprof
	Query     string     // raw query of the URL, as the client sent it
	Protocol  string     // filled in by the Host: "rtsp", "rtmp"...
	SessionID string     // UUID of the session or connection
	UserAgent string     // as the client calls itself; empty if it does not
	Addr      netip.Addr // of the client
	User      string     // empty: none was sent
	Pass      string     // in plain; empty while Verify is set
	Token     string     // bearer token

	// Verify replaces the comparison of passwords, for challenge-response
	// schemes such as RTSP digest: it tells whether the client knows this pair
	// of user and plain password. Nil if User and Pass are known.
	Verify func(user, pass string) bool

	// Known is set by a protocol that knows the client by a secret of its own, such
	// as that of a content delivery network: the Authenticator is not asked.
	Known *Identity
}

// HasCredentials tells whether the client sent credentials of any kind.
func (r *AccessRequest) HasCredentials() bool {
	return r.User != "" || r.Pass != "" || r.Token != ""
}

// Identity is an authenticated client.
type Identity struct {
	// User is the name to show to operators; it may be empty.
	User string

	// Expires is when the client must leave: its session is kicked, and what it
	// publishes ends with [ErrExpired]. A [Reader] without a session is closed. Zero
	// means never.
	Expires time.Time

	// MaxBitrate of a stream that the client publishes or reads, in bits per
	// second, as the mean of four seconds. Beyond it the session is kicked, and
	// what it publishes ends with [ErrTooFast]. Zero means no limit.
	MaxBitrate int64
}

// Peer says, for operators, who is at the other end of a publication or a
// reading: the type of a session of the Control API and its id.
type Peer struct {
	Type string // "rtspSession", "rtspSource", "hlsMuxer"...
	ID   string // empty for sources that are pulled
}

// SourceRun is what a running [Source] may use.
type SourceRun struct {
	// Path is the name of the path.
	Path string
	// Config is the configuration of the path at the time of the start.
	Config *PathConfig
	// Log carries the path and the type of the source.
	Log *slog.Logger
	// Updates delivers new values to a [HotSource]; only the last one is kept.
	Updates <-chan Source
	// Groups are what the regular expression matched that led to the path; the
	// first is the whole name. Nil for paths with a name.
	Groups []string
	// Query is that of the reader that started an on-demand source.
	Query string

	typ  string
	path *Path
	via  PublishFunc // nil: the path
}

// PublishFunc is what [SourceRun.Publish] is.
type PublishFunc func(ctx context.Context, tracks []media.Track, o PublishOptions) (*Publisher, error)

// Branch returns what a source may use that runs on behalf of this one: a source
// that is made of others gives it to them. What they publish passes through
// publish, which ends in Publish of r. Updates are not delivered.
func (r *SourceRun) Branch(src Source, log *slog.Logger, publish PublishFunc) *SourceRun {
	b := *r
	b.typ, b.Log, b.Updates, b.via = src.Type(), log, nil, publish
	return &b
}

// Expand replaces $G1, $G2... by the groups of the regular expression that the
// path matched, and $MTX_QUERY by the query of the reader that started an
// on-demand source.
func (r *SourceRun) Expand(s string) string {
	for i := len(r.Groups) - 1; i >= 1; i-- {
		s = strings.ReplaceAll(s, "$G"+strconv.Itoa(i), r.Groups[i])
	}
	return strings.ReplaceAll(s, "$MTX_QUERY", r.Query)
}

// Publish makes the path ready.
func (r *SourceRun) Publish(ctx context.Context, tracks []media.Track, o PublishOptions) (*Publisher, error) {
	if o.Peer.Type == "" {
		o.Peer.Type = r.typ
	}
	if r.via != nil {
		return r.via(ctx, tracks, o)
	}
	return r.path.publish(ctx, tracks, o, nil, r.Query)
}

// EarlySink is a [Sink] that must not miss the beginning of a stream. Sinks run in
// goroutines of their own, and publishers do not wait for them; so the router subscribes
// on behalf of the sink before anything is written.
type EarlySink interface {
	Sink

	// EarlySubscription returns the options of what becomes SinkRun.Early.
	EarlySubscription() SubscribeOptions
}

// SinkRun is what a running [Sink] may use.
type SinkRun struct {
	// Path is the name of the path.
	Path string
	// Config is the configuration of the path at the time of the start.
	Config *PathConfig
	// Log carries the path and the type of the sink.
	Log *slog.Logger
	// Stream is the stream to consume.
	Stream *Stream
	// Early is a subscription of an [EarlySink] to the stream from its beginning; the
	// router closes it. Nil if the stream had begun before, and if the sink is run again.
	Early *Subscription
	// Groups are as those of [SourceRun].
	Groups []string

	path *Path
}

// Expand replaces $G1, $G2... by the groups of the regular expression that the
// path matched, and $MTX_PATH by its name.
func (r *SinkRun) Expand(s string) string {
	for i := len(r.Groups) - 1; i >= 1; i-- {
		s = strings.ReplaceAll(s, "$G"+strconv.Itoa(i), r.Groups[i])
	}
	return strings.ReplaceAll(s, "$MTX_PATH", r.Path)
}

// Package mtx is a live media router that lives inside a Go program.
//
// Somebody publishes a stream on a path: a client of a protocol, a source that
// the router pulls from, or the program itself. Everybody else reads it by any
// protocol, records it, or forwards it. The router never re-encodes.
//
// This package imports the core only, so it costs what the core costs. A
// program links the protocols and sources that it imports, and no other:
//
//	import (
//		"github.com/org/mtx"
//		"github.com/org/mtx/protocol/rtsp"
//		srcrtsp "github.com/org/mtx/source/rtsp"
//	)
//
// # A server
//
// A [Config] says what the server is; [New] checks it and [Router.Run] makes it
// real until the context is done:
//
//	r, err := mtx.New(mtx.Config{
//		Protocols: []mtx.Protocol{
//			&rtsp.Server{Addr: ":8554"},
//		},
//		Paths: []mtx.PathConfig{
//			{Name: "cam", Source: &srcrtsp.Source{URL: "rtsp://10.0.0.7/stream"}}, // pulled
//			{Name: mtx.AllOthers}, // any other name can be published by anybody
//		},
//	}, mtx.WithLogger(slog.Default()))
//	if err != nil {
//		return err
//	}
//	return r.Run(ctx)
//
// A program with a life cycle of its own calls [Router.Start] and [Router.Close]
// in place of Run, and watches [Router.Done]: a protocol that fails ends the router.
// When Run or Close returns, nothing that the router started is left. Several routers
// can live in one process.
//
// # Changes while it runs
//
// A configuration is a value, and [Router.Apply] is the only way to change it.
// What did not change keeps running with its clients:
//
//	cfg := r.Config().WithPath(mtx.PathConfig{Name: "door", MaxReaders: 10})
//	changes, err := r.Apply(ctx, cfg)
//
// [Router.AddPath] and [Router.RemovePath] are short forms of it.
//
// # Media from Go code
//
// The program that embeds the router is trusted. It publishes and reads without
// any protocol in between; the media model is package router/media:
//
//	pub, err := r.Publish(ctx, "cam", []media.Track{{Codec: &media.H264{}}})
//	if err != nil {
//		return err
//	}
//	defer pub.Close()
//	pub.Write(0, &media.Unit{PTS: 0, Payload: nalus})
//
//	rd, err := r.Read(ctx, "cam", mtx.SubscribeOptions{})
//	if err != nil {
//		return err
//	}
//	defer rd.Close()
//	track, unit, err := rd.Next(ctx)
//
// # Who may do what
//
// Config.Auth takes an [Authenticator]. Package auth has the ready-made ones;
// a function does too:
//
//	cfg.Auth = mtx.AuthenticatorFunc(func(ctx context.Context, q *mtx.AccessRequest) (mtx.Identity, error) {
//		if q.Action == mtx.ActionRead || q.Addr.IsLoopback() {
//			return mtx.Identity{User: q.User}, nil
//		}
//		return mtx.Identity{}, &mtx.AuthError{Err: errors.New("only this machine may publish")}
//	})
//
// # Plugins
//
// [Protocol], [Source], [Sink] and [Authenticator] are interfaces of one or two
// methods; the ones of this module have no privilege over yours. [Hooks] observe
// what happens.
//
// # What there is to import
//
//   - protocol/rtsp, rtmp, srt, webrtc and hls are servers; all but hls can forward
//     streams, too. protocol/httpserver says where those that speak HTTP listen: at
//     an address of their own or in the web server of your program
//   - source/rtsp, rtmp, srt, hls, whep, mpegts and rtp, and rpicam, pull streams
//     from elsewhere; source/redirect sends readers there, and source/failover takes the
//     first of several that works
//   - standby is what a path shows while nobody publishes
//   - record writes streams to disk and deletes old ones, playback serves them
//   - auth has a list of users, an HTTP service and JSON Web Tokens
//   - controlapi with its metrics and pprof is for operators, router/hook runs
//     commands and calls webhooks
//   - router/media is the media model, router/routertest tests plugins
//
// The folder examples has a small program for each of the usual wishes.
//
// # Names
//
// All types here are aliases of package router, where they are documented and
// where their errors ([router.ErrNoStream] and the others) are. A program that
// uses mtx.Config may hand it to code that knows router.Config: they are the
// same type. The complete server with its command line and its configuration
// file is cmd/mediamtx.
package mtx

import (
	"log/slog"
	"net"

	"github.com/org/mtx/router"
)

// The router and its configuration.
type (
	// Router is a running media router.
	Router = router.Router
	// Option injects a dependency of the process, see [WithLogger], [WithHooks].
	Option = router.Option
	// PacketTap is shown the UDP datagrams of servers, see [WithPackets].
	PacketTap = router.PacketTap
	// Config is the desired state of a router.
	Config = router.Config
	// PathConfig configures a path, or a set of paths.
	PathConfig = router.PathConfig
	// OnDemand starts a source with the first reader.
	OnDemand = router.OnDemand
	// GOPCache lets readers begin with the last key frame.
	GOPCache = router.GOPCache
	// Changes is what [Router.Apply] did.
	Changes = router.Changes
	// Hooks observe a router.
	Hooks = router.Hooks
	// PathInfo is a snapshot of a path.
	PathInfo = router.PathInfo
	// PathEvent is what hooks about paths are told.
	PathEvent = router.PathEvent
	// SegmentEvent is what hooks about recorded files are told.
	SegmentEvent = router.SegmentEvent
	// SessionEvent is what hooks about clients are told.
	SessionEvent = router.SessionEvent
	// Session is a client of a protocol.
	Session = router.Session
	// SessionInfo is a snapshot of a session.
	SessionInfo = router.SessionInfo
)

// What plugins implement.
type (
	// Protocol serves clients.
	Protocol = router.Protocol
	// Source brings a stream into a path.
	Source = router.Source
	// Standby is what a path shows while nobody publishes.
	Standby = router.Standby
	// Sink consumes the stream of a path.
	Sink = router.Sink
	// Authenticator decides who may do what.
	Authenticator = router.Authenticator
	// AuthenticatorFunc adapts a function to [Authenticator].
	AuthenticatorFunc = router.AuthenticatorFunc
)

// What plugins are given.
type (
	// Host is the face that a router shows to a [Protocol].
	Host = router.Host
	// Grant is the permission of a client to publish or read.
	Grant = router.Grant
	// SourceRun is what a running [Source] may use.
	SourceRun = router.SourceRun
	// SinkRun is what a running [Sink] may use.
	SinkRun = router.SinkRun
	// AccessRequest is a question to the [Authenticator].
	AccessRequest = router.AccessRequest
	// Action is what a client wants to do.
	Action = router.Action
	// Identity is an authenticated client.
	Identity = router.Identity
	// Peer tells who is at the other end of a publication or a reading.
	Peer = router.Peer
)

// Streams.
type (
	// Path is a live path.
	Path = router.Path
	// Stream is what flows through a path while somebody publishes.
	Stream = router.Stream
	// Publisher is the right to write to a path.
	Publisher = router.Publisher
	// PublishOptions are options of a publication.
	PublishOptions = router.PublishOptions
	// Reader is attached to a path and receives its units.
	Reader = router.Reader
	// Subscription is a bounded queue of units.
	Subscription = router.Subscription
	// ReadOptions are options of a reader.
	ReadOptions = router.ReadOptions
	// Attachment is a reader that receives its units in another way than from a
	// queue of its own.
	Attachment = router.Attachment
	// SubscribeOptions selects what a subscription receives.
	SubscribeOptions = router.SubscribeOptions
	// Tap receives units on the goroutine of the stream.
	Tap = router.Tap
	// TapOptions selects what a tap receives.
	TapOptions = router.TapOptions
)

// Errors with content. Sentinel errors stay in package router: match them with
// errors.Is(err, router.ErrNoStream).
type (
	// PathError is an error that happened on a path.
	PathError = router.PathError
	// TracksError refuses a publisher whose tracks do not fit.
	TracksError = router.TracksError
	// AuthError refuses access.
	AuthError = router.AuthError
	// RedirectError sends a reader elsewhere.
	RedirectError = router.RedirectError
)

// AllOthers is the name of the path that accepts every name that no other path
// matches.
const AllOthers = router.AllOthers

// Actions.
const (
	ActionPublish  = router.ActionPublish
	ActionRead     = router.ActionRead
	ActionPlayback = router.ActionPlayback
	ActionAPI      = router.ActionAPI
	ActionMetrics  = router.ActionMetrics
	ActionPprof    = router.ActionPprof
)

// New checks the configuration and returns a router. It opens nothing until
// Start or Run.
func New(cfg Config, opts ...Option) (*Router, error) { return router.New(cfg, opts...) }

// WithLogger sets the logger of a router. The default, and nil, discard everything.
func WithLogger(l *slog.Logger) Option { return router.WithLogger(l) }

// WithConns lets a function take the place of each TCP connection that servers
// accept, to observe it.
func WithConns(wrap func(protocol string, c net.Conn) net.Conn) Option { return router.WithConns(wrap) }

// WithPackets shows a tap the UDP datagrams that servers exchange with clients, to
// observe them.
func WithPackets(t PacketTap) Option { return router.WithPackets(t) }

// WithHooks adds observers. It can be given several times.
func WithHooks(h Hooks) Option { return router.WithHooks(h) }

// Package hls serves streams with HTTP Live Streaming (RFC 8216 and its second
// edition, draft-pantos-hls-rfc8216bis), as transport streams, as fragmented
// MP4, or with low latency, and has a page that plays them in browsers.
//
//	r, err := mtx.New(mtx.Config{
//		Protocols: []mtx.Protocol{&hls.Server{HTTP: httpserver.Listen{Addr: ":8888"}}},
//		Paths:     []mtx.PathConfig{{Name: mtx.AllOthers}},
//	})
//
// The path "cam" is then at
//
//	http://localhost:8888/cam/            the page
//	http://localhost:8888/cam/index.m3u8  for players
//
// # How it works
//
// A muxer is one reader of a path, made by gohlslib when somebody asks for a
// playlist, or always ([Server.AlwaysRemux]). Everybody who watches shares it:
// each playlist, part and segment is rendered once, for the first request, and
// the same bytes are written to all. It ends with the stream, or when nobody
// asked for anything during [Server.MuxerCloseAfter]. Players outlive it: when the
// publisher comes back their requests are answered as if it had never been away.
// Those who are behind can get the end of a stream in memory for a while after it,
// as long as its playlist is, and half a minute at most.
//
// Every request is authenticated; there are no sessions and no cookies, so the
// URLs can be put behind a CDN. Operators see viewers nevertheless, as far as
// addresses, users and programs tell them apart: [Details.Viewers].
package hls

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/org/mtx/protocol/bridge/hlsbridge"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

// Variant is a flavour of HLS.
type Variant = hlsbridge.Variant

// Variants.
const (
	// MPEGTS has segments that are transport streams: H264 and MPEG-4 audio.
	MPEGTS = hlsbridge.MPEGTS
	// FMP4 has segments of fragmented MP4: AV1, VP9, H265, H264, Opus, MPEG-4
	// audio, FLAC.
	FMP4 = hlsbridge.FMP4
	// LowLatency is FMP4 in parts that are delivered while the segment is being
	// made, announced ahead, with playlists that wait for them.
	LowLatency = hlsbridge.LowLatency
)

// Server is an HLS server. The zero value serves LowLatency on port 8888.
type Server struct {
	// HTTP is where it listens. Default httpserver.Listen{Addr: ":8888"}.
	HTTP httpserver.Endpoint

	// AlwaysRemux makes muxers as soon as streams are available. The first
	// viewer does not wait then. Default: on demand.
	AlwaysRemux bool

	// Variant is the flavour. Default LowLatency.
	Variant Variant

	// SegmentCount is the number of segments in playlists. Players can go back
	// that far. Default 7, at least 3, with LowLatency at least 7.
	SegmentCount int

	// SegmentDuration is the minimum duration of a segment; it ends with the
	// next key frame. Default 1s; less than 500ms is taken as 500ms, because
	// playlists round durations to seconds.
	SegmentDuration time.Duration

	// PartDuration is the minimum duration of a part of LowLatency. Default
	// 200ms.
	PartDuration time.Duration

	// SegmentMaxSize bounds the memory of a segment, in bytes. A stream that
	// exceeds it starts again with its next key frame. Default 50 MiB.
	SegmentMaxSize uint64

	// Directory holds the segments, below the name of the path. Default:
	// segments are in memory.
	Directory string

	// MuxerCloseAfter is how long a muxer made on demand lives without requests.
	// Default 60s.
	MuxerCloseAfter time.Duration

	// QueryToken accepts a token in the query parameter "jwt" or "token" of a
	// URL, where it may end up in logs. It is passed on to the URLs in playlists.
	QueryToken bool

	// CDNSecret lets in who sends it as a bearer token (Authorization: Bearer
	// SECRET), whatever the Authenticator says: a content delivery network, which
	// asks once for all its viewers and decides by itself who they are. Its answers
	// may be kept in shared caches, those for others with credentials may not.
	CDNSecret string
}

// String keeps the secret out of logs.
func (s *Server) String() string { return "HLS server" }

// GoString keeps the secret out of logs.
func (s *Server) GoString() string { return "&hls.Server{...}" }

// minSegmentDuration is rounded to one second.
const minSegmentDuration = 500 * time.Millisecond

var _ router.Protocol = (*Server)(nil)

// Name implements router.Protocol.
func (s *Server) Name() string { return "hls" }

func (s *Server) withDefaults() Server {
	c := *s
	if c.HTTP == nil {
		c.HTTP = httpserver.Listen{Addr: ":8888"}
	}
	if c.Variant == "" {
		c.Variant = LowLatency
	}
	if c.SegmentCount == 0 {
		c.SegmentCount = 7
	}
	if c.SegmentDuration == 0 {
		c.SegmentDuration = time.Second
	}
	c.SegmentDuration = max(c.SegmentDuration, minSegmentDuration)
	if c.PartDuration == 0 {
		c.PartDuration = 200 * time.Millisecond
	}
	if c.SegmentMaxSize == 0 {
		c.SegmentMaxSize = 50 << 20
	}
	if c.MuxerCloseAfter == 0 {
		c.MuxerCloseAfter = time.Minute
	}
	return c
}

// Validate tells what is wrong with the values.
func (s *Server) Validate() error {
	c := s.withDefaults()
	least := 3
	if c.Variant == LowLatency {
		least = 7
	}
	switch _, ok := c.Variant.Muxer(); {
	case !ok:
		return fmt.Errorf("HLS variant %q: must be mpegts, fmp4 or lowLatency", c.Variant)
	case c.SegmentCount < least || c.SegmentCount > 10000:
		return fmt.Errorf("HLS segment count %d: must be between %d and 10000 with the variant %s", c.SegmentCount, least, c.Variant)
	case s.SegmentDuration < 0 || c.SegmentDuration > time.Hour:
		return fmt.Errorf("HLS segment duration %v: must be between 0 and 1h", s.SegmentDuration)
	case c.PartDuration < 0 || c.PartDuration > c.SegmentDuration && c.Variant == LowLatency:
		return fmt.Errorf("HLS part duration %v: must not be longer than the segment duration, %v", c.PartDuration, c.SegmentDuration)
	case c.MuxerCloseAfter < 0:
		return fmt.Errorf("HLS muxer close after %v: must not be negative", c.MuxerCloseAfter)
	}
	return nil
}

// Serve implements router.Protocol.
func (s *Server) Serve(ctx context.Context, h *router.Host) error {
	if err := s.Validate(); err != nil {
		return err
	}
	cfg := s.withDefaults()
	ctx, cancel := context.WithCancel(ctx)
	sv := &server{Server: &cfg, ctx: ctx, host: h, log: h.Log(), muxers: map[string]*muxer{}, page: newPage(),
		timelines: map[string]*timeline{}}
	defer sv.dropRests()
	defer sv.wg.Wait()
	defer sv.finish()
	defer cancel()
	defer h.Router().Observe(router.Hooks{PathReady: func(e router.PathEvent) func() {
		if cfg.AlwaysRemux {
			sv.always(e.Path)
		}
		if t := sv.pastOf(e.Path); t != nil {
			t.ready()
		}
		return nil
	}})()
	e := httpserver.WithDefaults(cfg.HTTP, h.Log(), h.Listen)
	return e.Serve(ctx, httpserver.Lean(sv), func(a net.Addr) {
		if a == nil {
			h.Log().Info("serving on the mux of the program", "variant", string(cfg.Variant))
			h.Ready()
			return
		}
		h.Log().Info("listening", "address", a.String(), "variant", string(cfg.Variant))
		h.Ready(a)
	})
}

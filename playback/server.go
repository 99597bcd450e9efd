// Package playback serves what was recorded over HTTP: as files, as video on
// demand with HLS, and on a page with a time line.
//
//	pattern, err := record.ParsePattern(record.DefaultPattern, record.FMP4)
//	...
//	r, err := mtx.New(mtx.Config{
//		Protocols: []mtx.Protocol{&playback.Server{
//			HTTP:       httpserver.Listen{Addr: ":9996"},
//			Recordings: []playback.Recording{{Name: "all_others", Pattern: pattern}},
//		}},
//	})
//
// What was recorded of the path "cam" is then at
//
//	/list?path=cam[&start=][&end=]                       time spans, in JSON
//	/get?path=cam&start=&duration=[&format=fmp4|mp4]     a part, as a file
//	/vod/cam/index.m3u8[?start=][&end=]                  a part, for players of HLS
//	/vod/cam/index.m3u8?dvr=1h                           the last hour, and what follows
//	/cam/                                                the page
//
// Times are those of RFC 3339; durations are seconds, or have a unit ("2m30s").
//
// # How it works
//
// There is no index beside the recordings: the headers inside of them are read
// when they are asked for, without what is in between, and are remembered in
// bounded memory. Files are never read as a whole, and answers are made while
// they are sent, so that memory does not grow with the length of a recording.
//
// A file from /get begins exactly at the start: the key frame before it, and what
// follows, is in the file but hidden by its edit list. Segments are joined if the
// silence between them is at most a second and their tracks are the same.
//
// Segments of HLS are byte ranges of the recorded files wherever these can be cut
// at key frames, as those of package record can: they are fragmented MP4, and key
// frames begin a "moof". They are sent as they are, with one exception: decoding
// times ("tfdt") count from the start of a file, and become those of the playlist,
// so that files that follow each other play as one, without a discontinuity. There
// is one where nothing was recorded for a while, or where tracks change. Each
// segment tells its time (EXT-X-PROGRAM-DATE-TIME). Of a file that is being written,
// there is what is complete. A window (dvr) follows the live edge.
//
// Of other recordings (MPEG transport streams, key frames in the middle of a "moof",
// edit lists), segments are made when they are asked for.
//
// Recordings are fragmented MP4 or MPEG transport streams. Files that are damaged
// or are no recordings are left out, or played as far as they go. What is no file
// (FIFOs, devices, symbolic links) is not opened, and no URL leads to anything but
// the recordings of the path that the client was let to.
package playback

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"strings"
	"sync"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
)

// Server is a playback server. The zero value listens on port 9996 and plays
// nothing.
type Server struct {
	// HTTP is where it listens. Default httpserver.Listen{Addr: ":9996"}.
	HTTP httpserver.Endpoint

	// Recordings tell where the recordings of paths are.
	Recordings []Recording

	// Store holds the recordings. Default record.Local{}.
	Store record.Store

	// Script is hls.js, for browsers that cannot play HLS by themselves: Script of
	// package protocol/hls returns it. Without it, the page works in the others only.
	Script []byte

	// QueryToken accepts a token in the query parameter "jwt" or "token" of a
	// URL, where it may end up in logs. It is passed on to the URLs in answers.
	QueryToken bool
}

// Recording tells where the recordings of one or many paths are.
type Recording struct {
	// Name is that of the path in the configuration of the router: a name, a
	// regular expression after "~", or "all_others". The order of preference is
	// that of the router.
	Name string

	// Pattern has the names of the files, and their format.
	Pattern record.Pattern
}

var _ router.HotProtocol = (*Server)(nil)

// Name implements router.Protocol.
func (s *Server) Name() string { return "playback" }

// Equal tells whether other is a server with the same values.
func (s *Server) Equal(other any) bool {
	o, ok := other.(*Server)
	if !ok || o == nil {
		return false
	}
	a, b := *s, *o
	// comparing the script byte by byte would be correct, too
	same := len(a.Script) == len(b.Script) && (len(a.Script) == 0 || &a.Script[0] == &b.Script[0])
	if same {
		a.Script, b.Script = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

// CanUpdate implements router.HotProtocol: where recordings are changes with the
// configuration of paths, and must not disturb who watches one.
func (s *Server) CanUpdate(next router.Protocol) bool {
	o, ok := next.(*Server)
	if !ok || o == nil || o.Validate() != nil {
		return false
	}
	same := *o
	same.Recordings = s.Recordings
	return s.Equal(&same)
}

// Validate tells what is wrong with the values.
func (s *Server) Validate() error {
	_, err := newCatalogue(s.Recordings)
	return err
}

// Serve implements router.Protocol.
func (s *Server) Serve(ctx context.Context, h *router.Host) error {
	cat, err := newCatalogue(s.Recordings)
	if err != nil {
		return err
	}
	sv := &server{
		Server: *s, host: h, log: h.Log(),
		lib: newLibrary(s.Store, h.Log()), page: newPage(s.Script), windows: newWindows(),
	}
	sv.catalogue.Store(cat)
	ctx, cancel := context.WithCancel(ctx)
	var updates sync.WaitGroup
	defer updates.Wait()
	defer cancel()
	updates.Go(func() { sv.follow(ctx) })
	e := s.HTTP
	if e == nil {
		e = httpserver.Listen{Addr: ":9996"}
	}
	return httpserver.WithDefaults(e, h.Log(), h.Listen).Serve(ctx, httpserver.Errors(sv, writeError), func(a net.Addr) {
		if a == nil {
			h.Log().Info("serving on the mux of the program")
			h.Ready()
			return
		}
		h.Log().Info("listening", "address", a.String())
		h.Ready(a)
	})
}

// follow takes over recordings of later configurations.
func (s *server) follow(ctx context.Context) {
	for {
		select {
		case next := <-s.host.Updates():
			if o, ok := next.(*Server); ok {
				if cat, err := newCatalogue(o.Recordings); err == nil {
					s.catalogue.Store(cat)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// catalogue finds the pattern of a path, as the router finds its configuration.
type catalogue struct {
	exact   map[string]record.Pattern
	regexps []expression
	others  *record.Pattern
}

type expression struct {
	*regexp.Regexp
	pattern record.Pattern
}

func newCatalogue(list []Recording) (*catalogue, error) {
	c := &catalogue{exact: map[string]record.Pattern{}}
	for _, r := range list {
		if r.Pattern.String() == "" {
			return nil, fmt.Errorf("recording %q: the pattern is missing", r.Name)
		}
		if expr, ok := strings.CutPrefix(r.Name, "~"); ok {
			re, err := regexp.Compile(expr)
			if err != nil {
				return nil, fmt.Errorf("recording %q: must be a regular expression after ~: %w", r.Name, err)
			}
			c.regexps = append(c.regexps, expression{re, r.Pattern})
			continue
		}
		switch r.Name {
		case router.AllOthers, "all":
			c.others = &r.Pattern
		default:
			if err := router.ValidatePathName(r.Name); err != nil {
				return nil, fmt.Errorf("recording %q: %w", r.Name, err)
			}
			c.exact[r.Name] = r.Pattern
		}
	}
	return c, nil
}

func (c *catalogue) find(path string) (record.Pattern, bool) {
	if p, ok := c.exact[path]; ok {
		return p, true
	}
	for _, r := range c.regexps {
		if r.MatchString(path) {
			return r.pattern, true
		}
	}
	if c.others != nil {
		return *c.others, true
	}
	return record.Pattern{}, false
}

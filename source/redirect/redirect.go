// Package redirect sends readers of a path to another place.
//
// A path whose source is a [Source] has no stream of its own. Clients that ask
// to read it are told, in the manner of their protocol, to go somewhere else:
//
//	router.PathConfig{Name: "cam", Source: redirect.Source{URL: "rtsp://other-server:8554/cam"}}
//	router.PathConfig{Name: "old", Source: redirect.Source{URL: "/new"}} // another path here
package redirect

import (
	"context"

	"github.com/org/mtx/router"
)

// Source is a source without media. Values are compared by the router, so a
// reload that changes the URL affects new readers only.
type Source struct {
	// URL is an absolute URL, or the name of another path of this server with a
	// leading slash.
	URL string
}

var _ router.Redirector = Source{}

// Type implements router.Source.
func (Source) Type() string { return "redirect" }

// RedirectURL implements router.Redirector.
func (s Source) RedirectURL() string { return s.URL }

// Run implements router.Source. The router does not call it; it waits until the
// context is done.
func (Source) Run(ctx context.Context, _ *router.SourceRun) error {
	<-ctx.Done()
	return ctx.Err()
}

package rtsp

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// users: anybody reads "open", "reader" reads everything, "camera" publishes
// cam1, cam2...
func users(readerPass string) *auth.Internal {
	return &auth.Internal{Users: []auth.User{
		{Name: auth.Anybody, Permissions: []auth.Permission{{Action: router.ActionRead, Path: "open"}, {Action: router.ActionPublish, Path: "open"}}},
		{Name: "reader", Pass: readerPass, Permissions: []auth.Permission{{Action: router.ActionRead}}},
		{Name: "camera", Pass: "cam pass", Permissions: []auth.Permission{{Action: router.ActionPublish, Path: "~^cam[0-9]+$"}}},
	}}
}

func authConfig(a router.Authenticator) router.Config {
	cfg := anyPath()
	cfg.Auth = a
	return cfg
}

// as adds credentials to a URL.
func (g *rig) as(user, pass string) *rig {
	h := *g
	h.addr = url.UserPassword(user, pass).String() + "@" + g.addr
	return &h
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("secret"))
	hashed := "sha256:" + base64.StdEncoding.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		methods []AuthMethod
		pass    string // of "reader", as it is stored
		refused bool
	}{
		"basic":             {[]AuthMethod{Basic}, "secret", false},
		"basic, hashed":     {[]AuthMethod{Basic}, hashed, false},
		"digest":            {[]AuthMethod{Digest}, "secret", false},
		"digest, hashed":    {[]AuthMethod{Digest}, hashed, true},
		"both":              {[]AuthMethod{Basic, Digest}, "secret", false},
		"default is enough": {nil, "secret", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := plainServer()
			srv.AuthMethods = c.methods
			g := newRig(t, authConfig(users(c.pass)), srv)
			p := g.as("camera", "cam pass").publish("cam1", overTCP, oneVideo())
			rd, err := g.as("reader", "secret").tryRead("cam1", overUDP)
			if c.refused {
				if err == nil || !strings.Contains(err.Error(), "401") {
					t.Errorf("got %v, want status 401", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p.write(0, h264Frame(96, 1, 0, 1, 100)...)
			rd.got(0, 96, 1)

			if _, err := g.as("reader", "nopass77").tryRead("cam1", overTCP); err == nil || !strings.Contains(err.Error(), "401") {
				t.Errorf("wrong password: %v", err)
			}
			if _, err := g.as("camera", "cam pass").tryPublish("other", overTCP, oneVideo()); err == nil || !strings.Contains(err.Error(), "401") {
				t.Errorf("path that is not allowed: %v", err)
			}
			g.publish("open", overTCP, oneVideo()) // without credentials
			g.read("open", overTCP)
			for _, s := range []string{"secret", "cam pass", "cam%20pass", "nopass77"} {
				if g.log.Count(s) != 0 {
					t.Errorf("the log tells %q", s)
				}
			}
		})
	}
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	for name, methods := range map[string][]AuthMethod{"basic": {Basic}, "digest": {Digest}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := plainServer()
			srv.AuthMethods = methods
			g := newRig(t, authConfig(users("secret")), srv)
			c := g.dial()
			res := c.want(401, base.Describe, g.url("s"), nil)
			if h := res.Header["WWW-Authenticate"]; len(h) != 1 || !strings.HasPrefix(strings.ToLower(h[0]), name) {
				t.Errorf("WWW-Authenticate: %q", h)
			}
			// nobody was wrong yet: the connection goes on
			basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("reader:wrong"))
			c.want(401, base.Describe, g.url("s"), nil, basic)
			c.closed()
			// in the query
			c = g.dial()
			c.want(401, base.Describe, g.url(withQuery("s", "user", "reader", "pass", "wrong")), nil)
			// a user without name, and nonsense
			for _, h := range []string{"Basic Og==", "Basic !!", "Digest x", "Bearer abc", "Digest username=\"reader\""} {
				g.dial().want(401, base.Describe, g.url("s"), nil, "Authorization: "+h)
			}
			c = g.dial()
			c.want(404, base.Describe, g.url(withQuery("s", "user", "reader", "pass", "secret")), nil)
			g.noPanic()
		})
	}
}

// The pause after wrong credentials delays nobody else.
func TestAuthPause(t *testing.T) {
	t.Parallel()
	const pause = time.Hour
	cfg := authConfig(users("secret"))
	cfg.AuthPause = pause // a random part of it, which practically never is short
	g := newRig(t, cfg, plainServer())
	p := g.as("camera", "cam pass").publish("cam1", overTCP, oneVideo())
	answered := make(chan struct{}, 8)
	for range 8 {
		c := g.dial()
		go func() {
			if _, err := c.try(base.Describe, g.url(withQuery("cam1", "user", "reader", "pass", "x")), nil); err == nil {
				answered <- struct{}{}
			}
		}()
	}
	rd := g.as("reader", "secret").read("cam1", overTCP)
	p.write(0, h264Frame(96, 1, 0, 1, 100)...)
	rd.got(0, 96, 1)
	select {
	case <-answered:
		t.Error("wrong credentials were answered at once")
	default:
	}
}

// What the authenticator is told.
func TestAccessRequest(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []router.AccessRequest
	a := &routertest.Authenticator{AuthenticateFunc: func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, *q)
		if q.Token != "tok" {
			return router.Identity{}, &router.AuthError{Err: errors.New("wrong token"), AskCredentials: !q.HasCredentials()}
		}
		return router.Identity{User: "bob"}, nil
	}}
	g := newRig(t, authConfig(a), plainServer())
	g.publish(withQuery("s", "jwt", "tok", "x", "1"), overTCP, oneVideo())
	g.read(withQuery("s", "token", "tok", "y", "2"), overTCP)
	ids := map[string]bool{}
	for i := range g.r.Sessions("") {
		ids[i.ID] = true
		if i.Kind == "rtspSession" && i.User != "bob" {
			t.Errorf("the session is of %q", i.User)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) == 0 || len(seen) > 3 { // ANNOUNCE; DESCRIBE and SETUP, which may share one
		t.Fatalf("asked %d times", len(seen))
	}
	for i, q := range seen {
		want := router.AccessRequest{
			Action: router.ActionRead, Path: "s", Query: "token=tok&y=2", Protocol: "rtsp", SessionID: q.SessionID,
			UserAgent: "gortsplib", Addr: netip.MustParseAddr("127.0.0.1"), Token: "tok",
		}
		if i == 0 {
			want.Action, want.Query = router.ActionPublish, "jwt=tok&x=1"
		}
		if q.Verify != nil || !ids[q.SessionID] {
			t.Errorf("request %d: session %q is not one of the server", i, q.SessionID)
		}
		q.Verify = nil
		if got := q; got.Action != want.Action || got.Path != want.Path || got.Query != want.Query || got.Protocol != want.Protocol ||
			got.UserAgent != want.UserAgent || got.Addr != want.Addr || got.Token != want.Token || got.User != "" || got.Pass != "" {
			t.Errorf("request %d: %+v\nwant %+v", i, got, want)
		}
	}
}

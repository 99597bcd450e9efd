package hls

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/org/mtx/router"
)

// A content delivery network gets in by its secret alone, and may keep what it gets
// for everybody. The secret is in no log and no text.
func TestCDN(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		return router.Identity{}, &router.AuthError{Err: errors.New("no"), AskCredentials: !q.HasCredentials()}
	})
	srv := Server{CDNSecret: secret}
	g := newRig(t, srv, auth)
	g.publish("cam", videoAudio(), sps1080)
	bearer := []string{"Authorization", "bearer " + secret}
	for _, header := range [][]string{
		nil, {"Authorization", "Bearer " + secret + "x"}, {"Authorization", "Bearer "}, {"Authorization", secret}, {"Authorization", "Basic " + secret},
	} {
		if res, _ := g.get("/cam/index.m3u8", header...); res.StatusCode != 401 {
			t.Errorf("%q: status %d", header, res.StatusCode)
		}
	}
	if res, _ := g.get("/cam/index.m3u8?token=" + secret); res.StatusCode != 401 {
		t.Errorf("the secret in the query: status %d", res.StatusCode)
	}
	res, index := g.get("/cam/index.m3u8", bearer...)
	if res.StatusCode != 200 {
		t.Fatalf("status %d: %s", res.StatusCode, index)
	}
	_, list := g.get("/cam/"+regexp.MustCompile(`(?m)^[^#\s].*$`).FindString(index), bearer...)
	init := regexp.MustCompile(`MAP:URI="([^"]+)"`).FindStringSubmatch(list)
	if init == nil {
		t.Fatalf("no initialization segment in\n%s", list)
	}
	res, _ = g.get("/cam/"+init[1], bearer...)
	if c := res.Header.Get("Cache-Control"); res.StatusCode != 200 || !strings.HasPrefix(c, "public") {
		t.Errorf("%s: status %d, Cache-Control %q", init[1], res.StatusCode, c)
	}
	if w := g.audience(); len(w) != 1 || w[0].User != cdnUser {
		t.Errorf("viewers: %+v", w)
	}
	if s := g.log.String() + fmt.Sprintf("%v %+v %#v", &srv, &srv, &srv); strings.Contains(s, secret) {
		t.Errorf("the secret is told: %s", s)
	}
}

// Without a secret an empty bearer token is nothing.
func TestNoCDN(t *testing.T) {
	t.Parallel()
	auth := router.AuthenticatorFunc(func(context.Context, *router.AccessRequest) (router.Identity, error) {
		return router.Identity{}, &router.AuthError{AskCredentials: true}
	})
	g := newRig(t, Server{}, auth)
	if res, _ := g.get("/cam/index.m3u8", "Authorization", "Bearer "); res.StatusCode != 401 {
		t.Errorf("status %d", res.StatusCode)
	}
}

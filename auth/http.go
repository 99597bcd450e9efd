package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/org/mtx/router"
)

// HTTP asks an HTTP service. It posts a JSON document:
//
//	{"user": "", "password": "", "token": "", "ip": "10.0.0.7", "action": "read",
//	 "path": "cam", "protocol": "rtsp", "id": "<session>", "query": "", "userAgent": ""}
//
// Any 2xx lets the client in. 401 to a client that sent no credentials makes the
// protocol ask for them. Everything else, and no answer in time, is a refusal. A
// service that is slow or down delays or refuses the clients that wait for it,
// and nobody else.
//
// RTSP clients must use basic authentication: with digest there is no password
// that could be passed on.
//
// Use it as a literal; it must not be copied or changed after its first use.
type HTTP struct {
	// URL of the service, http or https. Mandatory.
	URL string

	// Fingerprint is the SHA-256 of the certificate of the service, in hex. Empty
	// means that it must be signed by somebody whom the system trusts.
	Fingerprint string

	// Exclude lists what is allowed without asking.
	Exclude []Permission

	// Timeout of a request. Default 10s.
	Timeout time.Duration

	// CacheFor remembers who was let in, and asks again only after this time.
	// Refusals are not remembered. Default off.
	CacheFor time.Duration

	once    sync.Once
	err     error
	client  *http.Client
	exclude rule
	cache   cache
}

var _ router.Authenticator = (*HTTP)(nil)

// Validate reports what is wrong with the configuration.
func (a *HTTP) Validate() error {
	_, err1 := newClient(a.Fingerprint)
	_, err2 := compilePermissions(a.Exclude)
	return errors.Join(checkURL(a.URL), err1, err2)
}

// Equal tells whether other is an HTTP with the same configuration.
func (a *HTTP) Equal(other any) bool {
	b, ok := other.(*HTTP)
	if !ok || a == nil || b == nil {
		return ok && a == b
	}
	return a.URL == b.URL && a.Fingerprint == b.Fingerprint && a.Timeout == b.Timeout &&
		a.CacheFor == b.CacheFor && slices.Equal(a.Exclude, b.Exclude)
}

// Close closes unused connections. The authenticator can still be used. The
// router calls it when another one is in force.
func (a *HTTP) Close() error {
	if a.prepare() == nil {
		a.client.CloseIdleConnections()
	}
	return nil
}

func (a *HTTP) prepare() error {
	a.once.Do(func() {
		if a.err = a.Validate(); a.err != nil {
			return
		}
		a.client, _ = newClient(a.Fingerprint)
		a.exclude, _ = compilePermissions(a.Exclude)
	})
	return a.err
}

// question is what the service is asked.
type question struct {
	User      string `json:"user"`
	Password  string `json:"password"`
	Token     string `json:"token"`
	IP        string `json:"ip"`
	Action    string `json:"action"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	ID        string `json:"id"`
	Query     string `json:"query"`
	UserAgent string `json:"userAgent"`
}

// Authenticate implements [router.Authenticator].
func (a *HTTP) Authenticate(ctx context.Context, req *router.AccessRequest) (router.Identity, error) {
	refuse := func(err error, ask bool) (router.Identity, error) {
		return router.Identity{}, &router.AuthError{Err: err, AskCredentials: ask && !req.HasCredentials() && req.Verify == nil}
	}
	if err := a.prepare(); err != nil {
		return refuse(fmt.Errorf("the HTTP service is not configured rightly: %w", err), false)
	}
	id := router.Identity{User: req.User}
	if a.exclude.may(req.Action, req.Path) {
		return router.Identity{}, nil
	}
	q := question{
		User: req.User, Password: req.Pass, Token: req.Token, Action: string(req.Action), Path: req.Path,
		Protocol: req.Protocol, ID: req.SessionID, Query: req.Query, UserAgent: req.UserAgent,
	}
	if req.Addr.IsValid() {
		q.IP = req.Addr.Unmap().String()
	}
	key := q
	key.ID = "" // a client that comes back is the same
	if a.CacheFor > 0 && a.cache.has(key) {
		return id, nil
	}
	status, err := a.ask(ctx, &q)
	switch {
	case err != nil:
		return refuse(fmt.Errorf("the HTTP service cannot be asked: %w", err), false)
	case status < 200 || status > 299:
		return refuse(fmt.Errorf("the HTTP service answered with status %d", status), status == http.StatusUnauthorized)
	}
	if a.CacheFor > 0 {
		a.cache.add(key, a.CacheFor)
	}
	return id, nil
}

func (a *HTTP) ask(ctx context.Context, q *question) (status int, err error) {
	timeout := a.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := json.Marshal(q) //nolint:gosec // what the service is asked about
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(body))
	if err != nil {
		return 0, withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := a.client.Do(req)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	return res.StatusCode, nil
}

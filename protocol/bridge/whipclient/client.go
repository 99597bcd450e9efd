package whipclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/org/mtx/protocol/bridge/internal/tlspin"
)

// Limits of what a server sends.
const (
	maxAnswer   = 256 << 10 // SDP, bytes
	maxHeaders  = 64 << 10  // bytes
	maxRedirect = 5
)

// maxDelete bounds the end of a session: whoever stops waits for it.
const maxDelete = 2 * time.Second

const (
	defaultTimeout = 10 * time.Second
	contentSDP     = "application/sdp"
)

// Options are the options of a [Client].
type Options struct {
	// Protocol is WHIP or WHEP. Mandatory.
	Protocol Protocol

	// URL of the stream: whip://host/path, or whips, whep, wheps. It may hold
	// credentials, which are sent with Basic authentication. Mandatory.
	URL string

	// BearerToken is sent in place of the credentials of the URL. Optional.
	BearerToken string

	// Fingerprint is the SHA-256 of the certificate of the server, in hex; case
	// and colons do not matter. If empty, the certificate must be valid. It
	// counts for servers that requests are redirected to, too.
	Fingerprint string

	// Timeout bounds each request, redirects included. Default 10s.
	Timeout time.Duration

	// UserAgent is sent with requests. Default "mtx".
	UserAgent string

	// Log gets details at debug level. Default: nothing is logged.
	Log *slog.Logger
}

// Client talks to one server. Its methods may be called concurrently.
type Client struct {
	o         Options
	url       *url.URL // http or https, with the credentials
	transport *http.Transport
	secrets   []string
}

// Validate tells what is wrong with the options. What is in a URL behind the
// scheme is checked only if it holds no variables ($G1, $MTX_PATH).
func (o Options) Validate() error {
	if _, rest, _ := strings.Cut(o.URL, "://"); strings.Contains(rest, "$") {
		o.URL = strings.TrimSuffix(o.URL, rest) + "host"
	}
	c, err := New(o)
	if err == nil {
		c.Close()
	}
	return err
}

// New returns a client, which must be closed. It does not connect yet.
func New(o Options) (*Client, error) {
	if o.Protocol != WHIP && o.Protocol != WHEP {
		return nil, fmt.Errorf("protocol %q: it must be whip or whep", o.Protocol)
	}
	u, err := parseURL(o.URL, o.Protocol)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(o.BearerToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("the bearer token holds a space, a control character or one that is not ASCII")
	}
	conf, err := tlspin.Config(o.Fingerprint)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	o.UserAgent = cmp.Or(o.UserAgent, "mtx")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{
		o: o, url: u, secrets: secretsOf(u, o.BearerToken),
		transport: &http.Transport{
			TLSClientConfig:        conf,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    o.Timeout,
			IdleConnTimeout:        10 * time.Second,
			MaxResponseHeaderBytes: maxHeaders,
			DisableCompression:     true, // bodies are small, and may be hostile
			MaxConnsPerHost:        4,
		},
	}, nil
}

// Close closes connections that are not in use. Requests must be over.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Address is what identifies the stream in logs and errors: the URL without
// credentials and without query.
func (c *Client) Address() string {
	scheme := string(c.o.Protocol)
	if c.url.Scheme == "https" {
		scheme += "s"
	}
	return (&url.URL{Scheme: scheme, Host: c.url.Host, Path: c.url.Path, RawPath: c.url.RawPath}).String()
}

// ICEServers asks which STUN and TURN servers an offer may be made with, by
// OPTIONS (RFC 9725 section 4.6). A server that does not tell has none.
func (c *Client) ICEServers(ctx context.Context) ([]ICEServer, error) {
	r, err := c.do(ctx, request{method: http.MethodOptions, url: c.url})
	var answered *Error
	switch {
	case err == nil && r.status/100 == 2:
		return parseLinks(r.header), nil
	case err == nil, errors.As(err, &answered) && answered.Status != 0, hungUp(err):
		return nil, nil // many servers do not know OPTIONS; it is POST that must work
	}
	return nil, err
}

// TryICEServers calls f, which makes an offer and works until the connection is
// over, with the ICE servers that the server tells in advance. If f then says that
// no connection came about, and returns others that came with the answer only, it
// is called once more with those: RFC 9725 section 4.6 prefers the answer, when it
// is too late for the offer.
func (c *Client) TryICEServers(
	ctx context.Context, f func(servers []ICEServer) (told []ICEServer, unconnected bool, err error),
) error {
	servers, err := c.ICEServers(ctx)
	if err != nil {
		return err
	}
	told, unconnected, err := f(servers)
	if err == nil || !unconnected || len(told) == 0 || slices.Equal(told, servers) || ctx.Err() != nil {
		return err
	}
	c.o.Log.Debug("trying again with the ICE servers of the answer", "servers", len(told))
	_, _, err = f(told)
	return err
}

// Session is what a server answered to an offer.
type Session struct {
	// Answer is the SDP of the server.
	Answer string

	// ICEServers are those that the server recommends; for an offer that is
	// made, they come too late.
	ICEServers []ICEServer

	// ID is what the server calls the session, if it tells.
	ID string

	// ETag identifies the ICE session (RFC 9725 section 4.3.1).
	ETag string

	client *Client
	url    *url.URL // nil: the session cannot be ended by a request
}

// Post sends an offer with all its candidates. The session that the server opens
// must be ended with [Session.Delete].
func (c *Client) Post(ctx context.Context, offer string) (*Session, error) {
	r, err := c.do(ctx, request{method: http.MethodPost, url: c.url, kind: contentSDP, body: offer})
	if err != nil {
		return nil, err
	}
	if r.status != http.StatusCreated && r.status != http.StatusOK {
		return nil, c.status(r)
	}
	s := &Session{
		Answer: string(r.body), ICEServers: parseLinks(r.header),
		ID: clean(r.header.Get("Id"), 100), ETag: r.header.Get("Etag"),
		client: c, url: sessionURL(r.url, r.header.Get("Location")),
	}
	if err := c.checkAnswer(r); err != nil {
		s.Delete(ctx) // what was opened is of no use
		return nil, err
	}
	if s.url == nil {
		c.o.Log.Debug("the server names no session on its host: it ends with the connection", "address", c.Address())
	}
	return s, nil
}

// checkAnswer tells whether the body of a success is an SDP.
func (c *Client) checkAnswer(r *reply) error {
	header := r.header.Get("Content-Type")
	kind, _, _ := mime.ParseMediaType(header)
	switch {
	case header != "" && kind != contentSDP:
		return c.failure(r.status, fmt.Sprintf("the server answers with content type %q: it must be %s", clean(header, 100), contentSDP), nil)
	case !strings.HasPrefix(string(r.body), "v="):
		return c.failure(r.status, "the server answers with something that is no SDP", nil)
	}
	return nil
}

// Delete ends the session. It returns soon, even if ctx is done already or the
// server does not answer; what goes wrong is of interest to nobody but the log at
// debug level. It is idempotent, but not to be called concurrently.
func (s *Session) Delete(ctx context.Context) {
	if s.url == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxDelete)
	defer cancel()
	r, err := s.client.do(ctx, request{method: http.MethodDelete, url: s.url, still: true})
	s.url = nil
	switch {
	case err != nil:
		s.client.o.Log.Debug("the session could not be ended", "error", err)
	case r.status/100 != 2 && r.status != http.StatusNotFound: // 404: it had ended
		s.client.o.Log.Debug("the session could not be ended", "error", s.client.status(r))
	}
}

// request is what is sent to a server.
type request struct {
	method string
	url    *url.URL
	kind   string // of the body
	body   string
	still  bool // redirects are not followed
}

// reply is an answer that was read to its end.
type reply struct {
	url     *url.URL // of the last request, without credentials
	trusted bool     // that request had the credentials
	status  int
	header  http.Header
	body    []byte
}

// do sends a request and follows redirects.
func (c *Client) do(ctx context.Context, q request) (*reply, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	for range maxRedirect + 1 {
		r, err := c.once(ctx, q)
		var known *Error
		switch {
		case errors.As(err, &known):
			return nil, err
		case err != nil:
			return nil, c.network(outer, err)
		case q.still || r.status != http.StatusTemporaryRedirect && r.status != http.StatusPermanentRedirect:
			return r, nil
		}
		if q.url, err = redirectURL(r.url, r.header.Get("Location")); err != nil {
			return nil, c.failure(r.status, err.Error(), nil)
		}
	}
	return nil, c.failure(0, fmt.Sprintf("the server redirects more than %d times", maxRedirect), nil)
}

// once sends a request and reads the answer.
func (c *Client) once(ctx context.Context, q request) (*reply, error) {
	u := *q.url
	u.User = nil
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), strings.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.o.UserAgent)
	if q.kind != "" {
		req.Header.Set("Content-Type", q.kind)
		req.Header.Set("Accept", q.kind)
	}
	r := &reply{url: &u, trusted: entitled(c.url, &u)}
	if r.trusted {
		c.authenticate(req)
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	r.status, r.header = res.StatusCode, res.Header
	r.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(r.body) > maxAnswer:
		return nil, c.failure(r.status, fmt.Sprintf("the answer of the server is larger than %d bytes", maxAnswer), nil)
	}
	return r, nil
}

func (c *Client) authenticate(req *http.Request) {
	switch {
	case c.o.BearerToken != "":
		req.Header.Set("Authorization", "Bearer "+c.o.BearerToken)
	case c.url.User != nil:
		pass, _ := c.url.User.Password()
		req.SetBasicAuth(c.url.User.Username(), pass)
	}
}

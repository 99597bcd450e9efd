package rtmpconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/handshake"
	"github.com/bluenviron/gortmplib/pkg/message"

	"github.com/org/mtx/protocol/bridge/internal/tlspin"
)

const defaultTimeout = 10 * time.Second

// Options are the options of [Dial].
type Options struct {
	// URL of the stream, as [ParseURL] takes it. Mandatory.
	URL string
	// Publish tells publishers from readers.
	Publish bool
	// Fingerprint is the SHA-256 of the certificate of the server, in hex, with
	// or without colons. If empty, the certificate must be valid.
	Fingerprint string
	// ReadTimeout bounds how long the server may be silent, WriteTimeout how long
	// it may take nothing. Default 10s.
	ReadTimeout, WriteTimeout time.Duration
}

// Client is the client's side of a connection.
type Client struct {
	*Conn
	URL *URL

	conn net.Conn
	stop func() bool
	id   float64 // of the last command
	on   uint32  // message stream
}

// Error is an error of a connection to a server. Neither its text nor what it
// wraps has credentials.
type Error struct {
	// Address is the URL of the stream, without credentials and query.
	Address string
	// Reason is a sentence.
	Reason string

	err error
}

func (e *Error) Error() string { return e.Address + ": " + e.Reason }

// Unwrap returns the cause, if its text holds no secret.
func (e *Error) Unwrap() error { return e.err }

var errLogin = errors.New("the server refuses the credentials of the URL")

// Dial connects to a server and begins to read or to publish. The connection ends
// with ctx, or when Close is called, which must be.
func Dial(ctx context.Context, o Options) (*Client, error) {
	u, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	u.hideKey = o.Publish
	if _, err := tlspin.Config(o.Fingerprint); err != nil {
		return nil, err
	}
	login := login{}
	for {
		c, err := dial(ctx, u, &o, &login)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !errors.Is(err, ErrChallenged):
			return nil, u.explain(err)
		}
	}
}

func dial(ctx context.Context, u *URL, o *Options, l *login) (_ *Client, err error) {
	read, write := orDefault(o.ReadTimeout), orDefault(o.WriteTimeout)
	raw, err := (&net.Dialer{Timeout: read}).DialContext(ctx, "tcp", u.Addr)
	if err != nil {
		return nil, err
	}
	c := &Client{URL: u, conn: raw}
	c.stop = context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if u.Secure {
		conf, err := tlspin.Config(o.Fingerprint)
		if err != nil {
			return nil, err
		}
		conf.ServerName = u.Host
		tc := tls.Client(raw, conf)
		_ = raw.SetDeadline(time.Now().Add(read))
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		_ = raw.SetDeadline(time.Time{})
		c.conn = tc
	}
	rw := &timed{Conn: c.conn, read: read, write: write}
	if _, _, err := handshake.DoClient(rw, false, false); err != nil {
		return nil, fmt.Errorf("handshake: %w", unexpected(err))
	}
	c.Conn = newConn(rw)
	if err := c.begin(o.Publish, l); err != nil {
		return nil, err
	}
	if o.Publish {
		rw.read = 0 // servers have nothing to say to publishers
	}
	return c, nil
}

// timed gives every operation a deadline; zero means none.
type timed struct {
	net.Conn
	read, write time.Duration
}

func (t *timed) Read(p []byte) (int, error) {
	deadline := time.Time{}
	if t.read > 0 {
		deadline = time.Now().Add(t.read)
	}
	if err := t.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	return t.Conn.Read(p)
}

func (t *timed) Write(p []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(t.write)); err != nil {
		return 0, err
	}
	return t.Conn.Write(p)
}

// begin sends the commands up to play or publish.
func (c *Client) begin(publish bool, l *login) error {
	if err := c.connect(publish, l); err != nil {
		return err
	}
	if publish {
		if err := c.write(c.call("releaseStream", nil, c.URL.Key)); err != nil {
			return err
		}
		if err := c.write(c.call("FCPublish", nil, c.URL.Key)); err != nil {
			return err
		}
	}
	if err := c.write(c.call("createStream", nil)); err != nil {
		return err
	}
	answer, err := c.answer()
	if err != nil {
		return err
	}
	if len(answer.Args) >= 2 {
		id, _ := answer.Args[1].(float64)
		c.on = uint32(max(0, min(id, 1<<31)))
	}
	if publish && c.on != StreamID {
		return fmt.Errorf("the server offers message stream %d: only %d is supported", c.on, StreamID)
	}
	name, args := "play", []any{nil, c.URL.Key}
	if publish {
		name, args = "publish", []any{nil, c.URL.Key, "live"}
	}
	m := c.call(name, args...)
	m.MessageStreamID = c.on<<24 | c.on>>8&0xff00 | c.on<<8&0xff0000 | c.on>>24 // little endian (section 5.3.1.2.5)
	m.ChunkStreamID = chunkStreamStatus
	if err := c.write(m); err != nil {
		return err
	}
	if !publish {
		c.AcceptMedia()
	}
	return c.waitStatus()
}

// connect sends the connect command, and logs in as the server wants it.
func (c *Client) connect(publish bool, l *login) error {
	extra := l.params(c.URL)
	o := amf0.Object{
		{Key: "app", Value: addQuery(c.URL.App, extra)},
		{Key: "flashVer", Value: "FMLE/3.0 (compatible; mtx)"},
		{Key: "tcUrl", Value: addQuery(c.URL.tcURL(), extra)},
	}
	if publish {
		o = append(o, amf0.ObjectEntry{Key: "type", Value: "nonprivate"})
	} else {
		o = append(o,
			amf0.ObjectEntry{Key: "fpad", Value: false},
			amf0.ObjectEntry{Key: "capabilities", Value: float64(15)},
			amf0.ObjectEntry{Key: "audioCodecs", Value: float64(0x0fff)},
			amf0.ObjectEntry{Key: "videoCodecs", Value: float64(0x00ff)},
			amf0.ObjectEntry{Key: "videoFunction", Value: float64(0)})
	}
	o = append(o,
		amf0.ObjectEntry{Key: "objectEncoding", Value: float64(0)},
		amf0.ObjectEntry{Key: "capsEx", Value: float64(capsMultitrack)},
		amf0.ObjectEntry{Key: "fourCcList", Value: amf0.StrictArray{
			"av01", "vp09", "hvc1", "avc1", "Opus", "fLaC", "ac-3", "mp4a", ".mp3",
		}})
	err := c.write(
		&message.SetWindowAckSize{Value: ackWindow},
		&message.SetChunkSize{Value: ChunkSize},
		c.call("connect", o))
	if err != nil {
		return err
	}
	answer, err := c.answer()
	if err == nil {
		return nil
	}
	return l.challenged(c.URL, &answer, err)
}

// addQuery appends parameters in the way of clients that log in by challenge:
// with a question mark, whatever is before it.
func addQuery(s, params string) string {
	if params == "" {
		return s
	}
	return s + "?" + params
}

func (c *Client) call(name string, args ...any) *message.CommandAMF0 {
	c.id++
	return command(0, name, c.id, args...)
}

// answer waits for the answer to the last command that has one. An error of the
// server is returned with it.
func (c *Client) answer() (Command, error) {
	for range maxCommands {
		m, err := c.Read()
		if err != nil {
			return Command{}, err
		}
		cmd, ok, err := m.Command()
		switch {
		case err != nil:
			return cmd, err
		case !ok || cmd.ID != c.id && cmd.ID != 0:
		case cmd.Name == "_result":
			return cmd, nil
		case cmd.Name == "_error":
			return cmd, serverError(&cmd)
		}
	}
	return Command{}, errCommands
}

// waitStatus waits until the server lets the client begin.
func (c *Client) waitStatus() error {
	for range maxCommands {
		m, err := c.Read()
		if err != nil {
			return err
		}
		cmd, ok, err := m.Command()
		if err != nil {
			return err
		}
		if !ok || cmd.Name != "onStatus" && cmd.Name != "_error" {
			continue
		}
		if level, _ := cmd.object(1).GetString("level"); cmd.Name == "_error" || level == "error" {
			return serverError(&cmd)
		}
		return nil
	}
	return errCommands
}

func serverError(cmd *Command) error {
	o := cmd.object(1)
	code, _ := o.GetString("code")
	description, _ := o.GetString("description")
	return fmt.Errorf("the server refuses: %.100q (%.200q)", code, description)
}

// Finish says good-bye to the server.
func (c *Client) Finish(publish bool) error {
	if publish {
		if err := c.write(c.call("FCUnpublish", nil, c.URL.Key)); err != nil {
			return err
		}
	}
	return c.write(c.call("deleteStream", nil, float64(c.on)))
}

// Ended tells whether a message is the server's word that the stream is over, and
// why.
func (c *Client) Ended(m *Message) error {
	cmd, ok, err := m.Command()
	if !ok || err != nil || cmd.Name != "onStatus" {
		return nil //nolint:nilerr // a message that cannot be read says nothing about the end
	}
	o := cmd.object(1)
	code, _ := o.GetString("code")
	if level, _ := o.GetString("level"); level == "error" {
		return c.Explain(serverError(&cmd))
	}
	for _, end := range []string{"UnpublishNotify", "Play.Stop", "Play.Complete", "Unpublish.Success"} {
		if strings.HasSuffix(code, end) {
			return c.Explain(errors.New("the stream on the server is over"))
		}
	}
	return nil
}

// Close ends the connection.
func (c *Client) Close() {
	c.stop()
	_ = c.conn.Close()
}

// Explain turns an error of the connection into an [*Error] with a reason that
// users understand.
func (c *Client) Explain(err error) error { return c.URL.explain(err) }

func (u *URL) explain(err error) error {
	var done *Error
	if err == nil || errors.As(err, &done) || errors.Is(err, context.Canceled) {
		return err
	}
	reason := err.Error()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		reason = "the server closed the connection"
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason = "the server is silent for too long, or takes nothing"
	}
	e := &Error{Address: u.String(), Reason: u.redact(reason), err: err}
	if u.redact(err.Error()) != err.Error() {
		e.err = nil
	}
	return e
}

func orDefault(d time.Duration) time.Duration {
	if d <= 0 {
		return defaultTimeout
	}
	return d
}

// Validate tells what is wrong with the options, without connecting.
func (o Options) Validate() error {
	if _, err := ParseURL(o.URL); err != nil {
		return err
	}
	_, err := tlspin.Config(o.Fingerprint)
	return err
}

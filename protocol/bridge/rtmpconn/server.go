package rtmpconn

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/handshake"
	"github.com/bluenviron/gortmplib/pkg/message"
)

// maxCommands is how many commands a client may send before it says what it
// wants. Real ones send about 6.
const maxCommands = 100

var (
	errVersion  = errors.New("the client does not speak RTMP, or wants it to be encrypted by RTMPE")
	errConnect  = errors.New("the client does not begin with a connect command")
	errCommands = fmt.Errorf("more than %d commands, and none that says what the client wants", maxCommands)
)

// capsMultitrack is a flag of capsEx in the connect command: the client knows
// several tracks (enhanced RTMP v2, enum CapsExMask).
const capsMultitrack = 2

// Server is the server's side of a connection.
type Server struct {
	*Conn

	// App is the application that the client connects to, with its query.
	App string
	// TcURL is the URL that the client says it connects to, with its query.
	TcURL string
	// Agent is what the client calls itself.
	Agent string
	// Enhanced tells that the client says that it knows enhanced RTMP.
	Enhanced bool

	id float64 // of the connect command
}

// Accept does the handshake and reads the connect command.
func Accept(rw io.ReadWriter) (*Server, error) {
	if _, _, err := handshake.DoServer(&plainOnly{ReadWriter: rw}, false); err != nil {
		return nil, fmt.Errorf("handshake: %w", unexpected(err))
	}
	s := &Server{Conn: newConn(rw)}
	s.in.Store(0)
	for range maxCommands {
		m, err := s.Read()
		if err != nil {
			return nil, err
		}
		cmd, ok, err := m.Command()
		switch {
		case err != nil:
			return nil, err
		case !ok:
		case cmd.Name != "connect":
			return nil, errConnect
		default:
			s.connect(&cmd)
			return s, nil
		}
	}
	return nil, errConnect
}

func (s *Server) connect(cmd *Command) {
	o := cmd.object(0)
	s.id = cmd.ID
	s.App, _ = o.GetString("app")
	if s.TcURL, _ = o.GetString("tcUrl"); s.TcURL == "" {
		s.TcURL, _ = o.GetString("tcurl")
	}
	s.TcURL = strings.Trim(s.TcURL, "'")
	s.Agent, _ = o.GetString("flashVer")
	list, _ := o.Get("fourCcList")
	codecs, _ := list.(amf0.StrictArray)
	_, info := o.Get("videoFourCcInfoMap")
	caps, _ := o.GetFloat64("capsEx")
	s.Enhanced = len(codecs) > 0 || info || int(caps)&capsMultitrack != 0
}

// plainOnly refuses versions that are not plain RTMP before time is spent on
// cryptography that protects nothing.
type plainOnly struct {
	io.ReadWriter
	seen bool
}

func (p *plainOnly) Read(b []byte) (int, error) {
	n, err := p.ReadWriter.Read(b)
	if n > 0 && !p.seen {
		p.seen = true
		if b[0] != 3 {
			return 0, errVersion
		}
	}
	return n, err
}

// AcceptConnect lets the client in.
func (s *Server) AcceptConnect() error {
	return s.write(
		&message.SetWindowAckSize{Value: ackWindow},
		&message.SetPeerBandwidth{Value: ackWindow, Type: 2}, // dynamic
		&message.SetChunkSize{Value: ChunkSize},
		command(0, "_result", s.id,
			amf0.Object{{Key: "fmsVer", Value: "FMS/3,0,1,123"}, {Key: "capabilities", Value: float64(31)}},
			append(statusObject("status", "NetConnection.Connect.Success", "Connection succeeded."),
				amf0.ObjectEntry{Key: "objectEncoding", Value: float64(0)})),
	)
}

// RejectConnect tells the client why it is not let in. The connection is of no
// use afterwards.
func (s *Server) RejectConnect(description string) error {
	return s.write(command(0, "_error", s.id, nil,
		statusObject("error", "NetConnection.Connect.Rejected", description)))
}

// Request is what a client wants.
type Request struct {
	// Publish tells publishers from readers.
	Publish bool
	// Key is the stream key, with its query.
	Key string
}

// ReadRequest waits until the client says what it wants.
func (s *Server) ReadRequest() (*Request, error) {
	for range maxCommands {
		m, err := s.Read()
		if err != nil {
			return nil, err
		}
		cmd, ok, err := m.Command()
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		switch cmd.Name {
		case "createStream":
			err = s.write(command(0, "_result", cmd.ID, nil, float64(StreamID)))
		case "publish", "play":
			key, _ := cmd.text(1)
			return &Request{Publish: cmd.Name == "publish", Key: key}, nil
		case "releaseStream", "FCPublish", "FCSubscribe", "getStreamLength", "_checkbw":
			// clients go on without an answer
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errCommands
}

// AcceptRequest tells the client to begin, or that media follows.
func (s *Server) AcceptRequest(r *Request) error {
	if r.Publish {
		s.AcceptMedia()
		return s.write(onStatus("status", "NetStream.Publish.Start", "publish start"))
	}
	return s.write(
		&message.UserControlStreamBegin{StreamID: StreamID},
		onStatus("status", "NetStream.Play.Reset", "play reset"),
		onStatus("status", "NetStream.Play.Start", "play start"),
		onStatus("status", "NetStream.Data.Start", "data start"),
	)
}

// Refusal is a reason in the terms of RTMP.
type Refusal int

// Reasons to refuse a request.
const (
	Failed Refusal = iota
	NotFound
	Unauthorized
	Busy
)

// RejectRequest tells the client why it does not get what it wants.
func (s *Server) RejectRequest(r *Request, why Refusal, description string) error {
	code := map[Refusal]string{
		Failed: "NetStream.Play.Failed", NotFound: "NetStream.Play.StreamNotFound",
		Unauthorized: "NetStream.Play.Failed", Busy: "NetStream.Play.Failed",
	}[why]
	if r.Publish {
		code = map[Refusal]string{
			Failed: "NetStream.Publish.Failed", NotFound: "NetStream.Publish.BadName",
			Unauthorized: "NetStream.Publish.Unauthorized", Busy: "NetStream.Publish.BadName",
		}[why]
	}
	return s.write(onStatus("error", code, description))
}

// End tells a reader that the stream is over.
func (s *Server) End() error {
	return s.write(
		&message.UserControlStreamEOF{StreamID: StreamID},
		onStatus("status", "NetStream.Play.UnpublishNotify", "stream is over"),
	)
}

// IsEnd tells whether a command of a client that publishes or reads means that
// it has finished.
func (c *Command) IsEnd() bool {
	return slices.Contains([]string{"deleteStream", "closeStream", "FCUnpublish"}, c.Name)
}

// Target is what a client asks for, put together from application and stream key.
type Target struct {
	// Path is the name of the stream, without slashes around it.
	Path string
	// Query is the raw query, without what belongs to the ways to log in of RTMP.
	Query string
	// User and Pass are from the query (user, pass) or the URL, Token is from the
	// query (jwt, token).
	User, Pass, Token string
}

// Target reads the URL of the connection together with a stream key, both of
// which may have a query.
func (s *Server) Target(key string) Target {
	app, appQuery := cutQuery(s.App)
	u, err := url.Parse(s.TcURL)
	if err != nil {
		u = &url.URL{}
	}
	if app == "" {
		app, appQuery = u.EscapedPath(), u.RawQuery
	} else if appQuery == "" {
		appQuery = u.RawQuery
	}
	key, keyQuery := cutQuery(key)
	t := Target{Path: joinPath(app, key), Query: joinQuery(stripAdobe(appQuery), keyQuery)}
	q, _ := url.ParseQuery(t.Query) // what is readable counts
	t.User, t.Pass = q.Get("user"), q.Get("pass")
	if t.Token = q.Get("jwt"); t.Token == "" {
		t.Token = q.Get("token")
	}
	if t.User == "" && t.Pass == "" && u.User != nil {
		t.User = u.User.Username()
		t.Pass, _ = u.User.Password()
	}
	return t
}

func cutQuery(s string) (path, query string) {
	path, query, _ = strings.Cut(s, "?")
	return path, query
}

func joinPath(app, key string) string {
	path := strings.Trim(app, "/")
	if key = strings.Trim(key, "/"); key != "" {
		path += "/" + key
	}
	if p, err := url.PathUnescape(path); err == nil {
		path = p
	}
	return strings.Trim(path, "/")
}

// joinQuery joins two queries. Some clients send the same one in both places.
func joinQuery(a, b string) string {
	switch {
	case a == "" || a == b:
		return b
	case b == "":
		return a
	}
	return a + "&" + b
}

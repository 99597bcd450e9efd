package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"
)

// requestTimeout bounds one request and its answer.
const requestTimeout = 20 * time.Second

var errNotFound = errors.New("no stream on this path")

// rtspClient is as much of an RTSP client (RFC 2326) as the load needs: one
// video track, one request at a time.
type rtspClient struct {
	conn    *net.TCPConn
	br      *bufio.Reader
	url     string
	session string

	mu   sync.Mutex // serializes writes of requests
	cseq int
}

func dialRTSP(ctx context.Context, addr, path string) (*rtspClient, error) {
	conn, err := (&net.Dialer{Timeout: requestTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &rtspClient{
		conn: conn.(*net.TCPConn),
		br:   bufio.NewReaderSize(conn, 4096),
		url:  "rtsp://" + addr + "/" + path,
	}, nil
}

func (c *rtspClient) close() { c.conn.Close() }

// send writes a request without waiting for the answer. Headers come in pairs.
func (c *rtspClient) send(method, url, body string, headers ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cseq++
	var sb strings.Builder
	fmt.Fprintf(&sb, "%s %s RTSP/1.0\r\nCSeq: %d\r\n", method, url, c.cseq)
	if c.session != "" {
		fmt.Fprintf(&sb, "Session: %s\r\n", c.session)
	}
	for i := 0; i < len(headers); i += 2 {
		fmt.Fprintf(&sb, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if body != "" {
		fmt.Fprintf(&sb, "Content-Length: %d\r\n", len(body))
	}
	sb.WriteString("\r\n" + body)
	_, err := io.WriteString(c.conn, sb.String())
	return err
}

// do sends a request and returns the headers and the body of the answer.
func (c *rtspClient) do(method, url, body string, headers ...string) (textproto.MIMEHeader, []byte, error) {
	c.conn.SetDeadline(time.Now().Add(requestTimeout))
	defer c.conn.SetDeadline(time.Time{})
	if err := c.send(method, url, body, headers...); err != nil {
		return nil, nil, err
	}
	tp := textproto.NewReader(c.br)
	status, err := tp.ReadLine()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", method, err)
	}
	h, err := tp.ReadMIMEHeader()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", method, err)
	}
	n, _ := strconv.Atoi(h.Get("Content-Length"))
	answer := make([]byte, max(n, 0))
	if _, err := io.ReadFull(c.br, answer); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", method, err)
	}
	switch _, code, _ := strings.Cut(status, " "); {
	case strings.HasPrefix(code, "404"):
		return nil, nil, fmt.Errorf("%s: %w", method, errNotFound)
	case !strings.HasPrefix(code, "200"):
		return nil, nil, fmt.Errorf("%s: the server answered %q", method, status)
	}
	if s := h.Get("Session"); s != "" {
		c.session, _, _ = strings.Cut(s, ";")
	}
	return h, answer, nil
}

// options asks for nothing: it shows that the server is alive.
func (c *rtspClient) options() error {
	_, _, err := c.do("OPTIONS", c.url, "")
	return err
}

// keepAlive prolongs the session. Its answer arrives among the media.
func (c *rtspClient) keepAlive() error { return c.send("OPTIONS", c.url, "") }

// record announces the stream and starts to publish it over this connection.
func (c *rtspClient) record() error {
	if _, _, err := c.do("ANNOUNCE", c.url, sessionDescription(), "Content-Type", "application/sdp"); err != nil {
		return err
	}
	_, _, err := c.do("SETUP", c.url+"/trackID=0", "", "Transport", "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record")
	if err != nil {
		return err
	}
	_, _, err = c.do("RECORD", c.url, "", "Range", "npt=0.000-")
	return err
}

// play starts to read with the given Transport header.
func (c *rtspClient) play(transport string) error {
	control, err := c.describe()
	if err != nil {
		return err
	}
	if _, _, err := c.do("SETUP", control, "", "Transport", transport); err != nil {
		return err
	}
	_, _, err = c.do("PLAY", c.url, "", "Range", "npt=0.000-")
	return err
}

// describe returns the control URL of the track.
func (c *rtspClient) describe() (string, error) {
	h, sdp, err := c.do("DESCRIBE", c.url, "", "Accept", "application/sdp")
	if err != nil {
		return "", err
	}
	base := h.Get("Content-Base")
	if base == "" {
		base = c.url
	}
	return controlURL(string(sdp), base), nil
}

// controlURL finds the URL of the first track in a session description.
func controlURL(sdp, base string) string {
	_, media, _ := strings.Cut(sdp, "\nm=")
	_, control, ok := strings.Cut(media, "\na=control:")
	if !ok {
		return base
	}
	control, _, _ = strings.Cut(control, "\n")
	control = strings.TrimSpace(control)
	if strings.HasPrefix(control, "rtsp://") {
		return control
	}
	return strings.TrimSuffix(base, "/") + "/" + control
}

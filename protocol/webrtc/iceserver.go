package webrtc

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what TURN servers expect
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/org/mtx/protocol/bridge/webrtcpeer"
)

// AuthSecret as the user name of an [ICEServer] makes its password a secret that
// is shared with the TURN server, from which credentials for a while are made.
const AuthSecret = "AUTH_SECRET"

// secretLife is how long credentials that are made from a secret are good. It
// bounds the time until a client must have asked for its relay, not sessions.
const secretLife = 24 * time.Hour

// ICEServer is a STUN or TURN server, which helps clients, and unless ClientOnly
// is set this server, to find a way through firewalls.
type ICEServer struct {
	// URL is "stun:HOST:PORT", "turn:HOST:PORT" or "turns:HOST:PORT", for TURN
	// optionally with "?transport=udp" or "?transport=tcp" (RFC 7065).
	URL string

	// Username and Password are credentials of a TURN server. See [AuthSecret].
	Username, Password string

	// ClientOnly servers are used by clients only.
	ClientOnly bool
}

// String keeps the password out of logs.
func (s ICEServer) String() string { return s.URL }

// GoString keeps the password out of logs.
func (s ICEServer) GoString() string { return fmt.Sprintf("webrtc.ICEServer{URL:%q}", s.URL) }

// isTURN tells servers with credentials.
func (s ICEServer) isTURN() bool {
	return strings.HasPrefix(s.URL, "turn:") || strings.HasPrefix(s.URL, "turns:")
}

// Validate tells what is wrong with the values.
func (s ICEServer) Validate() error {
	scheme, rest, _ := strings.Cut(s.URL, ":")
	host, query, hasQuery := strings.Cut(rest, "?")
	bad := func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`<>"\/@#`, c) }
	switch {
	case scheme != "stun" && scheme != "stuns" && scheme != "turn" && scheme != "turns",
		host == "", strings.ContainsFunc(rest, bad):
		return fmt.Errorf("ICE server %q: must be stun:HOST:PORT, turn:HOST:PORT or turns:HOST:PORT", redactURL(s.URL))
	case hasQuery && (!s.isTURN() || query != "transport=udp" && query != "transport=tcp"):
		return fmt.Errorf("ICE server %q: the only parameter is transport, udp or tcp, of TURN servers", s.URL)
	case !validHostPort(host):
		return fmt.Errorf("ICE server %q: %q must be a host, or a host and a port between 1 and 65535", s.URL, host)
	case s.isTURN() && (s.Username == "" || s.Password == ""):
		return fmt.Errorf("ICE server %q: a TURN server needs a user name and a password", s.URL)
	}
	for _, v := range []string{s.Username, s.Password} {
		if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return fmt.Errorf("ICE server %q: user name and password cannot hold control characters", s.URL)
		}
	}
	return nil
}

// redactURL removes what may be a password from a URL of the wrong form.
func redactURL(u string) string {
	if i := strings.LastIndexByte(u, '@'); i >= 0 {
		scheme, _, _ := strings.Cut(u, ":")
		return scheme + ":..." + u[i:]
	}
	return u
}

// validHostPort accepts a host, with a port or without.
func validHostPort(s string) bool {
	if strings.HasPrefix(s, "[") {
		host, port, ok := strings.Cut(s, "]")
		return ok && len(host) > 1 && (port == "" || port[0] == ':' && validPort(port[1:]))
	}
	host, port, hasPort := strings.Cut(s, ":")
	return host != "" && (!hasPort || validPort(port))
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// withCredentials makes credentials out of a secret, as TURN servers with a
// REST API know them (draft-uberti-behave-turn-rest).
func (s ICEServer) withCredentials(now time.Time) ICEServer {
	if s.Username != AuthSecret || !s.isTURN() {
		return s
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	s.Username = strconv.FormatInt(now.Add(secretLife).Unix(), 10) + ":" + hex.EncodeToString(b[:])
	mac := hmac.New(sha1.New, []byte(s.Password))
	mac.Write([]byte(s.Username))
	s.Password = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return s
}

// link is the value of a Link header (RFC 9725 section 4.6).
func (s ICEServer) link() string {
	l := "<" + s.URL + `>; rel="ice-server"`
	if s.isTURN() {
		l += "; username=" + quote(s.Username) + "; credential=" + quote(s.Password) + `; credential-type="password"`
	}
	return l
}

// quote makes a quoted string (RFC 9110 section 5.6.4).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// links are the Link headers for a client.
func links(servers []ICEServer, now time.Time) []string {
	out := make([]string, len(servers))
	for i, s := range servers {
		out[i] = s.withCredentials(now).link()
	}
	return out
}

// ownServers are the servers that this side of a connection uses.
func ownServers(servers []ICEServer, now time.Time) []webrtcpeer.ICEServer {
	var out []webrtcpeer.ICEServer
	for _, s := range servers {
		if !s.ClientOnly {
			s = s.withCredentials(now)
			out = append(out, webrtcpeer.ICEServer{URL: s.URL, Username: s.Username, Password: s.Password})
		}
	}
	return out
}

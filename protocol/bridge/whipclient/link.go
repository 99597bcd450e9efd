package whipclient

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// ICEServer is a STUN or TURN server that a server recommends.
type ICEServer struct {
	// URL has the scheme stun, stuns, turn or turns.
	URL string
	// Username and Password are for TURN.
	Username, Password string
}

// String returns the URL only: the rest is secret.
func (s ICEServer) String() string { return s.URL }

// MarshalText implements encoding.TextMarshaler, for logs, in the same way.
func (s ICEServer) MarshalText() ([]byte, error) { return []byte(s.URL), nil }

// GoString keeps the rest out of %#v.
func (s ICEServer) GoString() string { return fmt.Sprintf("ICEServer{URL: %q}", s.URL) }

// Limits of Link headers.
const (
	maxICEServers = 8
	maxLinkText   = 16 << 10 // of all headers together, bytes
	maxLinkField  = 1024     // of a URL or a credential, bytes
)

// parseLinks finds the ICE servers in Link headers (RFC 9725 section 4.6, RFC 8288
// section 3). What it does not understand it passes over.
func parseLinks(h http.Header) []ICEServer {
	text := strings.Join(h.Values("Link"), ",")
	if len(text) > maxLinkText {
		text = text[:maxLinkText]
	}
	var out []ICEServer
	p := linkParser{text}
	for len(out) < maxICEServers {
		target, params, ok := p.next()
		if !ok {
			return out
		}
		if !hasRelation(params["rel"], "ice-server") || !isICEServer(target) {
			continue
		}
		s := ICEServer{URL: target, Username: params["username"], Password: params["credential"]}
		kind := params["credential-type"]
		if len(s.Username) > maxLinkField || len(s.Password) > maxLinkField || kind != "" && !strings.EqualFold(kind, "password") {
			continue
		}
		out = append(out, s)
	}
	return out
}

func hasRelation(rel, want string) bool {
	for r := range strings.FieldsSeq(rel) {
		if strings.EqualFold(r, want) {
			return true
		}
	}
	return false
}

func isICEServer(s string) bool {
	if len(s) > maxLinkField || strings.ContainsAny(s, " \t\r\n\x00") {
		return false
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque == "" {
		return false
	}
	switch u.Scheme {
	case "stun", "stuns", "turn", "turns":
		return true
	}
	return false
}

// linkParser reads the links of a header, one after the other.
type linkParser struct{ s string }

// next returns a target with its parameters, whose names are in lower case. The
// first one of a name counts. It is false at the end.
func (p *linkParser) next() (target string, params map[string]string, ok bool) {
	start := strings.IndexByte(p.s, '<')
	if start < 0 {
		return "", nil, false
	}
	end := strings.IndexByte(p.s[start:], '>')
	if end < 0 {
		return "", nil, false
	}
	target = p.s[start+1 : start+end]
	p.s = p.s[start+end+1:]
	params = map[string]string{}
	for {
		p.s = strings.TrimLeft(p.s, " \t")
		if !strings.HasPrefix(p.s, ";") {
			break // a comma, the end, or garbage
		}
		p.s = strings.TrimLeft(p.s[1:], " \t")
		n := strings.IndexAny(p.s, "=;, \t")
		if n < 0 {
			n = len(p.s)
		}
		name := strings.ToLower(p.s[:n])
		p.s = strings.TrimLeft(p.s[n:], " \t")
		value := ""
		if strings.HasPrefix(p.s, "=") {
			p.s = strings.TrimLeft(p.s[1:], " \t")
			value = p.value()
		}
		if _, twice := params[name]; !twice && name != "" {
			params[name] = value
		}
	}
	return target, params, true
}

// value reads a token or a quoted string.
func (p *linkParser) value() string {
	if !strings.HasPrefix(p.s, `"`) {
		n := strings.IndexAny(p.s, ";, \t")
		if n < 0 {
			n = len(p.s)
		}
		v := p.s[:n]
		p.s = p.s[n:]
		return v
	}
	var b strings.Builder
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.s = p.s[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(p.s):
			i++
			b.WriteByte(p.s[i])
		default:
			b.WriteByte(c)
		}
	}
	p.s = ""
	return b.String()
}

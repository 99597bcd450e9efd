package srtclient

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mode tells who calls whom.
type Mode string

// Modes.
const (
	Caller   Mode = "caller"
	Listener Mode = "listener"
)

// settings are what a URL says.
type settings struct {
	mode     Mode
	address  string // host:port
	streamID string

	passphrase string
	keyLength  int

	receiveLatency, sendLatency time.Duration
	connectTimeout, idleTimeout time.Duration // idleTimeout: zero if not given
	mtu, payload, window        int
	keyRefresh, keyPreAnnounce  int
	tos, ttl                    int // zero if not given
	ipv6Only                    bool
	ignored                     []string // names of parameters that are not known
}

// defaults of libsrt.
func defaults() *settings {
	return &settings{
		mode: Caller, keyLength: 16, receiveLatency: 120 * time.Millisecond, sendLatency: 120 * time.Millisecond,
		connectTimeout: 3 * time.Second, payload: 1316, mtu: 1500,
	}
}

// bounds of values, in the units of the URL.
const (
	maxLatencyMS  = 65535
	maxTimeoutMS  = 24 * 3600 * 1000
	maxStreamID   = 512
	minPassphrase = 10
	maxPassphrase = 80
	maxWindow     = 65536
)

// parseURL reads a URL. Errors name the parameter, never its secrets. There are no
// fragments: stream ids often begin with a # that nobody has escaped.
func parseURL(s string) (*settings, error) {
	u, err := url.Parse(strings.ReplaceAll(s, "#", "%23"))
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		text, _, _ := strings.Cut(err.Error(), `"`) // what follows quotes the URL
		return nil, fmt.Errorf("invalid SRT URL: %s", strings.TrimSpace(text))
	}
	switch {
	case u.Scheme != "srt":
		return nil, fmt.Errorf("URL with scheme %q: it must be srt", u.Scheme)
	case u.Port() == "":
		return nil, errors.New("SRT URL without port: it must be srt://host:port")
	case u.User != nil:
		return nil, errors.New("SRT URL with credentials before the host: they belong into the stream id")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("SRT URL with an invalid query")
	}
	out := defaults()
	out.address = net.JoinHostPort(u.Hostname(), u.Port())
	if u.Hostname() == "" {
		out.mode = Listener
	}
	// latency stands for both directions, whatever its place: more exact ones win
	if err := out.set("latency", q.Get("latency")); err != nil {
		return nil, err
	}
	for _, name := range sorted(q) {
		if name == "latency" {
			continue
		}
		if err := out.set(name, q.Get(name)); err != nil {
			return nil, err
		}
	}
	if out.mode == Caller && u.Hostname() == "" {
		return nil, errors.New("SRT URL without host: it is needed to call")
	}
	if out.payload > out.mtu-44 {
		return nil, fmt.Errorf("SRT parameter payloadsize=%d: with mss=%d it can be %d at most", out.payload, out.mtu, out.mtu-44)
	}
	if out.keyRefresh > 0 && out.keyPreAnnounce > out.keyRefresh/2 {
		return nil, fmt.Errorf("SRT parameter kmpreannounce=%d: it can be half of kmrefreshrate (%d) at most", out.keyPreAnnounce, out.keyRefresh)
	}
	return out, nil
}

func sorted(q url.Values) []string {
	var names []string
	for n := range q {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// set takes a parameter. Empty values are as if it was not there.
func (s *settings) set(name, v string) error {
	if v == "" {
		return nil
	}
	if f, ok := textParameters[name]; ok {
		if accepted := f(s, v); accepted != "" {
			return fmt.Errorf("SRT parameter %s: it must be %s", name, accepted)
		}
		return nil
	}
	if p, ok := numbers[name]; ok {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < p.min || n > p.max {
			return fmt.Errorf("SRT parameter %s=%s: it must be a number between %d and %d", name, v, p.min, p.max)
		}
		p.set(s, n)
		return nil
	}
	if want, ok := switches[name]; ok {
		on, ok := parseBool(v)
		switch {
		case !ok:
			return fmt.Errorf("SRT parameter %s=%s: it must be true or false", name, v)
		case want == alwaysOn && !on, want == alwaysOff && on:
			return fmt.Errorf("SRT parameter %s=%s: only %v is supported", name, v, !on)
		}
		return nil
	}
	s.ignored = append(s.ignored, name)
	return nil
}

// textParameters return what is accepted if a value is not.
var textParameters = map[string]func(s *settings, v string) string{
	"streamid": func(s *settings, v string) string {
		if len(v) > maxStreamID {
			return fmt.Sprintf("of at most %d bytes", maxStreamID)
		}
		s.streamID = v
		return ""
	},
	"passphrase": func(s *settings, v string) string {
		if len(v) < minPassphrase || len(v) > maxPassphrase {
			return fmt.Sprintf("of %d to %d characters", minPassphrase, maxPassphrase)
		}
		s.passphrase = v
		return ""
	},
	"pbkeylen": func(s *settings, v string) string {
		switch v {
		case "0":
		case "16", "24", "32":
			s.keyLength, _ = strconv.Atoi(v)
		default:
			return "16, 24 or 32 (bytes)"
		}
		return ""
	},
	"mode": func(s *settings, v string) string {
		switch m := Mode(strings.ToLower(v)); m {
		case Caller, Listener:
			s.mode = m
		case "client":
			s.mode = Caller
		case "server":
			s.mode = Listener
		default:
			return "caller or listener"
		}
		return ""
	},
	"transtype":    only("live"),
	"congestion":   only("live"),
	"packetfilter": only(""),
	"ipv6only": func(s *settings, v string) string {
		switch v {
		case "-1", "0", "1":
			s.ipv6Only = v == "1"
			return ""
		}
		return "-1, 0 or 1"
	},
	"minversion": func(*settings, string) string { return "" },
}

func only(accepted string) func(*settings, string) string {
	return func(_ *settings, v string) string {
		switch {
		case v == accepted:
			return ""
		case accepted == "":
			return "empty: this is not supported"
		}
		return accepted + ": other values are not supported"
	}
}

type number struct {
	min, max int64
	set      func(s *settings, n int64)
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

var numbers = map[string]number{
	"latency": {0, maxLatencyMS, func(s *settings, n int64) {
		s.receiveLatency, s.sendLatency = ms(n), ms(n)
	}},
	"rcvlatency":    {0, maxLatencyMS, func(s *settings, n int64) { s.receiveLatency = ms(n) }},
	"peerlatency":   {0, maxLatencyMS, func(s *settings, n int64) { s.sendLatency = ms(n) }},
	"conntimeo":     {1, maxTimeoutMS, func(s *settings, n int64) { s.connectTimeout = ms(n) }},
	"peeridletimeo": {1, maxTimeoutMS, func(s *settings, n int64) { s.idleTimeout = ms(n) }},
	"mss":           {232, 1500, func(s *settings, n int64) { s.mtu = int(n); s.payload = min(s.payload, s.mtu-44) }},
	"payloadsize":   {188, 1456, func(s *settings, n int64) { s.payload = int(n) }},
	"pkt_size":      {188, 1456, func(s *settings, n int64) { s.payload = int(n) }},
	"fc":            {256, 1 << 31, func(s *settings, n int64) { s.window = int(min(n, maxWindow)) }},
	"kmrefreshrate": {0, 1 << 31, func(s *settings, n int64) { s.keyRefresh = int(n) }},
	"kmpreannounce": {0, 1 << 30, func(s *settings, n int64) { s.keyPreAnnounce = int(n) }},
	"iptos":         {0, 255, func(s *settings, n int64) { s.tos = int(n) }},
	"ipttl":         {1, 255, func(s *settings, n int64) { s.ttl = int(n) }},

	// These only matter to other implementations: there is no bandwidth limit here, and
	// buffers take what they need.
	"inputbw":        unused,
	"mininputbw":     unused,
	"maxbw":          unused,
	"oheadbw":        {5, 100, func(*settings, int64) {}},
	"lossmaxttl":     unused,
	"rcvbuf":         unused,
	"sndbuf":         unused,
	"snddropdelay":   unused,
	"groupstabtimeo": unused,
}

var unused = number{-1, 1 << 50, func(*settings, int64) {}}

// What may be switched.
const (
	either = iota
	alwaysOn
	alwaysOff
)

var switches = map[string]int{
	"drifttracer":        either,
	"enforcedencryption": alwaysOn,
	"groupconnect":       alwaysOff,
	"messageapi":         either,
	"nakreport":          alwaysOn,
	"tlpktdrop":          alwaysOn,
	"tsbpdmode":          alwaysOn,
}

func parseBool(v string) (on, ok bool) {
	switch strings.ToLower(v) {
	case "yes", "on", "true", "1":
		return true, true
	case "no", "off", "false", "0":
		return false, true
	}
	return false, false
}

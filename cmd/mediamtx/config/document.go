package config

import (
	"slices"
	"strings"
)

// Document is everything that a user can configure, defaults included. The
// meaning of each key is written beside it in mediamtx.yml.
//
// Tags of the fields: check names the rule that values obey (checks.go), secret
// keeps values out of messages, and later marks keys whose function is not in
// force yet.
type Document struct {
	Global

	// PathDefaults are the values of the keys that a path does not set.
	PathDefaults Path `json:"pathDefaults" koanf:"pathDefaults"`

	// Paths by name, by regular expression ("~^cam[0-9]+$") or "all_others".
	Paths map[string]Path `json:"paths" koanf:"paths"`
}

// Default returns the document of an empty file: all defaults, no paths.
func Default() *Document {
	return &Document{Global: defaultGlobal(), PathDefaults: defaultPath(), Paths: map[string]Path{}}
}

// User may do what its permissions say.
type User struct {
	// User is the name, plain or hashed (sha256:, argon2:). "any" is everybody.
	User string `json:"user" koanf:"user" secret:"true"`
	// Pass is the password, plain or hashed. Empty
	// means the empty password.
	Pass string `json:"pass" koanf:"pass" secret:"true"`
	// IPs restricts where the user comes from. Empty means anywhere.
	IPs []IPNetwork `json:"ips" koanf:"ips"`
	// Permissions of the user.
	Permissions []Permission `json:"permissions" koanf:"permissions"`
}

// Webhook is a URL that is told about events.
type Webhook struct {
	// URL that is called, http or https.
	URL string `json:"url" koanf:"url" secret:"url" check:"httpURL"`
	// Events are the types of events to tell. Empty means all.
	Events []string `json:"events" koanf:"events"`
	// Secret signs what is sent.
	Secret string `json:"secret" koanf:"secret" secret:"true"`
}

// Permission allows an action on a path.
type Permission struct {
	Action Action `json:"action" koanf:"action"`
	// Path is a name or, with a leading tilde, a regular expression. Empty means
	// any path.
	Path string `json:"path" koanf:"path"`
}

// ICEServer helps WebRTC peers to find each other.
type ICEServer struct {
	URL        string `json:"url" koanf:"url" secret:"url"`
	Username   string `json:"username" koanf:"username"`
	Password   string `json:"password" koanf:"password" secret:"true"`
	ClientOnly bool   `json:"clientOnly" koanf:"clientOnly"`
}

// OfflineTrack is a track of a stream that is always available.
type OfflineTrack struct {
	Codec        OfflineCodec `json:"codec" koanf:"codec"`
	SampleRate   int          `json:"sampleRate" koanf:"sampleRate" check:"notNegative"`
	ChannelCount int          `json:"channelCount" koanf:"channelCount" check:"notNegative"`
	MuLaw        bool         `json:"muLaw" koanf:"muLaw"`
}

// legacyPath holds deprecated keys of a path that have no successor with the
// same meaning, so that they keep working.
type legacyPath struct {
	// Fallback is where readers are sent while nobody publishes.
	Fallback string `json:"fallback,omitempty" koanf:"fallback" secret:"url"`

	// Credentials of a path. They become an authenticator of that path.
	PublishUser string      `json:"-" koanf:"publishUser" secret:"true"`
	PublishPass string      `json:"-" koanf:"publishPass" secret:"true"`
	PublishIPs  []IPNetwork `json:"-" koanf:"publishIPs"`
	ReadUser    string      `json:"-" koanf:"readUser" secret:"true"`
	ReadPass    string      `json:"-" koanf:"readPass" secret:"true"`
	ReadIPs     []IPNetwork `json:"-" koanf:"readIPs"`

	// Receive buffers of UDP sources; the successor is global.
	RTSPUDPReadBufferSize   int `json:"-" koanf:"rtspUDPReadBufferSize" check:"notNegative"`
	MPEGTSUDPReadBufferSize int `json:"-" koanf:"mpegtsUDPReadBufferSize" check:"notNegative"`
	RTPUDPReadBufferSize    int `json:"-" koanf:"rtpUDPReadBufferSize" check:"notNegative"`
}

// hasCredentials tells whether the path has credentials of its own.
func (p *Path) hasCredentials() bool {
	return p.PublishUser != "" || p.PublishPass != "" || len(p.PublishIPs) > 0 ||
		p.ReadUser != "" || p.ReadPass != "" || len(p.ReadIPs) > 0
}

// pathNames returns the names of the paths in the order in which they are
// built: exact names, regular expressions, the catch-all.
func (d *Document) pathNames() []string {
	names := make([]string, 0, len(d.Paths))
	for n := range d.Paths {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if ra, rb := nameRank(a), nameRank(b); ra != rb {
			return ra - rb
		}
		return strings.Compare(a, b)
	})
	return names
}

func nameRank(name string) int {
	switch {
	case isCatchAll(name):
		return 2
	case strings.HasPrefix(name, "~"):
		return 1
	}
	return 0
}

// isCatchAll tells the names that mean "every other path".
func isCatchAll(name string) bool {
	return name == "all_others" || name == "all" || name == "~^.*$"
}

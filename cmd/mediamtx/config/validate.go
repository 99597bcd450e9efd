package config

import (
	"net"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router/hook"
)

// validator checks a document that was decoded: the rule of each value, then
// how values fit together.
type validator struct {
	*decoder
	doc *Document
}

func (v *validator) document() {
	v.rules(reflect.ValueOf(&v.doc.Global).Elem(), nil, false)
	v.rules(reflect.ValueOf(&v.doc.PathDefaults).Elem(), keyPath{"pathDefaults"}, false)
	v.rtsp()
	v.users()
	v.iceServers()
	v.webhooks()
	v.values(keyPath{"pathDefaults"}, &v.doc.PathDefaults, func(string) bool { return true })
	if n := v.doc.PathDefaults.Name; n != "" {
		v.fail(keyPath{"pathDefaults", "name"}, n, "must be empty: only paths have names")
	}
	v.paths()
	if len(*v.problems) == 0 {
		v.plugins()
	}
}

// fail reports a value.
func (v *validator) fail(p keyPath, value, msg string) {
	f := &field{}
	if len(p) > 0 {
		for _, t := range []reflect.Type{typeOf[Document](), typeOf[Path](), typeOf[User]()} {
			if known := schemaOf(t).byKey[p[len(p)-1]]; known != nil && known.secret != "" {
				f = known
			}
		}
	}
	v.bad(p, f, value, msg)
}

// rules applies the rules of the keys of a struct. If own is set, only to those
// that were set there: the others were checked where they come from.
func (v *validator) rules(s reflect.Value, at keyPath, own bool) {
	for _, f := range schemaOf(s.Type()).fields {
		p := at.with(f.key)
		if own && !v.isSet(p) {
			continue
		}
		fv := s.FieldByIndex(f.index)
		if fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct && !isText(fv.Type().Elem()) {
			for i := range fv.Len() {
				v.rules(fv.Index(i), p.with(strconv.Itoa(i)), false)
			}
			continue
		}
		if err := checkValue(f.check, fv); err != nil {
			shown, _ := toTree(fv).(string)
			if l, ok := toTree(fv).([]any); ok {
				shown = join(l)
			}
			v.bad(p, &f, shown, err.Error())
		}
	}
}

func join(l []any) string {
	s := make([]string, len(l))
	for i, e := range l {
		s[i], _ = e.(string)
	}
	return strings.Join(s, ", ")
}

// isSet tells whether a key was written somewhere.
func (v *validator) isSet(p keyPath) bool {
	_, ok := v.origins[p.id()]
	return ok
}

// rtsp checks how the keys of the RTSP server fit together.
func (v *validator) rtsp() {
	d := v.doc
	if len(d.RTSPTransports) == 0 && d.RTSP {
		v.problems.add(v.at(keyPath{"rtspTransports"}), "rtspTransports: must hold at least one of udp, multicast, tcp")
	}
	if len(d.RTSPAuthMethods) == 0 && d.RTSP {
		v.problems.add(v.at(keyPath{"rtspAuthMethods"}), "rtspAuthMethods: must hold at least one of basic, digest")
	}
	if len(d.LogDestinations) == 0 {
		v.problems.add(v.at(keyPath{"logDestinations"}), "logDestinations: must hold at least one of stdout, file, syslog")
	}
	v.portPair("rtpAddress", d.RTPAddress, "rtcpAddress", d.RTCPAddress)
	v.portPair("srtpAddress", d.SRTPAddress, "srtcpAddress", d.SRTCPAddress)
	pairs := []struct {
		key1 string
		n1   int
		key2 string
		n2   int
	}{
		{"multicastRTPPort", d.MulticastRTPPort, "multicastRTCPPort", d.MulticastRTCPPort},
		{"multicastSRTPPort", d.MulticastSRTPPort, "multicastSRTCPPort", d.MulticastSRTCPPort},
	}
	for _, p := range pairs {
		v.pair(p.key1, strconv.Itoa(p.n1), p.n1, p.key2, strconv.Itoa(p.n2), p.n2)
	}
}

func (v *validator) portPair(key1, addr1, key2, addr2 string) {
	_, p1, err1 := net.SplitHostPort(addr1)
	_, p2, err2 := net.SplitHostPort(addr2)
	n1, ok1 := parsePort(p1)
	n2, ok2 := parsePort(p2)
	if err1 != nil || err2 != nil || !ok1 || !ok2 {
		return // reported already
	}
	if n1 == 0 && n2 == 0 {
		return // the system chooses both
	}
	v.pair(key1, addr1, n1, key2, addr2, n2)
}

// pair requires an even port for RTP, followed by that of RTCP (RFC 3550
// section 11).
func (v *validator) pair(key1, shown1 string, n1 int, key2, shown2 string, n2 int) {
	if n1%2 != 0 {
		v.bad(keyPath{key1}, nil, shown1, "must have an even port")
		return
	}
	if n2 == n1+1 {
		return
	}
	// Blame the one that was written.
	if v.isSet(keyPath{key1}) && !v.isSet(keyPath{key2}) {
		v.bad(keyPath{key1}, nil, shown1, "its port must be the one before that of "+key2+" "+quote(shown2))
		return
	}
	v.bad(keyPath{key2}, nil, shown2, "its port must be the one after that of "+key1+" "+quote(shown1))
}

// users checks authInternalUsers, the exclusions, and what each method needs.
func (v *validator) users() {
	d := v.doc
	at := keyPath{"authInternalUsers"}
	hashed := false
	for i, u := range d.AuthInternalUsers {
		p := at.with(strconv.Itoa(i))
		if u.User == "" {
			v.fail(p.with("user"), "", "must be a name, or any")
		}
		if u.User == "any" && u.Pass != "" {
			v.fail(p.with("pass"), u.Pass, `must be empty if the user is "any"`)
		}
		v.credential(p.with("user"), u.User)
		v.credential(p.with("pass"), u.Pass)
		hashed = hashed || isHashed(u.User) || isHashed(u.Pass)
		v.permissions(p.with("permissions"), u.Permissions)
	}
	if hashed && len(d.RTSPAuthMethods) == 1 && d.RTSPAuthMethods[0] == "digest" {
		v.bad(keyPath{"rtspAuthMethods"}, nil, "digest", "must include basic, since credentials in authInternalUsers are hashed")
	}
	v.permissions(keyPath{"authHTTPExclude"}, d.AuthHTTPExclude)
	v.permissions(keyPath{"authJWTExclude"}, d.AuthJWTExclude)
	switch {
	case d.AuthMethod != "internal" && len(d.RTSPAuthMethods) == 1 && d.RTSPAuthMethods[0] == "digest":
		v.bad(keyPath{"rtspAuthMethods"}, nil, "digest", "must include basic, since authMethod is "+string(d.AuthMethod)+" and needs the passwords themselves")
	case d.AuthMethod == "http" && d.AuthHTTPAddress == "":
		v.bad(keyPath{"authMethod"}, nil, "http", "authHTTPAddress must be set too")
	case d.AuthMethod == "jwt" && d.AuthJWTJWKS == "":
		v.bad(keyPath{"authMethod"}, nil, "jwt", "authJWTJWKS must be set too")
	}
}

func isHashed(s string) bool {
	return strings.HasPrefix(s, "sha256:") || strings.HasPrefix(s, "argon2:")
}

func (v *validator) credential(p keyPath, s string) {
	if err := auth.CheckPassword(s); err != nil {
		v.fail(p, s, "must be plain text or a valid hash: "+err.Error())
	}
}

func (v *validator) permissions(at keyPath, l []Permission) {
	for i, perm := range l {
		p := at.with(strconv.Itoa(i))
		if perm.Action == "" {
			v.problems.add(v.at(p), "%s: action must be publish, read, playback, api, metrics or pprof", p)
		}
		if expr, ok := strings.CutPrefix(perm.Path, "~"); ok {
			if _, err := regexp.Compile(expr); err != nil {
				v.fail(p.with("path"), perm.Path, "must be a valid regular expression")
			}
		}
	}
}

// iceServers asks the WebRTC server, whose clients get the credentials too.
func (v *validator) iceServers() {
	for i, s := range v.doc.WebRTCICEServers2 {
		at := keyPath{"webrtcICEServers2", strconv.Itoa(i)}
		server := webrtc.ICEServer{URL: s.URL, Username: "u", Password: "p"}
		if err := server.Validate(); err != nil {
			v.bad(at.with("url"), &field{secret: "url"}, s.URL, reason(err))
			continue
		}
		server.Username, server.Password = s.Username, s.Password
		if err := server.Validate(); err != nil {
			v.bad(at.with("username"), nil, s.Username, reason(err))
		}
	}
}

// webhooks checks the list of webhooks.
func (v *validator) webhooks() {
	for i, w := range v.doc.Webhooks {
		at := keyPath{"webhooks", strconv.Itoa(i)}
		if w.URL == "" {
			v.bad(at.with("url"), nil, "", "must not be empty")
		}
		for n, e := range w.Events {
			if !slices.Contains(hook.Types(), e) {
				v.bad(at.with("events", strconv.Itoa(n)), nil, e, "must be one of "+strings.Join(hook.Types(), ", "))
			}
		}
	}
}

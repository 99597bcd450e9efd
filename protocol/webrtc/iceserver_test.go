package webrtc

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestICEServerValidate(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"stun:stun.example.com":                 true,
		"stun:stun.example.com:3478":            true,
		"stuns:10.0.0.1:5349":                   true,
		"stun:[::1]:3478":                       true,
		"turn:turn.example.com:3478":            true,
		"turns:turn.example.com?transport=tcp":  true,
		"turn:turn.example.com:1?transport=udp": true,
		"":                                      false,
		"stun:":                                 false,
		"http://example.com":                    false,
		"stun://example.com":                    false,
		"stun:example.com:0":                    false,
		"stun:example.com:99999":                false,
		"stun:example.com?transport=udp":        false,
		"turn:example.com?transport=sctp":       false,
		"turn:exa mple.com":                     false,
		"turn:a>;rel=x":                         false,
		"turn:user:pa55@example.com":            false,
		"stun:::1":                              false,
		"stun:[::1":                             false,
	} {
		err := (ICEServer{URL: url, Username: "u", Password: "p"}).Validate()
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "pa55") {
			t.Errorf("%q: a password is in the error: %v", url, err)
		}
	}
	for _, s := range []ICEServer{{URL: "turn:h"}, {URL: "turn:h", Username: "u"}, {URL: "turn:h", Username: "u\n", Password: "x"}} {
		if s.Validate() == nil {
			t.Errorf("%#v is accepted", s)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	now := time.Unix(1700000000, 0)
	got := links([]ICEServer{
		{URL: "stun:s:1"},
		{URL: "turn:t:2?transport=tcp", Username: `u"\`, Password: "p"},
		{URL: "turns:t", Username: AuthSecret, Password: "secret", ClientOnly: true},
	}, now)
	if got[0] != `<stun:s:1>; rel="ice-server"` {
		t.Error(got[0])
	}
	if got[1] != `<turn:t:2?transport=tcp>; rel="ice-server"; username="u\"\\"; credential="p"; credential-type="password"` {
		t.Error(got[1])
	}
	rest, ok := strings.CutPrefix(got[2], `<turns:t>; rel="ice-server"; username="`)
	user, rest, _ := strings.Cut(rest, `"`)
	expiry, random, _ := strings.Cut(user, ":")
	if n, err := strconv.ParseInt(expiry, 10, 64); !ok || err != nil || n != now.Add(secretLife).Unix() || len(random) < 8 {
		t.Errorf("user name %q", user)
	}
	mac := hmac.New(sha1.New, []byte("secret"))
	mac.Write([]byte(user))
	if want := `; credential="` + base64.StdEncoding.EncodeToString(mac.Sum(nil)) + `"; credential-type="password"`; rest != want {
		t.Errorf("got %s, want %s", rest, want)
	}
	own := ownServers([]ICEServer{{URL: "stun:s"}, {URL: "turn:t", Username: AuthSecret, Password: "secret"}, {URL: "stun:c", ClientOnly: true}}, now)
	if len(own) != 2 || own[1].Username == AuthSecret || own[1].Password == "secret" {
		t.Errorf("own servers: %v", own)
	}
}

func TestICEServersHideSecrets(t *testing.T) {
	t.Parallel()
	s := ICEServer{URL: "turn:t", Username: "u", Password: "pa55"}
	for _, text := range []string{fmt.Sprintf("%v", s), fmt.Sprintf("%+v", []ICEServer{s}), fmt.Sprintf("%#v", s), fmt.Sprintf("%+v", Server{ICEServers: []ICEServer{s}})} {
		if strings.Contains(text, "pa55") {
			t.Error(text)
		}
	}
}

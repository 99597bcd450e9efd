package rtmpconn

import (
	"crypto/md5" //nolint:gosec // the protocol is made of it
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// Clients with credentials in their URL log in by a challenge of Adobe's: the
// server refuses the connection three times, each with another text, and the
// client connects again with more parameters in its application.
const (
	adobeMethod  = "authmod=adobe"
	adobeNeeded  = "code=403 need auth; " + adobeMethod
	adobeAskMore = adobeMethod + " ?reason=needauth&user="
)

// ErrChallenged tells that the client was asked for credentials, and will connect again.
var ErrChallenged = errors.New("the client was asked for its credentials")

var adobeParams = []string{"authmod", "user", "challenge", "response", "opaque", "salt", "nonce", "nc"}

// adobeQuery reads a query whose values are not URL-encoded.
func adobeQuery(q string) map[string]string {
	out := map[string]string{}
	for kv := range strings.SplitSeq(q, "&") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			out[strings.TrimLeft(k, "?")] = v
		}
	}
	return out
}

// stripAdobe removes the parameters of the challenge from a query.
func stripAdobe(q string) string {
	if !strings.Contains(q, adobeMethod) {
		return q
	}
	q = strings.ReplaceAll(q, "?"+adobeMethod, "&"+adobeMethod) // clients append it so to any query
	var keep []string
	for kv := range strings.SplitSeq(q, "&") {
		k, _, _ := strings.Cut(kv, "=")
		if !slices.Contains(adobeParams, k) {
			keep = append(keep, kv)
		}
	}
	return strings.Join(keep, "&")
}

// adobeResponse is what a client that knows the password answers. Base64 of MD5,
// as the protocol has it.
func adobeResponse(user, pass, salt, serverChallenge, clientChallenge string) string {
	h := func(s string) string {
		sum := md5.Sum([]byte(s)) //nolint:gosec // the protocol is made of it
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	return h(h(user+salt+pass) + serverChallenge + clientChallenge)
}

// AdobeUser returns the user who answers a challenge, and a function that tells
// whether a plain password is the right one; ok is false if the client does not
// take part. The challenge is made of secret, which must be the same for all
// connections of a server.
func (s *Server) AdobeUser(secret string) (user string, verify func(user, pass string) bool, ok bool) {
	q := s.adobe()
	user, challenge, response := q["user"], q["challenge"], q["response"]
	if user == "" || challenge == "" || response == "" {
		return "", nil, false
	}
	return user, func(name, pass string) bool {
		want := adobeResponse(user, pass, adobeSalt(secret, user), adobeSalt(secret, "?"+user), challenge)
		return name == user && subtle.ConstantTimeCompare([]byte(want), []byte(response)) == 1
	}, true
}

// adobe returns the parameters of a client that takes part in a challenge.
func (s *Server) adobe() map[string]string {
	for _, v := range []string{s.TcURL, s.App} {
		if _, q := cutQuery(v); strings.Contains(q, adobeMethod) {
			return adobeQuery(q)
		}
	}
	return nil
}

// Challenge takes the client a step further if it has begun to log in by
// challenge, or, if ask is set, if it has sent no credentials in its connect
// command. It returns [ErrChallenged] if the client must connect again.
func (s *Server) Challenge(secret string, ask bool) error {
	q := s.adobe()
	switch {
	case q == nil && ask && s.Target("").anonymous():
		return errOr(s.RejectConnect(adobeNeeded), ErrChallenged)
	case q == nil || q["response"] != "":
		return nil
	case q["user"] == "":
		return errOr(s.RejectConnect(adobeNeeded), ErrChallenged)
	}
	user := q["user"]
	return errOr(s.RejectConnect(adobeAskMore+user+"&salt="+adobeSalt(secret, user)+
		"&challenge="+adobeSalt(secret, "?"+user)), ErrChallenged)
}

func (t Target) anonymous() bool { return t.User == "" && t.Pass == "" && t.Token == "" }

// adobeSalt makes a text that looks random and is always the same for a user.
func adobeSalt(secret, user string) string {
	sum := md5.Sum([]byte(secret + user)) //nolint:gosec // no more than a nonce
	return hex.EncodeToString(sum[:4])
}

// NewSecret returns what the challenges of a server are made of.
func NewSecret() string { return rand.Text() }

// login is the state of logging in by challenge.
type login struct {
	step            int
	salt, challenge string
	opaque          bool // the challenge is to be sent back
}

// params are what the connect command gets in this step.
func (l *login) params(u *URL) string {
	switch l.step {
	case 0:
		return ""
	case 1:
		return adobeMethod + "&user=" + u.User
	}
	own := strings.ToLower(rand.Text()[:8])
	p := adobeMethod + "&user=" + u.User + "&challenge=" + own +
		"&response=" + adobeResponse(u.User, u.Pass, l.salt, l.challenge, own)
	if l.opaque {
		p += "&opaque=" + l.challenge
	}
	return p
}

// challenged looks whether an error is a step of a challenge.
func (l *login) challenged(u *URL, answer *Command, err error) error {
	text, _ := answer.object(1).GetString("description")
	if !strings.Contains(text, adobeMethod) {
		return err
	}
	_, params, _ := strings.Cut(text, "?")
	q := adobeQuery(params)
	switch {
	case u.User == "":
		return errors.New("the server asks for credentials, and the URL has none")
	case l.step >= 2 || q["reason"] == "authfailed" || q["reason"] == "nosuchuser":
		return errLogin
	case l.step == 1:
		l.salt = q["salt"]
		if l.challenge = q["challenge"]; q["opaque"] != "" {
			l.challenge, l.opaque = q["opaque"], true
		}
	}
	l.step++
	return ErrChallenged
}

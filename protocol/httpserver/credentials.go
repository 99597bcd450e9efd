package httpserver

import (
	"net/http"
	"net/url"
	"strings"
)

// Credentials are what a client presents. At most one of the pair and the token
// is set.
type Credentials struct {
	User, Pass string
	Token      string // bearer token, usually a JWT
}

// CredentialsOf reads the Authorization header:
//
//	Authorization: Basic base64(USER:PASS)
//	Authorization: Bearer USER:PASS
//	Authorization: Bearer TOKEN
//
// Without one, and if queryToken allows it, the token is taken from the query
// parameter "jwt" or "token". Note that queries end up in the logs of proxies
// and in the history of browsers.
func CredentialsOf(r *http.Request, queryToken bool) Credentials {
	if user, pass, ok := r.BasicAuth(); ok {
		return Credentials{User: user, Pass: pass}
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if value = strings.TrimSpace(value); strings.EqualFold(scheme, "Bearer") && value != "" {
		if user, pass, ok := strings.Cut(value, ":"); ok { // no token holds a colon
			return Credentials{User: user, Pass: pass}
		}
		return Credentials{Token: value}
	}
	if !queryToken || r.URL.RawQuery == "" {
		return Credentials{}
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Credentials{}
	}
	if t := q.Get("jwt"); t != "" {
		return Credentials{Token: t}
	}
	return Credentials{Token: q.Get("token")}
}

// AskCredentials answers 401 and makes browsers show their dialogue.
func AskCredentials(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="mediamtx"`)
	http.Error(w, "authentication error", http.StatusUnauthorized)
}

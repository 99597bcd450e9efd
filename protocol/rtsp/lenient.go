package rtsp

import (
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
)

// What clients send and the library does not understand.

// knownTransports leaves out what nobody knows of the transports that a client
// offers: the library would refuse all of them. Profiles may be written in small
// letters. If none is known, it is one that the library answers with 461 in place of
// 400.
func (sv *server) knownTransports(offer base.HeaderValue) base.HeaderValue {
	if len(offer) != 1 {
		return offer
	}
	var known []string
	foreign := false
	for th := range strings.SplitSeq(offer[0], ",") {
		spec, params, _ := strings.Cut(strings.TrimSpace(th), ";")
		spec = strings.ToUpper(strings.TrimSpace(spec))
		switch spec {
		case "RTP/AVP", "RTP/AVP/UDP", "RTP/AVP/TCP", "RTP/SAVP", "RTP/SAVP/UDP", "RTP/SAVP/TCP":
			known = append(known, spec+";"+params)
		default:
			foreign = foreign || strings.Contains(spec, "/")
		}
	}
	switch {
	case len(known) > 0:
		return base.HeaderValue{strings.Join(known, ",")}
	case !foreign:
		return offer // it is no transport at all
	case sv.secure:
		return base.HeaderValue{"RTP/AVP;unicast"} // without encryption
	}
	return base.HeaderValue{"RTP/SAVP;unicast"} // its keys would not be secret
}

// wholeServer makes "*" a URL, in requests that do not need one.
func wholeServer(req *base.Request) {
	if req.URL == nil {
		req.URL = &base.URL{Scheme: "rtsp", Path: "/"}
	}
}

// cleanBase makes the base of the URLs of tracks from what the library says, which
// adds a slash to the URL of the request, even to one that ends with a slash: then
// tracks would belong to a path whose name ends with it.
func cleanBase(url string) string {
	path, query, ok := strings.Cut(url, "?")
	path = strings.TrimRight(path, "/")
	if ok {
		return path + "?" + query
	}
	return path + "/"
}

// forgetStale takes credentials out of a request that were made with a nonce of
// another connection: they tell nothing about the password, and the client must get
// the present nonce (RFC 2617 section 3.2.1).
func (cs *connState) forgetStale(req *base.Request) {
	cs.stale = false
	v := req.Header["Authorization"]
	var h headers.Authorization
	if len(v) == 0 || h.Unmarshal(v) != nil || h.Method != headers.AuthMethodDigest || h.Nonce == cs.nonce {
		return
	}
	delete(req.Header, "Authorization")
	cs.stale = true
}

// challenge remembers the nonce that a response holds, and tells the client whether
// only that was wrong.
func (cs *connState) challenge(res *base.Response) {
	list := res.Header["WWW-Authenticate"]
	for i, v := range list {
		var h headers.Authenticate
		if h.Unmarshal(base.HeaderValue{v}) != nil || h.Method != headers.AuthMethodDigest {
			continue
		}
		cs.nonce = h.Nonce
		if cs.stale {
			list[i] = v + `, stale="TRUE"`
		}
	}
}

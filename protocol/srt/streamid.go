package srt

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/org/mtx/router"
)

// streamID is what a caller asks for. It holds secrets: only path is for logs.
type streamID struct {
	action            router.Action
	path, query       string
	user, pass, token string
}

// standardPrefix marks the syntax of libsrt (SRT Access Control Guidelines).
const standardPrefix = "#!::"

// errMode is about what is asked for; other errors are about the form.
var errMode = errors.New("the mode of the stream id must be request or publish")

// parseStreamID understands
//
//	read:PATH[:QUERY]
//	read:PATH:USER:PASS[:QUERY]
//
// and publish in place of read, and the standard syntax
//
//	#!::m=publish,r=PATH,u=USER,s=PASS
//
// where m is request (the default) or publish, h and t are ignored, and other
// keys become the query; jwt and token among them are tokens. Errors hold
// nothing of the stream id, which may be a secret at any place.
//
// Some clients send what was written in a URL as it is, with %23 in place of #.
func parseStreamID(s string) (*streamID, error) {
	if strings.HasPrefix(s, "%23!") || !strings.Contains(s, ":") {
		if plain, err := url.PathUnescape(s); err == nil {
			s = plain
		}
	}
	var id *streamID
	var err error
	if rest, ok := strings.CutPrefix(s, standardPrefix); ok {
		id, err = parseStandard(rest)
	} else {
		id, err = parseCustom(s)
	}
	if err != nil {
		return nil, err
	}
	if id.path == "" {
		return nil, errors.New("the stream id names no path")
	}
	id.fromQuery()
	return id, nil
}

func parseCustom(s string) (*streamID, error) {
	if s == "" {
		return nil, errors.New("there is no stream id: it must be read:PATH or publish:PATH")
	}
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 5 {
		return nil, fmt.Errorf("the stream id has %d parts: it must be ACTION:PATH[:QUERY] or ACTION:PATH:USER:PASS[:QUERY]", len(parts))
	}
	id := &streamID{path: parts[1]}
	switch parts[0] {
	case "read":
		id.action = router.ActionRead
	case "publish":
		id.action = router.ActionPublish
	default:
		return nil, errors.New("the action of the stream id must be read or publish")
	}
	switch len(parts) {
	case 3:
		id.query = parts[2]
	case 4:
		id.user, id.pass = parts[2], parts[3]
	case 5:
		id.user, id.pass, id.query = parts[2], parts[3], parts[4]
	}
	return id, nil
}

func parseStandard(s string) (*streamID, error) {
	id := &streamID{action: router.ActionRead}
	var query []string
	for kv := range strings.SplitSeq(s, ",") {
		if kv == "" { // behind the last comma
			continue
		}
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, errors.New("the stream id must consist of KEY=VALUE, separated by commas")
		}
		switch k {
		case "u":
			id.user = v
		case "s":
			id.pass = v
		case "r":
			id.path = v
		case "h", "t": // the host, and the type of the transmission
		case "m":
			switch v {
			case "request":
				id.action = router.ActionRead
			case "publish":
				id.action = router.ActionPublish
			default:
				return nil, errMode
			}
		default:
			query = append(query, url.QueryEscape(k)+"="+url.QueryEscape(v))
		}
	}
	id.query = strings.Join(query, "&")
	return id, nil
}

// fromQuery takes credentials from the query, where other protocols have them.
func (id *streamID) fromQuery() {
	q, err := url.ParseQuery(id.query)
	if err != nil {
		return
	}
	if id.user == "" && id.pass == "" {
		id.user, id.pass = q.Get("user"), q.Get("pass")
	}
	if id.token = q.Get("jwt"); id.token == "" {
		id.token = q.Get("token")
	}
}

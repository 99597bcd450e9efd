package srt

import (
	"strings"
	"testing"

	"github.com/org/mtx/router"
)

func TestParseStreamID(t *testing.T) {
	t.Parallel()
	const read, publish = router.ActionRead, router.ActionPublish
	for _, ca := range []struct {
		in   string
		want streamID
	}{
		{"read:a/b", streamID{action: read, path: "a/b"}},
		{"publish:a", streamID{action: publish, path: "a"}},
		{"read:a:k=v&jwt=t", streamID{action: read, path: "a", query: "k=v&jwt=t", token: "t"}},
		{"read:a:token=t&user=u&pass=p", streamID{action: read, path: "a", query: "token=t&user=u&pass=p", token: "t", user: "u", pass: "p"}},
		{"publish:a:u:p", streamID{action: publish, path: "a", user: "u", pass: "p"}},
		{"publish:a::p", streamID{action: publish, path: "a", pass: "p"}},
		{"publish:a:u:p:user=other", streamID{action: publish, path: "a", user: "u", pass: "p", query: "user=other"}},
		{"#!::r=a", streamID{action: read, path: "a"}},
		{"#!::m=request,r=a:b/c,u=u,s=p=q", streamID{action: read, path: "a:b/c", user: "u", pass: "p=q"}},
		{"#!::h=host,t=stream,m=publish,r=a", streamID{action: publish, path: "a"}},
		{"#!::r=a,token=t,k=v w", streamID{action: read, path: "a", query: "token=t&k=v+w", token: "t"}},
		{"#!::r=a,,m=publish,", streamID{action: publish, path: "a"}},
		{"%23!::r=a,m=publish,s=p%25", streamID{action: publish, path: "a", pass: "p%"}},
		{"publish%3Aa%3Au%3Ap", streamID{action: publish, path: "a", user: "u", pass: "p"}},
		{"publish:a:u:p%3A", streamID{action: publish, path: "a", user: "u", pass: "p%3A"}},
	} {
		got, err := parseStreamID(ca.in)
		if err != nil || *got != ca.want {
			t.Errorf("%q: %+v, %v", ca.in, got, err)
		}
	}
	for _, in := range []string{
		"", "a", "read", "read:", ":a", "Read:a", "read:a:b:c:d:e", "#!::", "#!::m=publish", "#!::r", "#!::=x,r=a", "#!::m=both,r=a", "#!:{r=a}",
		"secretword:a", "read:a:b:c:secretword:e", "#!::,", "%23!::", "%zz", "secretword%3Aa",
	} {
		got, err := parseStreamID(in)
		if err == nil {
			t.Errorf("%q: %+v", in, got)
		} else if strings.Contains(err.Error(), "secretword") {
			t.Errorf("%q: the error holds it: %v", in, err)
		}
	}
}

func FuzzParseStreamID(f *testing.F) {
	for _, s := range []string{"read:a", "publish:a:u:p:q=1", "#!::m=publish,r=a,u=u,s=p", "#!::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := parseStreamID(s)
		if err == nil && (id.path == "" || id.action != router.ActionRead && id.action != router.ActionPublish) {
			t.Errorf("%q: %+v", s, id)
		}
	})
}

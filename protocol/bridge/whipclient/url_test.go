package whipclient

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		o    Options
		want string
	}{
		{Options{URL: "whep://host/a"}, ""},
		{Options{URL: "wheps://user:pass@[::1]:8889/a?b=c", Fingerprint: strings.Repeat("aB:", 31) + "cd"}, ""},
		{Options{URL: "whep://$G1:$G2/$MTX_QUERY"}, ""},
		{Options{Protocol: WHIP, URL: "whips://host"}, ""},
		{Options{URL: "http://u:s3cret@host/$G1"}, `the scheme of the URL is "http": it must be whep or wheps`},
		{Options{URL: "whip://host"}, `the scheme of the URL is "whip": it must be whep or wheps`},
		{Options{Protocol: WHIP, URL: "whep://host"}, `the scheme of the URL is "whep": it must be whip or whips`},
		{Options{URL: "s3cret:1234@host/x"}, `the scheme of the URL is "": it must be whep or wheps`},
		{Options{URL: "whep:///s3cret"}, "the URL has no host"},
		{Options{URL: "whep://u:s3cret/x@host"}, "the URL is invalid: invalid port"},
		{Options{}, `the scheme of the URL is "": it must be whep or wheps`},
		{Options{URL: "whep://h", Fingerprint: "12"}, `fingerprint "12": it must be a SHA-256 of 64 hexadecimal digits`},
		{Options{URL: "whep://h", BearerToken: "s3cret\r\nX: y"}, "the bearer token holds a space, a control character or one that is not ASCII"},
		{Options{Protocol: "http", URL: "http://h"}, `protocol "http": it must be whip or whep`},
	} {
		if ca.o.Protocol == "" {
			ca.o.Protocol = WHEP
		}
		got := ""
		if err := ca.o.Validate(); err != nil {
			got = err.Error()
		}
		if got != ca.want {
			t.Errorf("%+v:\ngot  %q\nwant %q", ca.o, got, ca.want)
		}
	}
}

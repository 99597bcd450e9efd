package rtsp

import (
	"bufio"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"

	"github.com/org/mtx/router/routertest"
)

// Clients take the URLs of tracks from Content-Base: users who write a slash at the
// end of a URL must get one that leads to tracks.
func TestSlashAtTheEnd(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	g.publish("s", overTCP, oneVideo())
	for suffix, base1 := range map[string]string{"": "/", "/": "/", "?a=b": "?a=b/", "/?a=b": "?a=b/"} {
		c := g.dial()
		res := c.want(base.StatusOK, base.Describe, g.url("s")+suffix, nil)
		got := strings.Join(res.Header["Content-Base"], "")
		if got != g.url("s")+base1 {
			t.Errorf("%q: base %q, want the path and %q", suffix, got, base1)
		}
		c.want(base.StatusOK, base.Setup, got+"trackID=0", nil, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
		c.want(base.StatusOK, base.Play, got, nil)
	}
}

// Of several transports, those that nobody knows are passed over.
func TestUnknownTransports(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	g.publish("s", overTCP, oneVideo())
	for offer, want := range map[string]base.StatusCode{
		"RTP/AVPF;unicast;client_port=5000-5001,RTP/AVP/TCP;unicast;interleaved=2-3": base.StatusOK,
		"RTP/AVP/TCP;unicast;interleaved=2-3, RAW/RAW/UDP;unicast":                   base.StatusOK,
		"rtp/avp/tcp;unicast;interleaved=2-3":                                        base.StatusOK,
		"RTP/AVPF;unicast;client_port=5000-5001":                                     base.StatusUnsupportedTransport,
		"RAW/RAW/UDP;unicast":                                                        base.StatusUnsupportedTransport,
		"unicast;client_port=5000-5001":                                              base.StatusBadRequest,
	} {
		c := g.dial()
		res := c.want(want, base.Setup, g.url("s")+"/trackID=0", nil, "Transport: "+offer)
		if th := strings.Join(res.Header["Transport"], ""); want == base.StatusOK && !strings.HasPrefix(th, "RTP/AVP/TCP;unicast;interleaved=2-3") {
			t.Errorf("%s: %s", offer, th)
		}
	}
}

// Requests about the whole server are answered, with and without a session.
func TestWholeServer(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	g.publish("s", overTCP, oneVideo())
	c := g.dial()
	c.want(base.StatusOK, base.GetParameter, "*", nil)
	c.want(base.StatusOK, base.SetParameter, "*", nil)
	c.want(base.StatusOK, base.Setup, g.url("s")+"/trackID=0", nil, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
	c.want(base.StatusOK, base.GetParameter, "*", nil)
	c.want(base.StatusOK, base.Teardown, "*", nil)
	routertest.Eventually(t, "the session is over", func() bool { return g.log.Count("session closed") == 1 })
}

func digest(user, pass, nonce, method, uri string) string {
	sum := func(s string) string { b := md5.Sum([]byte(s)); return hex.EncodeToString(b[:]) }
	const realm = "ipcam"
	return fmt.Sprintf("Authorization: Digest username=%q, realm=%q, nonce=%q, uri=%q, response=%q", user, realm, nonce, uri,
		sum(sum(user+":"+realm+":"+pass)+":"+nonce+":"+sum(method+":"+uri)))
}

// Clients that come again with the nonce of their last connection get a new one, and
// are not taken for ones that guess passwords.
func TestStaleNonce(t *testing.T) {
	t.Parallel()
	srv := plainServer()
	srv.AuthMethods = []AuthMethod{Basic, Digest}
	g := newRig(t, authConfig(users("secret")), srv)
	g.as("camera", "cam pass").publish("cam1", overTCP, oneVideo())
	u := g.url("cam1")

	c := g.dial()
	res := c.want(base.StatusUnauthorized, base.Describe, u, nil, digest("reader", "secret", "0123", "DESCRIBE", u))
	nonce, stale := challengeOf(res)
	if nonce == "" || !strings.EqualFold(stale, "true") {
		t.Fatalf("challenge %q", res.Header["WWW-Authenticate"])
	}
	c.want(base.StatusOK, base.Describe, u, nil, digest("reader", "secret", nonce, "DESCRIBE", u))
	if g.log.Count("access denied") != 0 {
		t.Error("an old nonce is taken for a wrong password")
	}

	c = g.dial()
	nonce, stale = challengeOf(c.want(base.StatusUnauthorized, base.Describe, u, nil))
	if stale != "" {
		t.Error("there was no nonce that could be stale")
	}
	c.want(base.StatusUnauthorized, base.Describe, u, nil, digest("reader", "nopass77", nonce, "DESCRIBE", u))
	c.closed()
	routertest.Eventually(t, "a wrong password is logged", func() bool { return g.log.Count("access denied") == 1 })
}

func challengeOf(res *base.Response) (nonce, stale string) {
	for _, v := range res.Header["WWW-Authenticate"] {
		var h headers.Authenticate
		if h.Unmarshal(base.HeaderValue{v}) == nil && h.Method == headers.AuthMethodDigest {
			nonce = h.Nonce
			if h.Stale != nil {
				stale = *h.Stale
			}
		}
	}
	return nonce, stale
}

// The log tells in words what is wrong with a request line, and nothing of a URL.
func TestReasonOfRequestLine(t *testing.T) {
	t.Parallel()
	for rest, want := range map[string]string{
		"RTSP/2.0":                    "invalid request line: the version is RTSP/2.0, RTSP/1.0 is expected",
		"y?pass=s3cret RTSP/1.0":      "invalid request line: after the URL, RTSP/1.0 is expected; a space in a URL is written %20",
		"":                            "invalid request line: after the URL, RTSP/1.0 is expected; a space in a URL is written %20",
		"RTSP/1.00000000000000000000": "invalid request line: after the URL, RTSP/1.0 is expected; a space in a URL is written %20",
	} {
		var req base.Request
		err := req.Unmarshal(bufio.NewReader(strings.NewReader("OPTIONS rtsp://h/x " + rest + "\r\nCSeq: 1\r\n\r\n")))
		if err == nil {
			t.Fatalf("%q is accepted", rest)
		}
		if got := reason(t.Context(), err); got != want {
			t.Errorf("%q: %s", rest, got)
		}
	}
	if got := reason(t.Context(), errors.New("expected 'RTSP/1.0', got [x]")); strings.Contains(got, "[") {
		t.Error(got)
	}
}

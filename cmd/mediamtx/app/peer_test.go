package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/protocol/srt"
	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
	srchls "github.com/org/mtx/source/hls"
	srcrtmp "github.com/org/mtx/source/rtmp"
	srcrtsp "github.com/org/mtx/source/rtsp"
	srcsrt "github.com/org/mtx/source/srt"
	srcwhep "github.com/org/mtx/source/whep"
)

// certificate makes a certificate for 127.0.0.1, and returns its files and its
// fingerprint.
func certificate(t *testing.T) (cert, key, fingerprint string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, priv.Public(), priv)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	sum := sha256.Sum256(der)
	return cert, key, hex.EncodeToString(sum[:])
}

// peer is a router whose sources and forwarders are the clients of a server:
// the path "out" is published, what is pulled arrives in other paths.
type peer struct {
	t *testing.T
	*router.Router
	in *instance
	// fingerprint of the certificate of the server
	fingerprint string
}

func newPeer(t *testing.T, in *instance, fingerprint string) *peer {
	t.Helper()
	p := &peer{t: t, in: in, fingerprint: fingerprint}
	p.Router = routertest.New(t, router.Config{
		Paths:            []router.PathConfig{{Name: "out"}},
		SourceRetryPause: time.Hour, // who is sent away stays away
	})
	pub, err := p.Publish(t.Context(), "out", routertest.SampleTracks())
	if err != nil {
		t.Fatal(err)
	}
	writeSamples(t, pub)
	return p
}

// addr is where the server listens, with the name of the certificate.
func (p *peer) addr(protocol string) string { return p.in.addr(protocol) }

func (in *instance) addr(protocol string) string {
	addrs := in.router.ProtocolAddrs(protocol)
	if len(addrs) == 0 {
		return "127.0.0.1:1"
	}
	return addrs[0].String()
}

// source pulls path from the server. user is "user:pass" or empty, query begins
// with a question mark.
func (p *peer) source(protocol, path, user, query string) router.Source {
	at, pair := "", ""
	name, pass, _ := strings.Cut(user, ":")
	if user != "" {
		at, pair = user+"@", ":"+name+":"+pass
	}
	switch protocol {
	case "rtsp", "rtsps":
		return srcrtsp.Source{URL: protocol + "://" + at + p.addr(protocol) + "/" + path + query, Transport: srcrtsp.TCP, Fingerprint: p.fingerprint}
	case "rtmp", "rtmps":
		if user != "" { // in the URL they would be a challenge, which only internal users can meet
			at, query = "", "?"+url.Values{"user": {name}, "pass": {pass}}.Encode()
		}
		return srcrtmp.Source{URL: protocol + "://" + at + p.addr(protocol) + "/" + path + query, Fingerprint: p.fingerprint}
	case "srt":
		return srcsrt.Source{URL: "srt://" + p.addr("srt") + "?streamid=read:" + path + pair + strings.ReplaceAll(query, "?", ":")}
	case "hls":
		return srchls.Source{URL: "http://" + at + p.addr("hls") + "/" + path + "/index.m3u8" + query}
	default:
		return srcwhep.Source{URL: "whep://" + at + p.addr("webrtc") + "/" + path + "/whep" + query}
	}
}

// pull begins to pull path from the server, into a path of the peer of the given
// name.
func (p *peer) pull(name, protocol, path, user, query string) {
	p.t.Helper()
	if err := p.AddPath(p.t.Context(), router.PathConfig{Name: name, Source: p.source(protocol, path, user, query)}); err != nil {
		p.t.Fatal(err)
	}
}

// push forwards "out" to the URLs.
func (p *peer) push(urls ...string) {
	p.t.Helper()
	c := router.PathConfig{Name: "out"}
	for _, u := range urls {
		switch scheme, _, _ := strings.Cut(u, "://"); scheme {
		case "rtsp", "rtsps":
			c.Sinks = append(c.Sinks, rtsp.Forward{URL: u, Transport: rtsp.TCP, Fingerprint: p.fingerprint})
		case "rtmp", "rtmps":
			c.Sinks = append(c.Sinks, rtmp.Forward{URL: u, Fingerprint: p.fingerprint})
		case "srt":
			c.Sinks = append(c.Sinks, srt.Forward{URL: u})
		default:
			c.Sinks = append(c.Sinks, webrtc.Forward{URL: u})
		}
	}
	if err := p.AddPath(p.t.Context(), c); err != nil {
		p.t.Fatal(err)
	}
}

// has tells whether something arrives in a path of the peer.
func (p *peer) has(name string) bool {
	live, ok := p.Path(name)
	return ok && live.Info().Ready
}

func (p *peer) waitFor(name string) {
	p.t.Helper()
	until(p.t, name, p.in.out, func() bool { return p.has(name) })
}

// ready tells whether somebody publishes on a path of the server.
func (in *instance) ready(path string) bool {
	live, ok := in.router.Path(path)
	return ok && live.Info().Ready
}

// call sends a request to one of the HTTP servers for operators.
func (in *instance) call(t *testing.T, protocol, method, path, body string) (int, []byte) {
	t.Helper()
	until(t, "start of "+protocol, in.out, func() bool { return in.serves(protocol) })
	status, data, err := in.try(t.Context(), protocol, method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, data
}

func (in *instance) try(ctx context.Context, protocol, method, path, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+in.addr(protocol)+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Close = true // no connection is left
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, data, err
}

//go:build e2e

package rtsp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
)

// smallH264 makes a file that all tests here publish.
func smallH264(t *testing.T) string {
	t.Helper()
	return encodedFile(t, picturesInput, "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "25", "-pix_fmt", "yuv420p")
}

func checkRead(t *testing.T, what string, source, got pictures) {
	t.Helper()
	good := checkPictures(t, source, got)
	t.Logf("%s: %d pictures, %d of them exact", what, len(got), good)
	if len(got) != readPictures || good < readPictures-keyInterval {
		t.Errorf("%s: %d pictures are too few", what, good)
	}
}

// selfSigned makes a certificate.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// RTSPS: FFmpeg has the media inside the TLS connection, GStreamer encrypts it
// by SRTP, also over UDP.
func TestE2ESecure(t *testing.T) {
	e2e.Needs(t, "ffmpeg")
	t.Parallel()
	file := smallH264(t)
	s := serve(t, &rtsp.Server{TLS: selfSigned(t)})
	s.publishFile(t, file, "secure", "tcp")
	checkRead(t, "tls", decodeFile(t, file), videoOf(t, s.startVideo(t, "secure", "-rtsp_transport", "tcp")))
	s.checkLosses(t)
}

func TestE2ESecureGStreamer(t *testing.T) {
	e2e.Needs(t, "ffmpeg", "gst-launch-1.0", "gst:rtspsrc", "gst:srtpdec", "gst:avdec_h264")
	t.Parallel()
	file := smallH264(t)
	s := serve(t, &rtsp.Server{TLS: selfSigned(t)})
	s.publishFile(t, file, "secure", "tcp")
	for _, out := range unicast {
		r := s.gstRead(t, "secure", "tls-validation-flags=0 protocols="+out)
		waitBuffers(t, r, "fakesink0", gstBuffers)
		profile := ""
		for info := range s.Sessions("rtspsSession") {
			if d := info.Details.(*rtsp.SessionDetails); d.State == "read" && d.Profile != nil {
				profile = *d.Profile
			}
		}
		t.Logf("%s: %d buffers, profile %s", out, gstBuffers, profile)
		if profile != "SAVP" {
			t.Errorf("%s: profile %q, want SAVP", out, profile)
		}
		r.Stop()
	}
}

// RTSP inside HTTP.
func TestE2ETunnel(t *testing.T) {
	e2e.Needs(t, "ffmpeg")
	t.Parallel()
	file := smallH264(t)
	s := serve(t, &rtsp.Server{})
	s.publishFile(t, file, "tunnel", "tcp")
	r := s.startVideo(t, "tunnel", "-rtsp_transport", "http")
	if tunnel := s.waitTunnel(t); tunnel != "http" {
		t.Errorf("tunnel is %q", tunnel)
	}
	checkRead(t, "http", decodeFile(t, file), videoOf(t, r))
	s.checkLosses(t)
}

// waitTunnel waits for a session that reads, and returns the tunnel that the
// connection of the session is in.
func (s *e2eServer) waitTunnel(t *testing.T) string {
	t.Helper()
	found := make(chan struct{}, 1)
	defer s.Observe(router.Hooks{ReaderAttached: func(router.PathEvent) func() {
		select {
		case found <- struct{}{}:
		default:
		}
		return nil
	}})()
	select {
	case <-found:
	case <-time.After(patience):
		t.Fatal("nobody reads")
	}
	out := "none"
	for info := range s.Sessions("rtspConn") {
		if d := info.Details.(*rtsp.ConnDetails); d.Tunnel != "none" {
			out = d.Tunnel
		}
	}
	return out
}

func TestE2ETunnelGStreamer(t *testing.T) {
	e2e.Needs(t, "ffmpeg", "gst-launch-1.0", "gst:rtspsrc", "gst:avdec_h264")
	t.Parallel()
	s := serve(t, &rtsp.Server{})
	s.publishFile(t, smallH264(t), "tunnel", "tcp")
	tunnel := *s
	tunnel.scheme = "rtsph"
	r := tunnel.gstRead(t, "tunnel", "protocols=tcp") // inside the tunnel
	waitBuffers(t, r, "fakesink0", gstBuffers)
	if in := s.waitTunnel(t); in != "http" {
		t.Errorf("tunnel is %q", in)
	}
	t.Logf("%d buffers", gstBuffers)
}

// needsMulticast skips a test on machines without multicast.
func needsMulticast(t *testing.T) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err == nil && len(addrs) > 0 && i.Flags&net.FlagMulticast != 0 && i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			return
		}
	}
	t.Skip("no network interface can do multicast")
}

// freePair returns an even UDP port that is free, and the next one is too.
func freePair(t *testing.T) int {
	t.Helper()
	for range 100 {
		a, err := net.ListenUDP("udp4", nil)
		if err != nil {
			t.Fatal(err)
		}
		port := a.LocalAddr().(*net.UDPAddr).Port
		b, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port + 1})
		_ = a.Close()
		if err != nil {
			continue
		}
		_ = b.Close()
		if port%2 == 0 {
			return port
		}
	}
	t.Fatal("no free ports")
	return 0
}

func TestE2EMulticast(t *testing.T) {
	e2e.Needs(t, "ffmpeg")
	needsMulticast(t)
	t.Parallel()
	file := smallH264(t)
	port := freePair(t)
	s := serve(t, &rtsp.Server{
		Transports:       []rtsp.Transport{rtsp.TCP, rtsp.Multicast},
		MulticastRTPPort: port, MulticastRTCPPort: port + 1,
	})
	s.publishFile(t, file, "multi", "tcp")
	readers := []*e2e.Program{
		s.startVideo(t, "multi", "-rtsp_transport", "udp_multicast"),
		s.startVideo(t, "multi", "-rtsp_transport", "udp_multicast"),
	}
	source := decodeFile(t, file)
	for _, r := range readers {
		checkRead(t, "multicast", source, videoOf(t, r))
	}
	s.checkLosses(t)
}

// Two video and two audio tracks in one stream arrive as four.
func TestE2EFourTracks(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg")
	for _, out := range unicast {
		t.Run(out, func(t *testing.T) {
			t.Parallel()
			s := serve(t, &rtsp.Server{})
			e2e.Launch(t, "ffmpeg", ffmpeg("-re",
				"-f", "lavfi", "-i", "testsrc2=size=176x144:rate=25", "-f", "lavfi", "-i", "testsrc=size=128x96:rate=25",
				"-f", "lavfi", "-i", "sine=frequency=440", "-f", "lavfi", "-i", "sine=frequency=880",
				"-map", "0:v", "-map", "1:v", "-map", "2:a", "-map", "3:a", "-pix_fmt", "yuv420p", "-g", "5", "-bf", "0",
				"-c:v", "libx264", "-preset", "ultrafast", "-c:a:0", "aac", "-c:a:1", "libopus", "-ar:a:1", "48000",
				"-f", "rtsp", "-rtsp_transport", "tcp", s.url("four"))...)
			s.waitReady(t, "four")
			r := e2e.Launch(t, "ffmpeg", ffmpeg("-rtsp_transport", out, "-i", s.url("four"), "-map", "0",
				"-t", "2", "-f", "framemd5", "-")...)
			r.Wait(t)
			checkLog(t, r)
			for i, least := range []int{40, 40, 70, 80} { // pictures, and frames of 1024 and of 960 samples
				got := len(parseMD5(t, r.Stdout.String(), i))
				t.Logf("track %d: %d frames", i+1, got)
				if got < least {
					t.Errorf("track %d: %d frames, want at least %d", i+1, got, least)
				}
			}
			s.checkLosses(t)
		})
	}
}

// FFmpeg publishes and reads with a password, and is refused without.
func TestE2ECredentials(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg")
	for _, method := range []rtsp.AuthMethod{rtsp.Basic, rtsp.Digest} {
		t.Run(string(method), func(t *testing.T) {
			t.Parallel()
			users := &auth.Internal{Users: []auth.User{{
				Name: "me", Pass: "s3cret",
				Permissions: []auth.Permission{{Action: router.ActionPublish}, {Action: router.ActionRead}},
			}}}
			s := serve(t, &rtsp.Server{AuthMethods: []rtsp.AuthMethod{method}}, func(c *router.Config) { c.Auth = users })
			file := smallH264(t)
			open := *s
			with := func(credentials string) *e2eServer {
				c := open
				c.credentials = credentials
				return &c
			}
			good := with("me:s3cret@")
			good.publishFile(t, file, "private", "tcp")
			checkRead(t, "with password", decodeFile(t, file), videoOf(t, good.startVideo(t, "private", "-rtsp_transport", "tcp")))
			for _, credentials := range []string{"", "me:wrong@", "you:s3cret@"} {
				r := with(credentials).startVideo(t, "private", "-rtsp_transport", "tcp")
				select {
				case <-r.Done:
				case <-time.After(patience):
					t.Fatalf("%q: FFmpeg has not ended", credentials)
				}
				if r.Err == nil || !strings.Contains(r.Stderr.String(), "401") {
					t.Errorf("%q: %v\n%s", credentials, r.Err, r.Stderr.String())
				}
			}
		})
	}
}

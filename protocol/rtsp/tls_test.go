package rtsp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"

	"github.com/org/mtx/router/routertest"
)

// certificatePEM makes a self-signed certificate with a serial number.
func certificatePEM(t testing.TB, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kb})
}

func tlsConfig(t testing.TB) *tls.Config {
	t.Helper()
	cert, err := tls.X509KeyPair(certificatePEM(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

func secureServer(t testing.TB) *Server {
	s := plainServer()
	s.TLS = tlsConfig(t)
	return s
}

func TestSecureTransports(t *testing.T) {
	t.Parallel()
	all := []mode{
		overTCP, overUDP,
		{protocol: gortsplib.ProtocolTCP, insecure: true},
		{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelHTTP},
		{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelWebSocket, insecure: true},
	}
	for name, m := range map[string]mode{
		"SRTP over TCP": all[0], "SRTP over UDP": all[1], "RTP inside TLS": all[2], "HTTP": all[3], "WebSocket": all[4],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkCarries(t, newRig(t, anyPath(), secureServer(t)), m, all...)
		})
	}
}

// Media that is not encrypted has no place on an RTSPS server.
func TestNoPlainUDPWithTLS(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), secureServer(t))
	g.publish("s", overTCP, oneVideo())
	_, err := g.tryRead("s", mode{protocol: gortsplib.ProtocolUDP, insecure: true})
	if err == nil {
		t.Error("plain RTP over UDP was accepted")
	}
}

func TestCertificateReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := plainServer()
	srv.CertFile, srv.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(cert, key []byte, age time.Duration) {
		for name, b := range map[string][]byte{srv.CertFile: cert, srv.KeyFile: key} {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			when := time.Now().Add(-age)
			if err := os.Chtimes(name, when, when); err != nil {
				t.Fatal(err)
			}
		}
	}
	cert, key := certificatePEM(t, 1)
	write(cert, key, time.Hour)
	g := newRig(t, anyPath(), srv)
	serial := func() int64 {
		c, err := tls.Dial("tcp", g.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Fatalf("certificate %d", n)
	}
	p := g.publish("s", overTCP, oneVideo())
	rd := g.read("s", overTCP)
	write([]byte("half"), key, time.Minute)       // which changes nothing
	time.Sleep(time.Second + 10*time.Millisecond) // files are not looked at more often
	if n := serial(); n != 1 {
		t.Fatalf("certificate %d", n)
	}
	cert, key = certificatePEM(t, 2)
	write(cert, key, 0)
	routertest.Eventually(t, "the new certificate is used", func() bool { return serial() == 2 })
	p.write(0, h264Frame(96, 1, 0, 1, 100)...)
	rd.got(0, 96, 1)
}

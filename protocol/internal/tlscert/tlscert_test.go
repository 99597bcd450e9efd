package tlscert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// write makes a certificate with a serial number, as of some time.
func write(t *testing.T, certFile, keyFile string, serial int64, at time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	if _, err := Config(cert, key); err == nil {
		t.Fatal("missing files were accepted")
	}
	now := time.Now()
	write(t, cert, key, 1, now.Add(-time.Hour))
	c := &certificate{files: [2]string{cert, key}, log: slog.New(slog.DiscardHandler)}
	check := func(want int64) {
		t.Helper()
		c.checked = time.Time{} // as if time had passed
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Leaf.SerialNumber.Int64() != want {
			t.Errorf("certificate %d, want %d", got.Leaf.SerialNumber, want)
		}
	}
	check(1)
	check(1)
	write(t, cert, key, 2, now.Add(-time.Minute))
	check(2)
	if err := os.WriteFile(cert, []byte("half-written"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(2)
	write(t, cert, key, 3, now)
	check(3)
}

// Files that are replaced as a pair, through a link to their folder, may look the
// same: of one size, and of the time of their archive.
func TestSwitchedLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := time.Now().Add(-time.Hour)
	for serial, name := range []string{"one", "two"} {
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(sub, "crt"), filepath.Join(sub, "key"), int64(serial+1), at)
		for _, file := range []string{"crt", "key"} { // what is behind the block does not matter
			file = filepath.Join(sub, file)
			if err := os.Truncate(file, 2000); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	data := filepath.Join(dir, "data")
	if err := os.Symlink("one", data); err != nil {
		t.Skip("the system has no symbolic links: ", err)
	}
	c := &certificate{files: [2]string{filepath.Join(data, "crt"), filepath.Join(data, "key")}, log: slog.New(slog.DiscardHandler)}
	for want, name := range []string{"one", "two", "one"} {
		next := filepath.Join(dir, "next")
		if err := os.Symlink(name, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, data); err != nil {
			t.Fatal(err)
		}
		c.checked = time.Time{}
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := got.Leaf.SerialNumber.Int64(); n != int64(want%2+1) {
			t.Errorf("%s: certificate %d", name, n)
		}
	}
}

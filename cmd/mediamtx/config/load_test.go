package config

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"
)

func TestLoadNamedFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "some.yml")
	if _, _, err := Load(file, nil, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "some.yml") {
		t.Errorf("a missing file gave %v", err)
	}
	if _, _, err := Load(filepath.Dir(file), nil, nil); err == nil {
		t.Error("a folder was read")
	}
	write(t, file, "rtspAddress: :1111\nprotocols: [tcp]")
	d, info, err := Load(file, []string{"MTX_RTSPTRANSPORTS=udp"}, map[string]any{"logLevel": "debug"})
	if err != nil {
		t.Fatal(err)
	}
	want := file + ":2: protocols is deprecated, use rtspTransports"
	if info.File != file || len(info.Warnings) != 1 || info.Warnings[0] != want {
		t.Errorf("got %+v, want the warning %q", info, want)
	}
	if d.RTSPAddress != ":1111" || d.RTSPTransports[0] != "udp" || d.LogLevel != "debug" {
		t.Errorf("got %+v", d.Global)
	}
}

// Not parallel: the working folder belongs to the process.
func TestLoadSearches(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, f := range SearchPaths() {
		if filepath.IsAbs(f) {
			if _, err := os.Stat(f); err == nil {
				t.Skipf("%s exists on this machine", f)
			}
		}
	}
	d, info, err := Load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, open := d.Paths["all_others"]; !open || info.File != "" {
		t.Errorf("without a file: %v, file %q", d.Paths, info.File)
	}
	for _, f := range []string{"mediamtx.yml", "rtsp-simple-server.yml"} {
		write(t, f, "logLevel: debug")
		d, info, err := Load("", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if info.File != f || d.LogLevel != "debug" || len(d.Paths) != 0 {
			t.Errorf("with %s: read %q, %v", f, info.File, d.Paths)
		}
	}
}

func TestLoadEncrypted(t *testing.T) {
	t.Parallel()
	var key [32]byte
	copy(key[:], "mykey")
	nonce := [24]byte{1, 2, 3}
	box := secretbox.Seal(nonce[:], []byte("logLevel: debug"), &nonce, &key)
	file := filepath.Join(t.TempDir(), "e.yml")
	write(t, file, base64.StdEncoding.EncodeToString(box)+"\n")
	for _, name := range []string{"MTX_CONFKEY", "RTSP_CONFKEY"} {
		d, _, err := Load(file, []string{name + "=mykey"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d.LogLevel != "debug" {
			t.Errorf("logLevel is %s", d.LogLevel)
		}
	}
	for key, want := range map[string]string{
		"other":                 "the file cannot be decrypted with MTX_CONFKEY",
		strings.Repeat("k", 33): "MTX_CONFKEY must be at most 32 bytes long",
	} {
		if _, _, err := Load(file, []string{"MTX_CONFKEY=" + key}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("key %s: %v", key, err)
		}
	}
	write(t, file, "logLevel: debug")
	if _, _, err := Load(file, []string{"MTX_CONFKEY=mykey"}, nil); err == nil || !strings.Contains(err.Error(), "the file is not encrypted") {
		t.Errorf("a plain file gave %v", err)
	}
}

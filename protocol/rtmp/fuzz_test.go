package rtmp_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/handshake"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// FuzzConnection sends bytes behind the handshake of a connection to a server.
func FuzzConnection(f *testing.F) {
	ready := setUp(f)
	f.Add(ready)
	f.Add(append(bytes.Clone(ready), chunk(6, 9, []byte{0x17, 0, 0, 0, 0, 1, 0x42, 0, 0x28, 0xff, 0xe1, 0, 1, 0x67, 1, 0, 1, 0x68})...))
	f.Add(append(bytes.Clone(ready), chunk(4, 8, []byte{0xaf, 0, 0x11, 0x90})...))
	f.Add(append(bytes.Clone(ready), chunk(4, 18, []byte("\x02\x00\x0aonMetaData\x08\x00\x00\x00\x00\x00\x00\x09"))...))
	f.Add(bytes.Join([][]byte{
		command(f, "connect", float64(1), nil), command(f, "createStream", float64(2), nil), command(f, "play", float64(3), nil, "y"),
	}, nil))
	f.Add(append(chunkSize(5), header(3, 20, 40)...))
	log := &routertest.Log{}
	s := &rtmp.Server{Addr: "127.0.0.1:0", ReadTimeout: 100 * time.Millisecond}
	r := routertest.New(f, router.Config{
		Protocols: []router.Protocol{s}, Paths: []router.PathConfig{{Name: router.AllOthers, Override: true}}, AuthPause: -1,
	}, router.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))))
	addr := r.ProtocolAddrs("rtmp")[0].String()
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, _, err := handshake.DoClient(c, false, false); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(b) // the server may hang up while we talk
		_ = c.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c); errors.Is(err, errTimeout(err)) {
			t.Error("the connection is not closed")
		}
		if text := log.String(); strings.Contains(text, "panic") {
			t.Fatal(text)
		}
	})
}

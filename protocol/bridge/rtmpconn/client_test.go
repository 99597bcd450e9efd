package rtmpconn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/handshake"
)

// says makes a command as servers send it, in chunks of 128 bytes.
func says(t testing.TB, values ...any) []byte {
	t.Helper()
	body := encode(t, values...)
	n := len(body)
	out := []byte{3, 0, 0, 0, byte(n >> 16), byte(n >> 8), byte(n), TypeCommandAMF0, 0, 0, 0, 0}
	for ; len(body) > 128; body = body[128:] {
		out = append(append(out, body[:128]...), 0xc3)
	}
	return append(out, body...)
}

func info(key, value string) amf0.Object {
	return amf0.Object{{Key: "level", Value: "error"}, {Key: key, Value: value}}
}

// FuzzDial sends a client what it does not expect: the connection attempt ends,
// and errors show no secrets.
func FuzzDial(f *testing.F) {
	accept := bytes.Join([][]byte{
		says(f, "_result", float64(1), nil, amf0.Object{}), says(f, "_result", float64(2), nil, float64(1)),
		says(f, "onStatus", float64(0), nil, amf0.Object{{Key: "level", Value: "status"}}),
	}, nil)
	f.Add(accept)
	f.Add(append(bytes.Clone(accept), 6, 0, 0, 0, 0, 0, 1, TypeVideo, 1, 0, 0, 0, 0x17))
	f.Add(says(f, "_result", "1"))
	f.Add(says(f, "_error", float64(1), nil, info("description", "no")))
	for _, text := range []string{
		"authmod=adobe : ?reason=needauth&user=bob&salt=c2FsdA&challenge=Y2g&opaque=b3A",
		"authmod=adobe ?", "authmod=adobe ?salt=%&challenge=&opaque", "authmod=adobe ?reason=authfailed",
	} {
		f.Add(says(f, "_error", float64(1), nil, info("description", text)))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	var answer []byte
	var mu sync.Mutex
	var wg sync.WaitGroup
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, _, err := handshake.DoServer(c, false); err != nil {
			return
		}
		mu.Lock()
		b := answer
		mu.Unlock()
		_, _ = c.Write(b) // the client may hang up
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(c) })
		}
	})
	f.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		mu.Lock()
		answer = b
		mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c, err := Dial(ctx, Options{URL: "rtmp://bob:t0psecret@" + ln.Addr().String() + "/app/cam?key=t0psecret"})
		for total := 0; err == nil && total <= len(b); {
			var m Message
			if m, err = c.Read(); err == nil {
				total += len(m.Body) + 1
				err = c.Ended(&m)
			}
		}
		if c != nil {
			c.Close()
		}
		switch {
		case err == nil:
			t.Errorf("more came out than the %d bytes that were sent", len(b))
		case errors.Is(err, context.DeadlineExceeded):
			t.Error("it does not end")
		case strings.Contains(err.Error(), "t0psecret"):
			t.Errorf("the error shows a secret: %v", err)
		}
	})
}

//go:build e2e

package app_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/cmd/mediamtx/app"
	"github.com/org/mtx/router/routertest"
)

// patience bounds what clients and servers may take; it is generous, since tests
// share the processors.
const patience = 40 * time.Second

// ports are where a command listens; zero is any free port.
type ports struct{ rtsp, rtmp, hls, srt string }

// freePorts returns ports that a command can leave and come back to.
func freePorts(t *testing.T) ports {
	t.Helper()
	return ports{freeTCP(t), freeTCP(t), freeTCP(t), freeUDP(t)}
}

func freeTCP(t *testing.T) string {
	t.Helper()
	return portOf(t, routertest.FreeAddr(t))
}

func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return portOf(t, c.LocalAddr().String())
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// instance is the command at work.
type instance struct {
	router *mtx.Router
	ports  ports
	stop   func()
}

// startCommand runs the command, with all servers that carry streams, until the
// end of the test or until stop. more is added to the configuration; without
// paths of its own every path exists.
func startCommand(t *testing.T, p ports, more string) *instance {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mediamtx.yml")
	text := fmt.Sprintf(`logLevel: debug
rtspAddress: 127.0.0.1:%s
rtpAddress: 127.0.0.1:0
rtcpAddress: 127.0.0.1:0
rtspTransports: [udp, tcp]
rtmpAddress: 127.0.0.1:%s
hlsAddress: 127.0.0.1:%s
srtAddress: 127.0.0.1:%s
webrtcAddress: 127.0.0.1:0
webrtcLocalUDPAddress: 127.0.0.1:0
%s`, orZero(p.rtsp), orZero(p.rtmp), orZero(p.hls), orZero(p.srt), more)
	if !strings.Contains(more, "paths:") {
		text += "\npaths:\n  all_others:\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &routertest.Log{}
	ctx, cancel := context.WithCancel(t.Context())
	routers, ended := make(chan *mtx.Router, 1), make(chan int, 1)
	go func() {
		ended <- app.Run(ctx, app.Options{
			Args: []string{file}, Env: os.Environ(), Stdout: log, Stderr: log,
			Router: func(r *mtx.Router) { routers <- r },
		})
	}()
	in := &instance{}
	stopped := false
	in.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case code := <-ended:
			if code != 0 {
				t.Errorf("the command ended with %d", code)
			}
		case <-time.After(patience):
			t.Error("the command does not end")
		}
	}
	t.Cleanup(func() {
		in.stop()
		if t.Failed() {
			t.Logf("configuration:\n%s\nlog of the command:\n%s", text, tail(log.String()))
		}
	})
	select {
	case in.router = <-routers:
	case code := <-ended:
		stopped = true
		t.Fatalf("the command ended with %d", code)
	}
	at := func(protocol string) string {
		eventually(t, protocol+" listens", func() bool { return len(in.router.ProtocolAddrs(protocol)) > 0 })
		return portOf(t, in.router.ProtocolAddrs(protocol)[0].String())
	}
	in.ports = ports{at("rtsp"), at("rtmp"), at("hls"), at("srt")}
	return in
}

func orZero(port string) string {
	if port == "" {
		return "0"
	}
	return port
}

// publishURL and readURL are what a client is given.
func (in *instance) publishURL(protocol, path string) string {
	switch protocol {
	case "rtsp", "rtsp-udp":
		return "rtsp://127.0.0.1:" + in.ports.rtsp + "/" + path
	case "rtmp":
		return "rtmp://127.0.0.1:" + in.ports.rtmp + "/" + path
	case "srt":
		return "srt://127.0.0.1:" + in.ports.srt + "?streamid=publish:" + path
	}
	panic(protocol)
}

func (in *instance) readURL(protocol, path string) string {
	switch protocol {
	case "hls":
		return "http://127.0.0.1:" + in.ports.hls + "/" + path + "/index.m3u8"
	case "srt":
		return "srt://127.0.0.1:" + in.ports.srt + "?streamid=read:" + path
	}
	return in.publishURL(protocol, path)
}

// ready reports whether somebody publishes.
func (in *instance) ready(path string) bool {
	p, ok := in.router.Path(path)
	return ok && p.Info().Ready
}

func (in *instance) waitReady(t *testing.T, path string) {
	t.Helper()
	eventually(t, path+" is published", func() bool { return in.ready(path) })
}

// codecs names the codecs of a stream.
func (in *instance) codecs(path string) string {
	p, ok := in.router.Path(path)
	if !ok {
		return ""
	}
	var names []string
	for _, tr := range p.Info().Tracks {
		names = append(names, tr.Codec.Name())
	}
	return strings.Join(names, "+")
}

// eventually waits for what no hook tells.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen", what)
		}
	}
}

package rtsp

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/sdpunmarshaler"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// Whatever a client sends, the server goes on.
func FuzzRequest(f *testing.F) {
	cfg := router.Config{AuthPause: -1, Paths: []router.PathConfig{{Name: "s", Source: &routertest.Source{}}, {Name: "all_others"}}}
	g := newRig(f, cfg, plainServer())
	routertest.WaitReady(f, g.r, "s")
	u := "rtsp://h/s"
	play := "SETUP " + u + "/trackID=0 RTSP/1.0\r\nCSeq: 1\r\n" + tcpTransport + "\r\n\r\nPLAY " + u + " RTSP/1.0\r\nCSeq: 2\r\n\r\n"
	announce := "ANNOUNCE rtsp://h/p RTSP/1.0\r\nCSeq: 1\r\n" + contentSDP + "\r\nContent-Length: " + strconv.Itoa(len(h264SDP)) + "\r\n\r\n" + string(h264SDP)
	for _, s := range []string{
		"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
		"DESCRIBE " + u + " RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic YTpi\r\n\r\n",
		play, announce,
		announce + "SETUP rtsp://h/p/trackID=0 RTSP/1.0\r\nCSeq: 2\r\n" + tcpTransport + ";mode=record\r\n\r\nRECORD rtsp://h/p RTSP/1.0\r\nCSeq: 3\r\n\r\n$\x00\x00\x0d\x80\x60\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x65$\x01\x00\x04\x80\xc8\x00\x00",
		"GET /s HTTP/1.0\r\nX-Sessioncookie: a\r\nAccept: application/x-rtsp-tunnelled\r\n\r\n",
		webSocketHello + "\x82\x80\x00\x00\x00\x00",
		strings.Replace(play, tcpTransport, "Transport: RTP/AVP;unicast;client_port=5000-5001", 1),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		nc, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		_ = nc.SetDeadline(time.Now().Add(patience))
		if _, err := nc.Write(in); err == nil {
			_ = nc.(*net.TCPConn).CloseWrite()
			_ = nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // half a tunnel is kept longer
			_, _ = io.Copy(io.Discard, nc)
		}
		if text := g.log.Take(); strings.Contains(text, "panic") {
			t.Fatal(text)
		}
	})
}

// What is rewritten is still a description, of the same formats, if it was one.
func FuzzAcceptMode0(f *testing.F) {
	for _, lines := range [][]string{
		{"m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000"},
		{"m=video 0 RTP/AVP 96", "a=rtpmap:96 h264/90000", "a=fmtp:96 packetization-mode=0"},
		{"m=video 0 RTP/AVP 96", "a=fmtp:96 Packetization-Mode = 00; profile-level-id=42", "a=rtpmap:96 H264/90000"},
		{"m=video 0 RTP/AVP 96 97", "a=rtpmap:96 H264/90000", "a=rtpmap:97 H264/90000", "a=fmtp:97 packetization-mode=1", "m=audio 0 RTP/AVP 0"},
		{"m=audio 0 RTP/AVP 0"},
	} {
		f.Add(sdp(lines...))
		f.Add(bytes.ReplaceAll(sdp(lines...), []byte("\r"), nil))
	}
	parse := func(b []byte) (d *description.Session) {
		defer func() {
			if recover() != nil { // the library's, which CheckSDP catches
				d = nil
			}
		}()
		s, err := sdpunmarshaler.Unmarshal(b)
		if err != nil {
			return nil
		}
		d = &description.Session{}
		if d.Unmarshal2(s) != nil {
			return nil
		}
		return d
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		out := acceptMode0(in)
		if !bytes.Equal(in, before) {
			t.Fatal("the input was changed")
		}
		a, b := parse(before), parse(out)
		if a == nil {
			return
		}
		if b == nil || len(a.Medias) != len(b.Medias) {
			t.Fatalf("not a description anymore:\n%q\n%q", in, out)
		}
		for i, m := range a.Medias {
			if len(m.Formats) != len(b.Medias[i].Formats) {
				t.Fatalf("section %d has other formats:\n%q\n%q", i, in, out)
			}
			for j, x := range m.Formats {
				y := b.Medias[i].Formats[j]
				if x.PayloadType() != y.PayloadType() || x.RTPMap() != y.RTPMap() {
					t.Fatalf("format %d of section %d differs:\n%q\n%q", j, i, in, out)
				}
				if h, ok := y.(*format.H264); ok {
					was := x.(*format.H264)
					if !bytes.Equal(h.SPS, was.SPS) || !bytes.Equal(h.PPS, was.PPS) {
						t.Fatalf("other parameters:\n%q\n%q", in, out)
					}
				}
			}
		}
	})
}

// Mode 0 becomes mode 1, other modes stay.
func TestAcceptMode0(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"packetization-mode=0", "packetization-mode=1"},
		{"packetization-mode=1", "packetization-mode=1"},
		{"packetization-mode=2", "packetization-mode=2"},
		{"packetization-mode=00;a=b", "a=b; packetization-mode=1"},
		{"Packetization-Mode = 0 ; a=b", "a=b; packetization-mode=1"},
		{"a=b;", "a=b; packetization-mode=1"},
		{"sprop-parameter-sets=Z0I=,aM4=; packetization-mode=0", "sprop-parameter-sets=Z0I=,aM4=; packetization-mode=1"},
	} {
		in := sdp("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 "+c.in)
		want := sdp("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 "+c.want)
		if got := acceptMode0(in); !bytes.Equal(got, want) {
			t.Errorf("%s:\n%q, want\n%q", c.in, got, want)
		}
	}
}

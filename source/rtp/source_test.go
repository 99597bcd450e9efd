package rtp

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	head := "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nt=0 0\n"
	for _, ca := range []struct {
		name string
		src  Source
		want string // in the error; empty if valid
	}{
		{"plain", Source{}, ""},
		{"crlf and indentation", Source{SDP: "\n  " + strings.ReplaceAll(videoSDP, "\n", "\r\n\n  ")}, ""},
		{"multicast", Source{URL: "udp+rtp://[ff02::1]:5004?interface=a"}, ""},
		{"unix", Source{URL: "unix+rtp:///a"}, ""},
		{"variables", Source{URL: "udp+rtp://127.0.0.1:$G1"}, ""},
		{"said by the sender", Source{SDP: videoSDP + "a=sendonly\n"}, ""},
		{"static payload type", Source{SDP: head + "m=audio 0 RTP/AVP 8\n"}, ""},
		{"no sdp", Source{SDP: " \n"}, "the SDP is missing"},
		{"nonsense", Source{SDP: "hello"}, "SDP: invalid session description"},
		{"half a line", Source{SDP: "v=0\no=-\n"}, "SDP: invalid session description"},
		{"no media", Source{SDP: head}, "SDP:"},
		{"bad parameters", Source{SDP: head + "m=audio 0 RTP/AVP 96\na=rtpmap:96 MPEG4-GENERIC/48000\na=fmtp:96 mode=AAC-hbr;config=zz\n"}, "SDP:"},
		{"panic of a parser", Source{SDP: head + "m=video 0 RTP/AVP 96\na=rtpmap:96 MP4V-ES/90000\na=fmtp:96 config=000001\n"}, "SDP:"},
		{"no clock rate", Source{SDP: head + "m=video 0 RTP/AVP 96\na=rtpmap:96 private\n"}, "SDP:"},
		{"same payload type", Source{SDP: videoSDP + "m=audio 0 RTP/AVP 96\na=rtpmap:96 opus/48000/2\n"}, "payload type 96 is used twice"},
		{"encrypted", Source{SDP: strings.Replace(videoSDP, "RTP/AVP", "RTP/SAVP", 1)}, "RTP/SAVP"},
		{"too large", Source{SDP: videoSDP + strings.Repeat("a=x:y\n", 30000)}, "it must not have more than 131072"},
		{"no url", Source{URL: "-"}, "udp+rtp://"},
		{"other url", Source{URL: "udp+mpegts://:1"}, "udp+rtp://"},
		{"buffer", Source{UDPReadBufferSize: -1}, "UDP read buffer size -1"},
		{"timeout", Source{ReadTimeout: -time.Second}, "read timeout -1s"},
	} {
		if ca.src.SDP == "" {
			ca.src.SDP = videoSDP
		}
		if ca.src.URL == "" {
			ca.src.URL = "udp+rtp://:5004"
		}
		err := ca.src.Validate()
		if (err == nil) != (ca.want == "") || err != nil && !strings.Contains(err.Error(), ca.want) {
			t.Errorf("%s: %v", ca.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: it has several lines: %q", ca.name, err)
		}
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add(bothSDP)
	f.Add("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=video 0 RTP/AVP 96\na=rtpmap:96 MP4V-ES/90000\na=fmtp:96 config=000001\n")
	f.Add("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/44100/2\n" +
		"a=fmtp:97 mode=AAC-hbr; sizelength=13; indexlength=3; indexdeltalength=3; config=1210\n")
	f.Fuzz(func(t *testing.T, sdp string) {
		s, err := describe(sdp)
		if err == nil && (len(s.tracks) == 0 || len(s.tracks) != len(s.formats) || len(s.tracks) != len(s.depack)) {
			t.Errorf("%+v", s)
		}
	})
}

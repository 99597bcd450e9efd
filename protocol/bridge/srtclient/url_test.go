package srtclient

import (
	"slices"
	"strings"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"
)

func TestURL(t *testing.T) {
	t.Parallel()
	s, err := parseURL("srt://host:8890?streamid=%23!::r=cam,m=request&passphrase=0123456789&pbkeylen=32&latency=200&peerlatency=300" +
		"&conntimeo=1000&peeridletimeo=4000&mss=1400&fc=1000000&kmrefreshrate=1000&kmpreannounce=100&iptos=8&ipttl=3&ipv6only=1" +
		"&transtype=live&congestion=live&messageapi=1&tlpktdrop=yes&oheadbw=25&maxbw=-1&rcvbuf=1000000&pkt_size=1128&unknown=1")
	if err != nil {
		t.Fatal(err)
	}
	if s.address != "host:8890" || s.mode != Caller || s.streamID != "#!::r=cam,m=request" || s.passphrase != "0123456789" || s.keyLength != 32 ||
		s.receiveLatency != 200*time.Millisecond || s.sendLatency != 300*time.Millisecond || s.connectTimeout != time.Second ||
		s.idleTimeout != 4*time.Second || s.mtu != 1400 || s.payload != 1128 || s.window != maxWindow || s.keyRefresh != 1000 ||
		s.keyPreAnnounce != 100 || s.tos != 8 || s.ttl != 3 || !s.ipv6Only || !slices.Equal(s.ignored, []string{"unknown"}) {
		t.Errorf("%+v", s)
	}
	if s, err := parseURL("srt://h:1?streamid=#!::r=a#b,m=request&passphrase=0123456789"); err != nil || s.streamID != "#!::r=a#b,m=request" || s.passphrase == "" {
		t.Errorf("# that is not escaped: %+v, %v", s, err)
	}
	for url, mode := range map[string]Mode{
		"srt://:8890": Listener, "srt://0.0.0.0:8890?mode=listener": Listener, "srt://h:1": Caller, "srt://h:1?mode=CALLER": Caller,
	} {
		if s, err := parseURL(url); err != nil || s.mode != mode {
			t.Errorf("%s: %v, %v", url, s, err)
		}
	}
}

// Every parameter that gosrt writes is known.
func TestParametersOfTheLibrary(t *testing.T) {
	t.Parallel()
	c := gosrt.Config{Passphrase: "0123456789", Latency: time.Second, ConnectionTimeout: time.Second, StreamId: "x", FC: 1000, MSS: 1400, PayloadSize: 1316}
	for _, kv := range strings.Split(c.MarshalQuery(), "&") {
		name, _, _ := strings.Cut(kv, "=")
		s := defaults()
		if err := s.set(name, "1"); err == nil && len(s.ignored) > 0 {
			t.Errorf("%s is not known", name)
		}
	}
}

func TestURLErrors(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct{ url, want string }{
		{"http://h:1", `scheme "http"`},
		{"srt://h", "without port"},
		{"srt://u:secretword@h:1", "credentials"},
		{"srt://secretword\x7f:1", "invalid SRT URL"},
		{"srt://u:secretword@h:secretword", "invalid SRT URL: invalid port"},
		{"srt://:1?mode=caller", "without host"},
		{"srt://h:1?passphrase=secret", "SRT parameter passphrase: it must be of 10 to 80 characters"},
		{"srt://h:1?streamid=" + strings.Repeat("x", 513), "SRT parameter streamid: it must be of at most 512 bytes"},
		{"srt://h:1?pbkeylen=8", "16, 24 or 32"},
		{"srt://h:1?mode=rendezvous", "caller or listener"},
		{"srt://h:1?latency=70000", "SRT parameter latency=70000: it must be a number between 0 and 65535"},
		{"srt://h:1?latency=fast", "SRT parameter latency=fast"},
		{"srt://h:1?mss=0", "SRT parameter mss=0"},
		{"srt://h:1?mss=500&payloadsize=1316", "payloadsize=1316: with mss=500"},
		{"srt://h:1?transtype=file", "live: other values are not supported"},
		{"srt://h:1?packetfilter=fec", "not supported"},
		{"srt://h:1?tlpktdrop=no", "only true is supported"},
		{"srt://h:1?groupconnect=1", "only false is supported"},
		{"srt://h:1?messageapi=maybe", "true or false"},
		{"srt://h:1?kmrefreshrate=100&kmpreannounce=60", "kmpreannounce=60"},
	} {
		_, err := parseURL(ca.url)
		if err == nil || !strings.Contains(err.Error(), ca.want) {
			t.Errorf("%s: %v, want %q", ca.url, err, ca.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("srt://host:8890?streamid=x&latency=1&mode=listener")
	f.Fuzz(func(t *testing.T, url string) {
		s, err := parseURL(url)
		if err == nil && (s.address == "" || s.payload > s.mtu-44) {
			t.Errorf("%+v", s)
		}
	})
}

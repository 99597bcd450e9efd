package webrtcpeer

import (
	"strings"
	"testing"

	"github.com/org/mtx/router/media"
)

func FuzzFragment(f *testing.F) {
	f.Add("a=ice-ufrag:u\r\na=ice-pwd:p\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 1234 typ host\r\n")
	f.Add("a=end-of-candidates\r\n")
	f.Add("a=candidate:1 1 tcp 1 ::1 9 typ host tcptype active\n")
	f.Fuzz(func(t *testing.T, text string) {
		frag, err := parseFragment(text)
		if err != nil {
			return
		}
		if frag.ufrag == "" && len(frag.candidates) == 0 {
			return
		}
		again, err := parseFragment(frag.String())
		if err != nil || len(again.candidates) != len(frag.candidates) {
			t.Fatalf("%v: %q", err, frag.String())
		}
	})
}

// FuzzOffer goes through all that is done with an offer up to the network.
func FuzzOffer(f *testing.F) {
	f.Add(chromeOffer)
	f.Add(strings.ReplaceAll(chromeOffer, "recvonly", "sendonly"))
	f.Add("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\na=fingerprint:sha-256 AA\r\n" +
		"m=audio 9 RTP 0\r\na=mid:0\r\na=rtpmap:0 L16/8000/1\r\n")
	var tracks []media.Track
	for _, c := range codecCases() {
		tracks = append(tracks, media.Track{Codec: c.codec})
	}
	f.Fuzz(func(t *testing.T, text string) {
		desc, err := parseDescription(text)
		if err != nil {
			return
		}
		list, _, skipped := assign(tracks, desc)
		if len(list)+len(skipped) != len(tracks) {
			t.Fatalf("%d assigned, %d skipped of %d", len(list), len(skipped), len(tracks))
		}
		_ = sectionCodecs(desc, list)
		for _, m := range desc.MediaDescriptions {
			_ = receivableCodecs(offeredCodecs(m))
		}
		_ = labels(offeredCodecs(desc.MediaDescriptions[0]))
		if _, err := restarted(desc, &fragment{ufrag: "u", pwd: "p"}).Marshal(); err != nil {
			t.Fatal(err)
		}
	})
}

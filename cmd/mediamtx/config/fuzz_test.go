package config

import (
	"encoding/json"
	"strings"
	"testing"
)

// Whatever a file holds, it is refused with a short error, or it makes a
// configuration that the router accepts and that prints and reads as itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "rtsp: no", "paths:\n  a: &x\n    source: rtsp://u:p@h:1/x\n  b:\n    <<: *x", "a: [", "? [a]\n: b", "a: |\n  b\n  c",
		"authInternalUsers: [{user: any, ips: [10.0.0.0/8], permissions: [{action: read, path: '~^a'}]}]",
		"pathDefaults: {publishUser: u, publishPass: p}\npaths: {all: , '~^a': , b: }", "webrtcICEServers: ['turn:a:b:c:1']", "--- a\n...\n",
		"paths:\n  x:\n    forward: ['rtsp://h/$MTX_PATH']\n    rtspRangeType: npt\n    rtspRangeStart: 1d1s", "!!str a: !x b", "a: *b", "\xef\xbb\xbf{}",
		"paths:\n  x: {source: 'srt://h:1?passphrase=0123456789&latency=1', srtReadPassphrase: 0123456789}\n  y: {source: 'udp://238.0.0.1:1?source=1.2.3.4'}",
		"paths:\n  x: {source: 'udp+rtp://h:1', rtpSDP: \"v=0\\nm=audio 0 RTP/AVP 0\"}\n  y: {forward: ['rtmp://u:p@h/a#k', 'srt://h:1']}",
		"hlsVariant: mpegts\nhlsSegmentCount: 3\nhlsAllowOrigins: ['http://*:1', '']\nrtmpEncryption: yes",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, _, err := Parse("f.yml", data, nil, nil)
		if err != nil {
			if err.Error() == "" || len(err.Error()) > 8192 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		if d.AuthMethod == "internal" {
			if _, err := d.Build(); err != nil {
				t.Errorf("checked, but cannot be built: %v", err)
			}
		}
		d.NotInForce()
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, Default()); err != nil {
			t.Errorf("does not read what it prints: %v", err)
		}
	})
}

// Variables never end the process, and never make a document that cannot be
// built.
func FuzzEnv(f *testing.F) {
	for _, s := range []string{
		"MTX_RTSP=no", "MTX_AUTHINTERNALUSERS_0_USER=a", "MTX_AUTHINTERNALUSERS_2_IPS_0=1.2.3.4\nMTX_AUTHINTERNALUSERS=", "MTX_PATHS_A_B_SOURCE=rtsp://h/x",
		"MTX_PATHS_0_0_RECORD=yes", "RTSP_PATHS_ALL_READUSER=x", "MTX_PATHDEFAULTS_RTSPUDPSOURCEPORTRANGE=1,9", "MTX_WEBRTCICESERVERS=turn:a:b:c:1", "MTX_WEBRTCICESERVERS=turn:a",
		"MTX_PATHS=\nMTX_PATHS_=\nMTX__", "MTX_PATHS_X_ALWAYSAVAILABLETRACKS_0_CODEC=AV1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, env string) {
		d, _, err := Parse("f.yml", []byte("paths: {a: }"), strings.Split(env, "\n"), nil)
		if err != nil {
			if err.Error() == "" {
				t.Error("the error is empty")
			}
			return
		}
		if _, err := d.Build(); err != nil && d.AuthMethod == "internal" {
			t.Errorf("checked, but cannot be built: %v", err)
		}
	})
}

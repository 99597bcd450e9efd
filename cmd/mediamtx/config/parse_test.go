package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseGood(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text string
		check      func(d *Document) bool
	}{
		{"empty file", "", func(d *Document) bool { return reflect.DeepEqual(d, Default()) }},
		{"comments only", "# nothing\n\n# here\n", func(d *Document) bool { return reflect.DeepEqual(d, Default()) }},
		{"byte order mark and CRLF", "\xef\xbb\xbfrtsp: no\r\nhls: yes\r\n", func(d *Document) bool { return !d.RTSP && d.HLS }},
		{"booleans", "rtsp: off\nrtmp: false\nhls: No\nwebrtc: 'no'\napi: on\nmetrics: YES\npprof: true", func(d *Document) bool {
			return !d.RTSP && !d.RTMP && !d.HLS && !d.WebRTC && d.API && d.Metrics && d.Pprof
		}},
		{"durations", "readTimeout: 1d12h\nwriteTimeout: 1m30s", func(d *Document) bool {
			return d.ReadTimeout == Duration(36*time.Hour) && d.WriteTimeout == Duration(90*time.Second)
		}},
		{"sizes", "hlsSegmentMaxSize: 512KB", func(d *Document) bool { return d.HLSSegmentMaxSize == 512<<10 }},
		{"encryption as boolean", "rtspEncryption: no\nrtmpEncryption: yes", func(d *Document) bool {
			return d.RTSPEncryption == "no" && d.RTMPEncryption == "strict"
		}},
		{"lists of one style and the other", "rtspTransports: [tcp]\nrtspAuthMethods:\n- basic\n- digest", func(d *Document) bool {
			return reflect.DeepEqual(d.RTSPTransports, []Transport{"tcp"}) && len(d.RTSPAuthMethods) == 2
		}},
		{"path without keys", "paths:\n  cam:\n  door: {}\n  'a.b/c~d':", func(d *Document) bool {
			return len(d.Paths) == 3 && d.Paths["cam"].Source == "publisher" && d.Paths["a.b/c~d"].Name == "a.b/c~d"
		}},
		{"numeric path", "paths: {1: {maxReaders: 2}}", func(d *Document) bool { return d.Paths["1"].MaxReaders == 2 }},
		{"defaults of paths", "pathDefaults: {maxReaders: 3, record: yes}\npaths: {a: {maxReaders: 4}, b: }", func(d *Document) bool {
			return d.Paths["a"].MaxReaders == 4 && d.Paths["a"].Record && d.Paths["b"].MaxReaders == 3
		}},
		{"no value keeps the default", "rtspAddress:\npathDefaults:\n  record: yes\npaths:\n  a:\n    record:", func(d *Document) bool {
			return d.RTSPAddress == ":8554" && d.Paths["a"].Record
		}},
		{"anchors and merges", "paths:\n  a: &x {maxReaders: 5, record: yes}\n  b:\n    <<: *x\n    maxReaders: 6\n  c: *x", func(d *Document) bool {
			return d.Paths["b"].MaxReaders == 6 && d.Paths["b"].Record && d.Paths["c"].MaxReaders == 5
		}},
		{"passwords of digits", "authInternalUsers: [{user: 007, pass: 0123, permissions: []}]", func(d *Document) bool {
			return d.AuthInternalUsers[0].User == "007" && d.AuthInternalUsers[0].Pass == "0123"
		}},
		{"newer name of a command", "pathDefaults: {runOnReady: a}\npaths: {x: {runOnAvailable: b}, y: }", func(d *Document) bool {
			return d.Paths["x"].RunOnReady == "b" && d.Paths["x"].RunOnAvailable == "b" && d.Paths["y"].RunOnAvailable == "a"
		}},
		{"networks", "apiTrustedProxies: [10.1.2.3/8, '::1', 127.0.0.1]", func(d *Document) bool {
			return d.APITrustedProxies[0].String() == "10.0.0.0/8" && d.APITrustedProxies[2].String() == "127.0.0.1/32"
		}},
		{"deprecated and its successor", "protocols: [udp]\nrtspTransports: [tcp]", func(d *Document) bool { return d.RTSPTransports[0] == "tcp" }},
		{"deprecated ICE server", "webrtcICEServers: ['turn:u:p:host:3478', 'stun:host:1']", func(d *Document) bool {
			return reflect.DeepEqual(d.WebRTCICEServers2, []ICEServer{{URL: "turn:host:3478", Username: "u", Password: "p"}, {URL: "stun:host:1"}})
		}},
		{"global recording keys", "record: yes\nrecordDeleteAfter: 0s\npaths: {a: }", func(d *Document) bool {
			return d.Paths["a"].Record && d.Paths["a"].RecordDeleteAfter == 0
		}},
		{"sources", `paths:
  a: {source: "rtsp://user:p@ss:word@10.0.0.1:554/x?y=z"}
  "~^b(.+)$": {source: "rtsps+ws://host:$G1/$G1", sourceOnDemand: yes}
  c: {source: "udp+mpegts://238.0.0.1:1234?interface=eth0"}
  d: {source: "unix+mpegts:///tmp/socket.sock"}
  e: {source: redirect, sourceRedirect: /a}
  f: {source: "udp+rtp://[::1]:5000", rtpSDP: "v=0\no=- 0 0 IN IP4 0.0.0.0\ns=-\nt=0 0\nm=audio 0 RTP/AVP 0"}
  g: {source: rpiCamera}
  h: {source: "wheps://host/x/whep"}`, func(d *Document) bool { return len(d.Paths) == 8 }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if d, _ := parse(t, c.text); !c.check(d) {
				t.Errorf("%q gave %+v", c.text, d)
			}
		})
	}
}

func TestParseBad(t *testing.T) {
	t.Parallel()
	cases := []struct{ text, want string }{
		// The file as such.
		{"a: [", `test.yml:1: the file is not valid YAML: sequence end token ']' not found`},
		{"- a", `test.yml:1: the file must hold a map of keys and values`},
		{"5", `test.yml:1: the file must hold a map of keys and values`},
		{"\xff", `test.yml: the file is not UTF-8 text`},
		{"rtsp: yes\n---\nhls: no", `test.yml:3: the file must hold one YAML document only`},
		{"rtsp: yes\nhls: no\nrtsp: no", `test.yml:3: rtsp: this key was already set in line 1`},
		{"paths:\n  a:\n    record: no\n    record: yes", `test.yml:4: path "a": record: this key was already set in line 3`},
		{"paths:\n  a:\n  a:", `test.yml:3: path "a": this key was already set in line 2`},
		{"paths: *x", `test.yml:1: the anchor "x" is not defined above`},
		{"\"a\\0b\": c", `test.yml:1: "a\x00b": this cannot be a key`},
		// Keys.
		{"rtspAdress: ':1'", `test.yml:1: unknown key "rtspAdress", did you mean "rtspAddress"?`},
		{"rtsp: yes\nrtspdisable: no", `test.yml:2: unknown key "rtspdisable", did you mean "rtspDisable"?`},
		{"qwertyuiop: 1", `test.yml:1: unknown key "qwertyuiop"`},
		{"sourceRedirect: x", `test.yml:1: unknown key "sourceRedirect", it belongs in "pathDefaults" or in a path`},
		{"paths:\n  cam:\n    sorce: x", `test.yml:3: path "cam": unknown key "sorce", did you mean "source"?`},
		{"pathDefaults:\n  recrd: x", `test.yml:2: pathDefaults: unknown key "recrd", did you mean "record"?`},
		{"authInternalUsers:\n- user: a\n  password: b", `test.yml:3: authInternalUsers[0]: unknown key "password"`},
		// Types.
		{"rtsp: 5", `test.yml:1: rtsp "5": must be yes or no`},
		{"rtsp: [yes]", `test.yml:1: rtsp: must be a single value, not a list`},
		{"writeQueueSize: many", `test.yml:1: writeQueueSize "many": must be an integer of at most 32 bits`},
		{"writeQueueSize: 4611686018427387904", `test.yml:1: writeQueueSize "4611686018427387904": must be an integer of at most 32 bits`},
		{"rtspTransports: tcp", `test.yml:1: rtspTransports: must be a list, not a single value`},
		{"rtspTransports:\n- tcp\n- smoke", `test.yml:3: rtspTransports[1] "smoke": must be udp, multicast or tcp`},
		{"paths: [a]", `test.yml:1: paths: must be a map of names and paths, not a list`},
		{"paths:\n  a: yes", `test.yml:2: path "a": must be a map of keys and values, not a single value`},
		{"pathDefaults: {rtspUDPSourcePortRange: [1]}", `test.yml:1: pathDefaults: rtspUDPSourcePortRange: must be a list of 2 numbers`},
		{"pathDefaults: {rpiCameraFPS: .nan}", `test.yml:1: pathDefaults: rpiCameraFPS ".nan": must be a number`},
		{"rtspDisable: perhaps", `test.yml:1: rtspDisable "perhaps": must be yes or no`},
		// Values.
		{"logLevel: loud", `test.yml:1: logLevel "loud": must be error, warn, info or debug`},
		{"logDestinations: []", `test.yml:1: logDestinations: must hold at least one of stdout, file, syslog`},
		{"readTimeout: soon", `test.yml:1: readTimeout "soon": must be a duration such as "10s", "1h30m" or "1d12h"`},
		{"readTimeout: 0s", `test.yml:1: readTimeout "0s": must be greater than zero`},
		{"hlsSegmentMaxSize: 5 apples", `test.yml:1: hlsSegmentMaxSize "5 apples": must be a size such as "50M", "512K" or "1G"`},
		{"writeQueueSize: 1000", `test.yml:1: writeQueueSize "1000": must be a power of two between 1 and 65536`},
		{"udpMaxPayloadSize: -1", `test.yml:1: udpMaxPayloadSize "-1": must be between 300 and 1472`},
		{"rtspAddress: zz", `test.yml:1: rtspAddress "zz": must be an address with a port of at most 65535 such as ":8554" or "127.0.0.1:8554"`},
		{"rtpAddress: ':99998'", `test.yml:1: rtpAddress ":99998": must be an address with a port of at most 65535 such as ":8554" or "127.0.0.1:8554"`},
		{"rtpAddress: ':8001'", `test.yml:1: rtpAddress ":8001": must have an even port`},
		{"rtpAddress: ':9000'", `test.yml:1: rtpAddress ":9000": its port must be the one before that of rtcpAddress ":8001"`},
		{"srtcpAddress: ':9000'", `test.yml:1: srtcpAddress ":9000": its port must be the one after that of srtpAddress ":8004"`},
		{"multicastRTPPort: 9001", `test.yml:1: multicastRTPPort "9001": must have an even port`},
		{"multicastIPRange: zz", `test.yml:1: multicastIPRange "zz": must be a network of IPv4 multicast addresses such as "224.1.0.0/16"`},
		{"multicastIPRange: 10.0.0.0/8", `test.yml:1: multicastIPRange "10.0.0.0/8": must be a network of IPv4 multicast addresses such as "224.1.0.0/16"`},
		{"apiTrustedProxies: [nobody]", `test.yml:1: apiTrustedProxies[0] "nobody": must be an IP address or a network such as "192.168.0.0/16"`},
		{"authHTTPFingerprint: abc", `test.yml:1: authHTTPFingerprint "abc": must be empty or a SHA-256 hash of 64 hexadecimal digits`},
		{"authMethod: http", `test.yml:1: authMethod "http": authHTTPAddress must be set too`},
		{"authMethod: jwt", `test.yml:1: authMethod "jwt": authJWTJWKS must be set too`},
		{"authHTTPAddress: ftp://x", `test.yml:1: authHTTPAddress "ftp://x": must be empty or a URL that begins with "http://" or "https://"`},
		{"webrtcIPsFromInterfaces: no", `test.yml:1: webrtcIPsFromInterfaces "no": must be yes, unless webrtcAdditionalHosts or webrtcICEServers2 tell other addresses`},
		{"webrtcICEServers2: [{url: 'http://x'}]", `test.yml:1: webrtcICEServers2[0].url "http://x": must be stun:HOST:PORT, turn:HOST:PORT or turns:HOST:PORT`},
		{"webrtcICEServers2: [{url: 'turn:h:1'}]", `test.yml:1: webrtcICEServers2[0].username "": a TURN server needs a user name and a password`},
		{"webrtcICEServers2: [{url: 'stun:h:1?a=b'}]", `test.yml:1: webrtcICEServers2[0].url "stun:h:1": the only parameter is transport, udp or tcp, of TURN servers`},
		{"webrtcICEServers2: [{url: 'turn:h:1', username: \"a\\nb\", password: s3cret}]", `test.yml:1: webrtcICEServers2[0].username "a\nb": user name and password cannot hold control characters`},
		{"webrtcHandshakeTimeout: 11m", `test.yml:1: webrtcHandshakeTimeout "11m0s": must be at most 10m0s`},
		{"webrtcAdditionalHosts: [a, '']", `test.yml:1: webrtcAdditionalHosts[1] "": must be an IP address or a host name`},
		{"srtAddress: 'a b:1'", `test.yml:1: srtAddress "a b:1": must be an address with a port of at most 65535 such as ":8554" or "127.0.0.1:8554"`},
		// Users.
		{"authInternalUsers: [{pass: x}]", `test.yml:1: authInternalUsers[0].user: must be a name, or any`},
		{"authInternalUsers: [{user: any, pass: secretword}]", `test.yml:1: authInternalUsers[0].pass: must be empty if the user is "any"`},
		{"authInternalUsers: [{user: a, pass: 'sha256:secretword'}]", `test.yml:1: authInternalUsers[0].pass: must be plain text or a valid hash: sha256: must be followed by the standard base64 of 32 bytes (44 characters)`},
		{"authHTTPAddress: ftp://u:secretword@h/x?token=secretword", `test.yml:1: authHTTPAddress "ftp://***@h/x": must be empty or a URL that begins with "http://" or "https://"`},
		{"authInternalUsers: [{user: a, permissions: [{action: destroy}]}]", `test.yml:1: authInternalUsers[0].permissions[0].action "destroy": must be publish, read, playback, api, metrics or pprof`},
		{"authInternalUsers: [{user: a, permissions: [{path: x}]}]", `test.yml:1: authInternalUsers[0].permissions[0]: action must be publish, read, playback, api, metrics or pprof`},
		{"authInternalUsers: [{user: a, permissions: [{action: read, path: '~('}]}]", `test.yml:1: authInternalUsers[0].permissions[0].path "~(": must be a valid regular expression`},
		{
			"authInternalUsers: [{user: 'sha256:j1tsRqDEw9xvq/D7/9tMx6Jh/jMhk3UfjwIB2f1zgMo='}]\nrtspAuthMethods: [digest]",
			`test.yml:2: rtspAuthMethods "digest": must include basic, since credentials in authInternalUsers are hashed`,
		},
		// Paths.
		{"paths:\n  /cam:", `test.yml:2: path "/cam": cannot begin with a slash`},
		{"paths:\n  'a b':", `test.yml:2: path "a b": can contain only letters, digits and _ - . ~ / : @ ! $ & ' ( ) * + , ; =`},
		{"paths:\n  '~(':", `test.yml:2: path "~(": the name must be a valid regular expression after the tilde`},
		{"paths:\n  all:\n  '~^.*$':", `test.yml:3: path "~^.*$": this is the same as "all", so only one of them can be there`},
		{"paths:\n  a:\n    name: b", `test.yml:3: path "a": name "b": must be that of the path, or be left out`},
		{"pathDefaults:\n  name: b", `test.yml:2: pathDefaults: name "b": must be empty: only paths have names`},
		{"paths:\n  a:\n    source: gopher://x", `test.yml:3: path "a": source "gopher://x": must be publisher, redirect, rpiCamera, or a URL with one of the schemes ` + schemeList},
		{"paths:\n  a:\n    source: rtsp://u:secretword@host:99999/x?k=secretword", `test.yml:3: path "a": source "rtsp://***@host:99999/x": must be a URL with a port between 1 and 65535`},
		{"paths:\n  a:\n    source: rtsp:///x", `test.yml:3: path "a": source "rtsp:///x": must be a URL with a host`},
		{"paths:\n  a:\n    source: udp+mpegts://238.0.0.1", `test.yml:3: path "a": source "udp+mpegts://238.0.0.1": must be a URL with a port, as in "udp+mpegts://238.0.0.1:1234"`},
		{"paths:\n  a:\n    source: redirect", `test.yml:3: path "a": source "redirect": sourceRedirect must be set too`},
		{"paths:\n  a:\n    fallback: /two words", `test.yml:3: path "a": fallback "/two words": must be a URL, or a path with a leading slash such as "/other"`},
		{"paths:\n  a:\n    fallback: /a/../b", `test.yml:3: path "a": fallback "/a/../b": must be a URL, or a path with a leading slash such as "/other"`},
		{"paths:\n  a:\n    source: redirect\n    sourceRedirect: elsewhere", `test.yml:4: path "a": sourceRedirect "elsewhere": must be a URL, or a path with a leading slash such as "/other"`},
		{"paths:\n  a:\n    sourceRedirect: /b", `test.yml:3: path "a": sourceRedirect "/b": source must be redirect`},
		{"paths:\n  a:\n    sourceOnDemand: yes", `test.yml:3: path "a": sourceOnDemand "yes": source must be one that is pulled, not publisher`},
		{"paths:\n  all_others:\n    source: rtsp://h/x", `test.yml:3: path "all_others": source "rtsp://h/x": sourceOnDemand must be yes, since the path stands for any number of paths`},
		{"paths:\n  a:\n    source: rtsp://h/x\n    runOnDemand: cmd", `test.yml:4: path "a": runOnDemand: source must be publisher`},
		{"paths:\n  all:\n    runOnInit: cmd", `test.yml:3: path "all": runOnInit: the path must have a fixed name`},
		{"paths:\n  a:\n    maxReaders: -1", `test.yml:3: path "a": maxReaders "-1": must not be negative`},
		{"paths:\n  a:\n    forward: [rtsp://ok/x, 'ftp://u:secretword@x']", `test.yml:3: path "a": forward[1] "ftp://***@x": must be a URL with one of the schemes rtsp, rtsps, rtmp, rtmps, srt, whip, whips, moqt`},
		{"paths:\n  a:\n    srtReadPassphrase: secret", `test.yml:3: path "a": srtReadPassphrase: must be empty or have from 10 to 79 characters`},
		{"paths:\n  a:\n    recordPath: ./x", `test.yml:3: path "a": recordPath "./x": must contain %path`},
		{"paths:\n  a:\n    rtspScale: fast", `test.yml:3: path "a": rtspScale "fast": must be empty or a number between -1000 and 1000 other than zero, such as "2.0"`},
		{"paths:\n  a:\n    rtspRangeType: clock\n    rtspRangeStart: noon", `test.yml:4: path "a": rtspRangeStart "noon": must be a date such as "20230812T120000Z" if rtspRangeType is clock`},
		{"paths:\n  a:\n    rpiCameraBrightness: 3", `test.yml:3: path "a": rpiCameraBrightness "3": must be between -1 and 1`},
		{"paths:\n  a:\n    rpiCameraAWB: pink", `test.yml:3: path "a": rpiCameraAWB "pink": must be auto, incandescent, tungsten, fluorescent, indoor, daylight, cloudy or custom`},
		{"paths:\n  a:\n    source: rpiCamera\n    rpiCameraROI: 0,0,1", `test.yml:4: path "a": rpiCameraROI "0,0,1": must be x,y,width,height with numbers between 0 and 1`},
		{"pathDefaults:\n  rpiCameraMode: big\npaths: {a: {source: rpiCamera}}", `test.yml:2: path "a": rpiCameraMode "big": must be width:height:bits:packing, such as 1920:1080:10:P`},
		{"paths:\n  a:\n    source: rpiCamera\n    rpiCameraWidth: 70000", `test.yml:4: path "a": rpiCameraWidth "70000": must be between 1 and 65535`},
		{"paths:\n  a:\n    sources: [rtsp://h/x, publisher]", `test.yml:3: path "a": sources[1] "publisher": must be a source that is pulled`},
		{"paths:\n  a:\n    source: rtsp://h/x\n    sources: [rtsp://h/y]", `test.yml:4: path "a": sources "rtsp://h/y": source must not be set too`},
		{"paths:\n  a:\n    sources: ['rtsp://u:secretword@h:99999/x']", `test.yml:3: path "a": sources[0] "rtsp://***@h:99999/x": must be a URL with a port between 1 and 65535`},
		{"paths:\n  a:\n    gopCacheMaxSize: 1K", `test.yml:3: path "a": gopCacheMaxSize "1K": must be between 64K and 1G`},
		{"paths:\n  a:\n    publisherGracePeriod: -1s", `test.yml:3: path "a": publisherGracePeriod "-1s": must not be negative`},
		{"paths:\n  a:\n    alwaysAvailable: yes\n    alwaysAvailableFile: ../../../mediamtx.yml", `test.yml:4: path "a": alwaysAvailableFile: ../../../mediamtx.yml: this is not an MP4 file`},
		{"paths:\n  a:\n    alwaysAvailable: yes\n    alwaysAvailableTracks: [{codec: H264}, {codec: Opus, channelCount: 6}]", `test.yml:4: path "a": alwaysAvailableTracks: track 2 (Opus): channel count 6: must be 1 or 2`},
		{"paths:\n  a:\n    alwaysAvailable: yes\n    source: redirect\n    sourceRedirect: /b\n    alwaysAvailableTracks: [{codec: H264}]", `test.yml:3: path "a": alwaysAvailable "yes": source must not be redirect`},
		{"paths:\n  a:\n    alwaysAvailableTracks: [{codec: G711}]", `test.yml:3: path "a": alwaysAvailableTracks[0]: sampleRate and channelCount must be set for G711`},
		{"paths:\n  a:\n    runOnReady: x\n    runOnAvailable: y", `test.yml:4: path "a": runOnAvailable: this is the same as runOnReady, so only one of them can be set`},
		{"pathDefaults:\n  maxReaders: -1\npaths: {a: , b: }", `test.yml:2: pathDefaults: maxReaders "-1": must not be negative`},
		// Servers and sources as their packages see them.
		{"rtspEncryption: strict\nrtspServerKey: ''", `test.yml:2: rtspServerKey "": must name a file, since rtspEncryption is switched on`},
		{"rtmpEncryption: optional\nrtmpServerCert: ''", `test.yml:2: rtmpServerCert "": must name a file, since rtmpEncryption is switched on`},
		{"hlsEncryption: yes\nhlsServerCert: ''", `test.yml:2: hlsServerCert "": must name a file, since hlsEncryption is switched on`},
		{"rtmpAddress: zz", `test.yml:1: rtmpAddress "zz": must be an address with a port of at most 65535 such as ":8554" or "127.0.0.1:8554"`},
		{"srtAddress: ':-1'", `test.yml:1: srtAddress ":-1": must be an address with a port of at most 65535 such as ":8554" or "127.0.0.1:8554"`},
		{"hlsVariant: dash", `test.yml:1: hlsVariant "dash": must be mpegts, fmp4 or lowLatency`},
		{"hlsSegmentCount: 3", `test.yml:1: hlsSegmentCount "3": must be between 7 and 10000 with the variant lowLatency`},
		{"hlsVariant: fmp4\nhlsSegmentCount: 2", `test.yml:2: hlsSegmentCount "2": must be between 3 and 10000 with the variant fmp4`},
		{"hlsSegmentDuration: 2h", `test.yml:1: hlsSegmentDuration "2h0m0s": must be between 0 and 1h`},
		{"hlsPartDuration: 2s", `test.yml:1: hlsPartDuration "2s": must not be longer than the segment duration, 1s`},
		{
			"hlsPartDuration: 2s\nhlsSegmentCount: 1",
			"test.yml:1: hlsPartDuration \"2s\": must not be longer than the segment duration, 1s\n" +
				`test.yml:2: hlsSegmentCount "1": must be between 7 and 10000 with the variant lowLatency`,
		},
		{"hlsAllowOrigins: ['*', example.com]", `test.yml:1: hlsAllowOrigins[1] "example.com": must be *, or a scheme and a host such as https://*.example.com`},
		{"paths:\n  a:\n    source: srt://host:1?mode=sideways", `test.yml:3: path "a": source "srt://host:1": SRT parameter mode: it must be caller or listener`},
		{"paths:\n  a:\n    source: 'srt://host:1?passphrase=secretw'", `test.yml:3: path "a": source "srt://host:1": SRT parameter passphrase: it must be of 10 to 80 characters`},
		{"paths:\n  a:\n    source: rtmp://u:p%secretword@host/x", `test.yml:3: path "a": source "rtmp://***@host/x": must be a valid URL, in which special characters of user and password are written as %2F (/), %3F (?), %23 (#), %25 (%)`},
		{"paths:\n  a:\n    source: udp+mpegts://238.0.0.1:1234?source=me", `test.yml:3: path "a": source "udp+mpegts://238.0.0.1:1234": source "me": it must be the IP address of the sender`},
		{"paths:\n  a:\n    source: unix+mpegts://relative.sock", `test.yml:3: path "a": source "unix+mpegts://relative.sock": three slashes and the absolute path of a socket must follow the scheme, as in :///run/socket.sock`},
		{"paths:\n  a:\n    source: udp+rtp://0.0.0.0:5000", `test.yml:3: path "a": source "udp+rtp://0.0.0.0:5000": rtpSDP must be set too`},
		{"paths:\n  a:\n    source: udp+rtp://0.0.0.0:5000\n    rtpSDP: hello", `test.yml:4: path "a": rtpSDP: SDP: invalid session description: invalid line: (hello)`},
		{"pathDefaults:\n  rtpSDP: hello\npaths:\n  a:\n    source: udp+rtp://0.0.0.0:5000", `test.yml:2: path "a": rtpSDP: SDP: invalid session description: invalid line: (hello)`},
		{"paths:\n  a:\n    forward: ['rtsp://h/x', 'srt://host:1?mode=listener&passphrase=secretword']", `test.yml:3: path "a": forward[1] "srt://host:1": SRT parameter mode: to forward it must be caller`},
		// Deprecated credentials.
		{"paths:\n  a:\n    readPass: secretword", `test.yml:3: path "a": readUser must be set too, since readPass is`},
		{"authInternalUsers: []\npaths:\n  a:\n    readUser: x", `test.yml:4: path "a": credentials of paths cannot be used together with authInternalUsers`},
		{"authMethod: jwt\nauthJWTJWKS: http://x\npaths:\n  a:\n    readUser: x", `test.yml:5: path "a": credentials of paths can be used only if authMethod is internal`},
	}
	for _, c := range cases {
		_, _, err := Parse("test.yml", []byte(c.text), nil, nil)
		if err == nil {
			t.Errorf("%q was accepted, want %s", c.text, c.want)
			continue
		}
		if err.Error() != c.want {
			t.Errorf("%q:\ngot  %s\nwant %s", c.text, err, c.want)
		}
		if strings.Contains(err.Error(), "secretword") {
			t.Errorf("%q: the error holds a secret: %s", c.text, err)
		}
	}
}

func TestSeveralProblems(t *testing.T) {
	t.Parallel()
	_, _, err := Parse("test.yml", []byte("a: 1\nhls: 7\nb: 2\nc: 3\nd: 4\nrtmp: 5\nf: 6"), nil, nil)
	e, ok := errors.AsType[*Error](err)
	if !ok || len(e.Problems) != 7 {
		t.Fatalf("got %v, want 7 problems", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 6 || lines[5] != "and 2 more problems" || lines[1] != `test.yml:2: hls "7": must be yes or no` {
		t.Errorf("got %q", lines)
	}
}

func TestHostileFiles(t *testing.T) {
	t.Parallel()
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 10; i++ {
		n, p := string(rune('0'+i)), string(rune('0'+i-1))
		bomb += "a" + n + ": &a" + n + " [" + strings.Repeat("*a"+p+",", 9) + "*a" + p + "]\n"
	}
	cases := map[string]string{
		"alias bomb":     bomb,
		"flow nesting":   "a: " + strings.Repeat("[", 100_000),
		"map nesting":    strings.Repeat("{a: ", 10_000),
		"inline nesting": strings.Repeat("- ", 100_000) + "x",
		"tags":           "a: " + strings.Repeat("!x ", 10_000) + "y",
		"self reference": "a: &a [*a]",
		"deep mapping": func() (s string) {
			for i := range 200 {
				s += strings.Repeat(" ", i) + "a:\n"
			}
			return
		}(),
		"large file":      strings.Repeat("#", maxFileSize+1),
		"flow after keys": strings.Repeat("a: [\n", 5_000),
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			if _, _, err := Parse("test.yml", []byte(text), nil, nil); err == nil {
				t.Error("accepted")
			} else if len(err.Error()) > 4096 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

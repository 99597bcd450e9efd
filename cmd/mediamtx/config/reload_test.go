package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/org/mtx/router"
)

// settings are keys and their values in YAML.
type settings map[string]string

const testSDP = `"v=0\no=- 0 0 IN IP4 0.0.0.0\ns=-\nt=0 0\nm=audio 0 RTP/AVP 0"`

// reloadBase is a configuration in which everything that is in force is in use.
func reloadBase() (global settings, paths map[string]settings) {
	return settings{"rtspEncryption": "optional", "rtmpEncryption": "optional", "hlsEncryption": "yes", "webrtcEncryption": "yes",
			"api": "yes", "apiEncryption": "yes", "metrics": "yes", "metricsEncryption": "yes", "playback": "yes", "playbackEncryption": "yes", "pprof": "yes", "pprofEncryption": "yes"},
		map[string]settings{
			"idle":  {},
			"fast":  {"gopCache": "yes"},
			"relay": {"forward": "['rtsp://h/x', 'rtmp://h/x', 'srt://h:1']"},
			"rtsp":  {"source": "'rtsps://h/x'"},
			"rtmp":  {"source": "'rtmps://h/x'"},
			"hls":   {"source": "'https://h/x'"},
			"srt":   {"source": "'srt://h:1'"},
			"whep":  {"source": "'wheps://h/x/whep'"},
			"ts":    {"source": "'udp://238.0.0.1:1'"},
			"rtp":   {"source": "'udp+rtp://238.0.0.1:1'", "rtpSDP": testSDP},
			"moved": {"source": "redirect", "sourceRedirect": "/idle"},
			"hooks": {"runOnInit": "x", "runOnReady": "x", "runOnOnline": "x", "runOnRead": "x"},
			"asked": {"runOnDemand": "x"},
			"saved": {"record": "yes"},
			"cam":   {"source": "rpiCamera"},
			"multi": {"sources": "['rtsp://h/x', 'srt://h:1']"},
			"never": {"alwaysAvailable": "yes", "alwaysAvailableTracks": "[{codec: H264}, {codec: Opus}]"},
		}
}

// buildSettings writes a file and builds it.
func buildSettings(t *testing.T, global settings, paths map[string]settings) router.Config {
	t.Helper()
	var b strings.Builder
	write := func(indent string, s settings) {
		for _, k := range slices.Sorted(maps.Keys(s)) {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, k, s[k])
		}
	}
	write("", global)
	b.WriteString("paths:\n")
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		fmt.Fprintf(&b, "  %s:\n", name)
		write("    ", paths[name])
	}
	d, _ := parse(t, b.String())
	c, err := d.Build()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// disturbed prints what a change disturbs: "hls" is a server that is restarted,
// "-hls" and "+hls" are one that stops or starts, "path/x" is a path that is
// restarted, "live/x" one that changes without disconnecting anybody.
func disturbed(ch router.Changes) string {
	var out []string
	for _, n := range ch.ProtocolsStopped {
		if !slices.Contains(ch.ProtocolsStarted, n) {
			n = "-" + n
		}
		out = append(out, n)
	}
	for _, n := range ch.ProtocolsStarted {
		if !slices.Contains(ch.ProtocolsStopped, n) {
			out = append(out, "+"+n)
		}
	}
	for _, l := range []struct {
		prefix string
		names  []string
	}{
		{"updated/", ch.ProtocolsUpdated},
		{"path/", ch.PathsRestarted},
		{"live/", ch.PathsUpdated},
		{"path+", ch.PathsAdded},
		{"path-", ch.PathsRemoved},
	} {
		for _, n := range l.names {
			out = append(out, l.prefix+n)
		}
	}
	if ch.Auth {
		out = append(out, "auth")
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, " ")
}

// What a change of each key that is in force disturbs. A key that is missing
// here fails the test.
func TestReloadDisturbs(t *testing.T) {
	t.Parallel()
	const (
		rtsp    = "rtsp rtsps"
		rtmp    = "rtmp rtmps"
		servers = "api hls metrics playback pprof rtmp rtmps rtsp rtsps srt webrtc"
	)
	known := map[string]bool{}
	covered := func(scope string, set settings) {
		for k := range set {
			known[scope+" "+k] = true
		}
	}
	oldGlobal, oldPaths := reloadBase()
	base := buildSettings(t, oldGlobal, oldPaths)
	for _, c := range []struct {
		set  settings
		want string
	}{
		{settings{"logLevel": "debug"}, "nothing"},
		{settings{"logDestinations": "[file]"}, "nothing"},
		{settings{"logStructured": "yes"}, "nothing"},
		{settings{"logFile": "x"}, "nothing"},
		{settings{"sysLogPrefix": "x"}, "nothing"},
		{settings{"dumpPackets": "yes"}, "nothing"}, // connections to come

		{settings{"readTimeout": "1s"}, servers + " path/hls path/multi path/rtmp path/rtp path/rtsp path/srt path/ts path/whep live/cam live/relay"},
		{settings{"writeTimeout": "1s"}, servers + " path/multi path/rtmp path/rtsp live/relay"},
		{settings{"writeQueueSize": "64"}, "rtmp rtmps rtsp rtsps"},
		{settings{"udpMaxPayloadSize": "1000"}, "rtsp rtsps srt"},
		{settings{"udpReadBufferSize": "1000"}, "rtsp rtsps srt webrtc path/multi path/rtp path/rtsp path/srt path/ts"},

		{settings{"authInternalUsers": "[{user: x, permissions: [{action: read}]}]"}, "auth"},
		{settings{"authJWTInHTTPQuery": "no"}, "api hls metrics playback pprof updated/webrtc"},
		{settings{"authMethod": "http", "authHTTPAddress": "http://h"}, "auth"},
		{settings{"authMethod": "http", "authHTTPAddress": "http://h", "authHTTPFingerprint": strings.Repeat("0", 64)}, "auth"},
		{settings{"authMethod": "http", "authHTTPAddress": "http://h", "authHTTPExclude": "[{action: api}]"}, "auth"},
		{settings{"authMethod": "http", "authHTTPAddress": "http://h", "authHTTPCacheDuration": "1s"}, "auth"},
		{settings{"authHTTPAddress": "http://h"}, "nothing"}, // it is not asked
		{settings{"authMethod": "jwt", "authJWTJWKS": "http://h", "authJWTJWKSFingerprint": strings.Repeat("0", 64)}, "auth"},
		{settings{"authMethod": "jwt", "authJWTJWKS": "http://h", "authJWTClaimKey": "x", "authJWTIssuer": "x"}, "auth"},
		{settings{"authMethod": "jwt", "authJWTJWKS": "http://h", "authJWTAudience": "x", "authJWTExclude": "[{action: api}]"}, "auth"},
		{settings{"authMethod": "jwt", "authJWTJWKS": "http://h", "authJWTKickOnExpiry": "yes"}, "auth"},

		{settings{"runOnConnect": "x"}, "nothing"}, // it runs for those who connect from now on
		{settings{"runOnConnectRestart": "yes"}, "nothing"},
		{settings{"runOnDisconnect": "x"}, "nothing"},
		{settings{"webhooks": "[{url: 'http://h'}]"}, "nothing"},

		{settings{"rtsp": "no"}, "-rtsp -rtsps"},
		{settings{"rtspEncryption": "strict"}, "-rtsp"},
		{settings{"rtspTransports": "[tcp]"}, rtsp},
		{settings{"rtspAuthMethods": "[digest]"}, rtsp},
		{settings{"rtspTrustedProxies": "[10.0.0.0/8]"}, rtsp},
		{settings{"multicastIPRange": "239.0.0.0/8"}, rtsp},
		{settings{"rtspAddress": ":1"}, "rtsp path/asked path/hooks"}, // commands know the port,
		{settings{"rtpAddress": ":2", "rtcpAddress": ":3"}, "rtsp"},
		{settings{"multicastRTPPort": "2", "multicastRTCPPort": "3"}, "rtsp"},
		{settings{"rtspsAddress": ":1"}, "rtsps"},
		{settings{"srtpAddress": ":2", "srtcpAddress": ":3"}, "rtsps"},
		{settings{"multicastSRTPPort": "2", "multicastSRTCPPort": "3"}, "rtsps"},
		{settings{"rtspServerKey": "x"}, "rtsps"},
		{settings{"rtspServerCert": "x"}, "rtsps"},

		{settings{"rtmp": "no"}, "-rtmp -rtmps"},
		{settings{"rtmpEncryption": "no"}, "-rtmps"},
		{settings{"rtmpEncryption": "strict"}, "-rtmp"},
		{settings{"rtmpAddress": ":1"}, "rtmp"},
		{settings{"rtmpsAddress": ":1"}, "rtmps"},
		{settings{"rtmpServerKey": "x"}, "rtmps"},
		{settings{"rtmpTrustedProxies": "[10.0.0.0/8]"}, "rtmp rtmps"},
		{settings{"rtmpServerCert": "x"}, "rtmps"},

		{settings{"hls": "no"}, "-hls"},
		{settings{"hlsAddress": ":1"}, "hls"},
		{settings{"hlsEncryption": "no"}, "hls"},
		{settings{"hlsServerKey": "x"}, "hls"},
		{settings{"hlsServerCert": "x"}, "hls"},
		{settings{"hlsAllowOrigins": "['https://x']"}, "hls"},
		{settings{"hlsTrustedProxies": "[10.0.0.0/8]"}, "hls"},
		{settings{"hlsCDNSecret": "x"}, "hls"},
		{settings{"hlsAlwaysRemux": "yes"}, "hls"},
		{settings{"hlsVariant": "mpegts"}, "hls"},
		{settings{"hlsSegmentCount": "8"}, "hls"},
		{settings{"hlsSegmentDuration": "2s"}, "hls"},
		{settings{"hlsPartDuration": "300ms"}, "hls"},
		{settings{"hlsSegmentMaxSize": "1M"}, "hls"},
		{settings{"hlsDirectory": "x"}, "hls"},
		{settings{"hlsMuxerCloseAfter": "1s"}, "hls"},
		{settings{"apiPersist": "x"}, "nothing"},

		{settings{"api": "no"}, "-api"},
		{settings{"apiAddress": ":1"}, "api"},
		{settings{"apiEncryption": "no"}, "api"},
		{settings{"apiServerKey": "x"}, "api"},
		{settings{"apiServerCert": "x"}, "api"},
		{settings{"apiAllowOrigins": "['https://x']"}, "api"},
		{settings{"apiTrustedProxies": "[10.0.0.0/8]"}, "api"},

		{settings{"metrics": "no"}, "-metrics"},
		{settings{"metricsAddress": ":1"}, "metrics"},
		{settings{"metricsEncryption": "no"}, "metrics"},
		{settings{"metricsServerKey": "x"}, "metrics"},
		{settings{"metricsServerCert": "x"}, "metrics"},
		{settings{"metricsAllowOrigins": "['https://x']"}, "metrics"},
		{settings{"metricsTrustedProxies": "[10.0.0.0/8]"}, "metrics"},

		{settings{"pprof": "no"}, "-pprof"},
		{settings{"pprofAddress": ":1"}, "pprof"},
		{settings{"pprofEncryption": "no"}, "pprof"},
		{settings{"pprofServerKey": "x"}, "pprof"},
		{settings{"pprofServerCert": "x"}, "pprof"},
		{settings{"pprofAllowOrigins": "['https://x']"}, "pprof"},
		{settings{"pprofTrustedProxies": "[10.0.0.0/8]"}, "pprof"},

		{settings{"webrtc": "no"}, "-webrtc"},
		{settings{"webrtcAddress": ":1"}, "webrtc"},
		{settings{"webrtcEncryption": "no"}, "webrtc"},
		{settings{"webrtcServerKey": "x"}, "webrtc"},
		{settings{"webrtcServerCert": "x"}, "webrtc"},
		{settings{"webrtcAllowOrigins": "['https://x']"}, "webrtc"},
		{settings{"webrtcTrustedProxies": "[10.0.0.0/8]"}, "webrtc"},
		{settings{"webrtcLocalUDPAddress": ":1"}, "webrtc"},
		{settings{"webrtcLocalTCPAddress": ":1"}, "webrtc"},
		{settings{"webrtcIPsFromInterfaces": "no", "webrtcAdditionalHosts": "[h]"}, "webrtc"},
		{settings{"webrtcIPsFromInterfacesList": "[eth0]"}, "webrtc"},
		{settings{"webrtcAdditionalHosts": "[h]"}, "webrtc"},
		{settings{"webrtcSTUNGatherTimeout": "1s"}, "webrtc"},
		{settings{"webrtcHandshakeTimeout": "1s"}, "webrtc"},
		{settings{"webrtcTrackGatherTimeout": "1s"}, "webrtc"},
		{settings{"webrtcICEServers2": "[{url: 'stun:h:1'}]"}, "updated/webrtc"},

		{settings{"playback": "no"}, "-playback"},
		{settings{"playbackAddress": ":1"}, "playback"},
		{settings{"playbackEncryption": "no"}, "playback"},
		{settings{"playbackServerKey": "x"}, "playback"},
		{settings{"playbackServerCert": "x"}, "playback"},
		{settings{"playbackAllowOrigins": "['https://x']"}, "playback"},
		{settings{"playbackTrustedProxies": "[10.0.0.0/8]"}, "playback"},

		{settings{"recordMaxTotalSize": "1G"}, "recordcleaner"},

		{settings{"srt": "no"}, "-srt"},
		{settings{"srtAddress": ":1"}, "srt"},
	} {
		covered("global", c.set)
		global, paths := reloadBase()
		maps.Copy(global, c.set)
		next := buildSettings(t, global, paths)
		if got := disturbed(router.Diff(&base, &next)); got != c.want {
			t.Errorf("%v disturbs %s, want %s", c.set, got, c.want)
		}
	}
	for _, c := range []struct {
		path string
		set  settings
		want string
	}{
		{"idle", settings{"maxReaders": "5"}, "live/idle"},
		{"idle", settings{"overridePublisher": "no"}, "live/idle"},
		{"multi", settings{"sources": "['rtsp://h/x', 'srt://h:2']"}, "path/multi"},
		{"multi", settings{"sourceStallTimeout": "3s"}, "path/multi"},
		{"idle", settings{"sourceStallTimeout": "3s"}, "nothing"}, // there is one source
		{"idle", settings{"publisherGracePeriod": "5s"}, "live/idle"},
		{"idle", settings{"gopCache": "yes"}, "live/idle"},
		{"fast", settings{"gopCache": "no"}, "live/fast"},
		{"fast", settings{"gopCacheMaxSize": "8M"}, "live/fast"},
		{"idle", settings{"gopCacheMaxSize": "8M"}, "nothing"}, // there is no cache
		{"idle", settings{"alwaysAvailable": "yes", "alwaysAvailableTracks": "[{codec: H264}]"}, "path/idle"},
		{"never", settings{"alwaysAvailableTracks": "[{codec: H264}, {codec: G711, sampleRate: 8000, channelCount: 1, muLaw: yes}]"}, "path/never"},
		{"never", settings{"alwaysAvailableFile": "../../../standby/segments/h265.mp4"}, "path/never"},
		{"idle", settings{"useAbsoluteTimestamp": "yes"}, "path/idle"},
		{"idle", settings{"fallback": "/x"}, "live/idle"},
		{"idle", settings{"rtspDemuxMpegts": "yes"}, "path/idle"},
		{"idle", settings{"srtReadPassphrase": "0123456789"}, "path/idle"},
		{"idle", settings{"srtPublishPassphrase": "0123456789"}, "path/idle"},
		{"idle", settings{"forward": "['rtmp://h/x']"}, "live/idle"},
		{"relay", settings{"forward": "['rtsp://h/x', 'rtmp://h/y', 'srt://h:1']"}, "live/relay"},
		{"relay", settings{"forward": "[]"}, "live/relay"},
		{"idle", settings{"publishUser": "u", "publishPass": "p"}, "auth"},
		{"idle", settings{"publishIPs": "[10.0.0.1]"}, "auth"},
		{"idle", settings{"readUser": "u", "readPass": "p"}, "auth"},
		{"idle", settings{"readIPs": "[10.0.0.1]"}, "auth"},

		{"saved", settings{"record": "no"}, "-recordcleaner live/saved"},
		{"idle", settings{"record": "yes"}, "recordcleaner live/idle"},
		{"saved", settings{"recordPath": "./x/%path/%s-%f"}, "recordcleaner updated/playback live/saved"},
		{"saved", settings{"recordFormat": "mpegts"}, "updated/playback live/saved"},
		{"saved", settings{"recordPartDuration": "2s"}, "live/saved"},
		{"saved", settings{"recordMaxPartSize": "1M"}, "live/saved"},
		{"saved", settings{"recordSegmentDuration": "1m"}, "live/saved"},
		{"saved", settings{"recordDeleteAfter": "1h"}, "recordcleaner"},
		{"saved", settings{"recordMaxSize": "1G"}, "recordcleaner"},
		{"saved", settings{"recordMinFreeSpace": "1G"}, "recordcleaner live/saved"},
		{"idle", settings{"runOnInit": "x"}, "path/idle"},
		{"hooks", settings{"runOnInitRestart": "yes"}, "path/hooks"},
		{"idle", settings{"runOnReady": "x"}, "path/idle"},
		{"hooks", settings{"runOnReadyRestart": "yes"}, "path/hooks"},
		{"idle", settings{"runOnNotReady": "x"}, "path/idle"},
		{"idle", settings{"runOnAvailable": "x"}, "path/idle"},
		{"hooks", settings{"runOnAvailableRestart": "yes"}, "path/hooks"},
		{"idle", settings{"runOnUnavailable": "x"}, "path/idle"},
		{"idle", settings{"runOnOnline": "x"}, "path/idle"},
		{"hooks", settings{"runOnOnlineRestart": "yes"}, "path/hooks"},
		{"idle", settings{"runOnOffline": "x"}, "path/idle"},
		{"idle", settings{"runOnRead": "x"}, "path/idle"},
		{"hooks", settings{"runOnReadRestart": "yes"}, "path/hooks"},
		{"idle", settings{"runOnUnread": "x"}, "path/idle"},
		{"idle", settings{"runOnRecordSegmentCreate": "x"}, "path/idle"},
		{"idle", settings{"runOnRecordSegmentComplete": "x"}, "path/idle"},
		{"idle", settings{"runOnDemand": "x"}, "path/idle"},
		{"asked", settings{"runOnDemandRestart": "yes"}, "path/asked"},
		{"asked", settings{"runOnDemandStartTimeout": "1s"}, "live/asked"},
		{"asked", settings{"runOnDemandCloseAfter": "1s"}, "live/asked"},
		{"asked", settings{"runOnUnDemand": "x"}, "path/asked"},

		{"idle", settings{"source": "'srt://h:1'"}, "path/idle"},
		{"rtmp", settings{"source": "'rtmp://h/y'"}, "path/rtmp"},
		{"whep", settings{"whepBearerToken": "x"}, "path/whep"},
		{"whep", settings{"whepSTUNGatherTimeout": "1s"}, "path/whep"},
		{"whep", settings{"whepHandshakeTimeout": "1s"}, "path/whep"},
		{"whep", settings{"whepTrackGatherTimeout": "1s"}, "path/whep"},
		{"rtmp", settings{"source": "publisher"}, "path/rtmp"},
		{"hls", settings{"source": "'http://h/y'"}, "path/hls"},
		{"srt", settings{"source": "'srt://h:2'"}, "path/srt"},
		{"ts", settings{"source": "'unix+mpegts:///x'"}, "path/ts"},
		{"rtp", settings{"source": "'unix+rtp:///x'"}, "path/rtp"},
		{"moved", settings{"sourceRedirect": "/rtp"}, "path/moved"},
		{"srt", settings{"sourceOnDemand": "yes"}, "live/srt"},
		{"srt", settings{"sourceOnDemandStartTimeout": "1s"}, "nothing"}, // it is not on demand
		{"srt", settings{"sourceOnDemandCloseAfter": "1s"}, "nothing"},
		{"rtsp", settings{"sourceFingerprint": strings.Repeat("0", 64)}, "path/rtsp"},
		{"rtmp", settings{"sourceFingerprint": strings.Repeat("0", 64)}, "path/rtmp"},
		{"hls", settings{"sourceFingerprint": strings.Repeat("0", 64)}, "path/hls"},
		{"srt", settings{"sourceFingerprint": strings.Repeat("0", 64)}, "nothing"}, // there is no certificate
		{"rtp", settings{"rtpSDP": strings.Replace(testSDP, "AVP 0", "AVP 8", 1)}, "path/rtp"},
		{"ts", settings{"mpegtsUDPReadBufferSize": "9"}, "path/ts"},
		{"rtp", settings{"rtpUDPReadBufferSize": "9"}, "path/rtp"},
		{"rtp", settings{"mpegtsUDPReadBufferSize": "9"}, "nothing"}, // it is of another kind
		{"rtsp", settings{"rtspUDPReadBufferSize": "9"}, "path/rtsp"},
		{"rtsp", settings{"rtspTransport": "tcp"}, "path/rtsp"},
		{"rtsp", settings{"rtspAnyPort": "yes"}, "path/rtsp"},
		{"rtsp", settings{"rtspRangeType": "npt", "rtspRangeStart": "1s"}, "path/rtsp"},
		{"rtsp", settings{"rtspScale": "'2.0'"}, "path/rtsp"},
		{"rtsp", settings{"rtspUDPSourcePortRange": "[20000, 20010]"}, "path/rtsp"},

		{"cam", settings{"rpiCameraCamID": "1"}, "live/cam"},
		{"cam", settings{"rpiCameraWidth": "640"}, "live/cam"},
		{"cam", settings{"rpiCameraHeight": "480"}, "live/cam"},
		{"cam", settings{"rpiCameraHFlip": "yes"}, "live/cam"},
		{"cam", settings{"rpiCameraVFlip": "yes"}, "live/cam"},
		{"cam", settings{"rpiCameraBrightness": "0.5"}, "live/cam"},
		{"cam", settings{"rpiCameraContrast": "2"}, "live/cam"},
		{"cam", settings{"rpiCameraSaturation": "2"}, "live/cam"},
		{"cam", settings{"rpiCameraSharpness": "2"}, "live/cam"},
		{"cam", settings{"rpiCameraExposure": "short"}, "live/cam"},
		{"cam", settings{"rpiCameraAWB": "cloudy"}, "live/cam"},
		{"cam", settings{"rpiCameraAWBGains": "[1, 2]"}, "live/cam"},
		{"cam", settings{"rpiCameraDenoise": "cdn_hq"}, "live/cam"},
		{"cam", settings{"rpiCameraShutter": "1000"}, "live/cam"},
		{"cam", settings{"rpiCameraMetering": "spot"}, "live/cam"},
		{"cam", settings{"rpiCameraGain": "2"}, "live/cam"},
		{"cam", settings{"rpiCameraEV": "1"}, "live/cam"},
		{"cam", settings{"rpiCameraROI": "'0,0,1,1'"}, "live/cam"},
		{"cam", settings{"rpiCameraHDR": "yes"}, "live/cam"},
		{"cam", settings{"rpiCameraTuningFile": "x"}, "live/cam"},
		{"cam", settings{"rpiCameraMode": "'1920:1080:10:P'"}, "live/cam"},
		{"cam", settings{"rpiCameraFPS": "25"}, "live/cam"},
		{"cam", settings{"rpiCameraAfMode": "manual"}, "live/cam"},
		{"cam", settings{"rpiCameraAfRange": "macro"}, "live/cam"},
		{"cam", settings{"rpiCameraAfSpeed": "fast"}, "live/cam"},
		{"cam", settings{"rpiCameraLensPosition": "2"}, "live/cam"},
		{"cam", settings{"rpiCameraAfWindow": "'0,0,1,1'"}, "live/cam"},
		{"cam", settings{"rpiCameraFlickerPeriod": "10000"}, "live/cam"},
		{"cam", settings{"rpiCameraTextOverlayEnable": "yes"}, "live/cam"},
		{"cam", settings{"rpiCameraTextOverlay": "x"}, "nothing"}, // it is not enabled
		{"cam", settings{"rpiCameraCodec": "mjpeg"}, "path/cam"},
		{"cam", settings{"rpiCameraIDRPeriod": "30"}, "live/cam"},
		{"cam", settings{"rpiCameraBitrate": "1000000"}, "live/cam"},
		{"cam", settings{"rpiCameraHardwareH264Profile": "high"}, "live/cam"},
		{"cam", settings{"rpiCameraHardwareH264Level": "'4.2'"}, "live/cam"},
		{"cam", settings{"rpiCameraSoftwareH264Profile": "high"}, "live/cam"},
		{"cam", settings{"rpiCameraSoftwareH264Level": "'4.2'"}, "live/cam"},
		{"cam", settings{"rpiCameraMJPEGQuality": "80"}, "live/cam"},
		{"cam", settings{"rpiCameraH264Profile": "high"}, "live/cam"},
		{"cam", settings{"rpiCameraH264Level": "'4.2'"}, "live/cam"},
	} {
		covered("path", c.set)
		global, paths := reloadBase()
		maps.Copy(paths[c.path], c.set)
		next := buildSettings(t, global, paths)
		if got := disturbed(router.Diff(&base, &next)); got != c.want {
			t.Errorf("path %s: %v disturbs %s, want %s", c.path, c.set, got, c.want)
		}
	}

	known["path name"] = true // it is the key of the path
	for _, f := range schemaOf(typeOf[Global]()).fields {
		if !f.later && !known["global "+f.key] {
			t.Errorf("%s: what does a change disturb?", f.key)
		}
	}
	for _, f := range schemaOf(typeOf[Path]()).fields {
		if !f.later && !known["path "+f.key] {
			t.Errorf("key %s of paths: what does a change disturb?", f.key)
		}
	}
}

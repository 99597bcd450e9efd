package config

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/webrtc"
	srcrtp "github.com/org/mtx/source/rtp"
)

// plugins asks the packages that will use the values what they think of them,
// so that a fault is told when the file is loaded and not by the log of a source
// that fails again and again. Each value passed its own rule before.
//
// The servers of RTSP, RTMP and SRT are not asked: these rules are stricter than
// theirs, and they look up host names.
func (v *validator) plugins() {
	d := v.doc
	v.certificate("rtsp", d.RTSP && d.RTSPEncryption != "no", d.RTSPServerKey, d.RTSPServerCert)
	v.certificate("rtmp", d.RTMP && d.RTMPEncryption != "no", d.RTMPServerKey, d.RTMPServerCert)
	v.certificate("hls", d.HLS && d.HLSEncryption, d.HLSServerKey, d.HLSServerCert)
	v.certificate("webrtc", d.WebRTC && d.WebRTCEncryption, d.WebRTCServerKey, d.WebRTCServerCert)
	v.certificate("playback", d.Playback && d.PlaybackEncryption, d.PlaybackServerKey, d.PlaybackServerCert)
	v.certificate("api", d.API && d.APIEncryption, d.APIServerKey, d.APIServerCert)
	v.certificate("metrics", d.Metrics && d.MetricsEncryption, d.MetricsServerKey, d.MetricsServerCert)
	v.certificate("pprof", d.Pprof && d.PprofEncryption, d.PprofServerKey, d.PprofServerCert)
	if d.HLS {
		v.hls()
	}
	if d.WebRTC {
		v.webRTC()
	}
	v.allowOrigins("hlsAllowOrigins", d.HLSAllowOrigins)
	v.allowOrigins("webrtcAllowOrigins", d.WebRTCAllowOrigins)
	v.allowOrigins("playbackAllowOrigins", d.PlaybackAllowOrigins)
	v.allowOrigins("apiAllowOrigins", d.APIAllowOrigins)
	v.allowOrigins("metricsAllowOrigins", d.MetricsAllowOrigins)
	v.allowOrigins("pprofAllowOrigins", d.PprofAllowOrigins)
	for _, name := range d.pathNames() {
		p := d.Paths[name]
		for i, one := range p.eachSource() {
			index := ""
			if len(p.Sources) > 0 {
				index = strconv.Itoa(i)
			}
			v.source(keyPath{"paths", name}, index, &one)
		}
		v.forward(keyPath{"paths", name}, &p)
		v.standby(keyPath{"paths", name}, &p)
	}
}

// certificate requires the files of a server that encrypts.
func (v *validator) certificate(server string, encrypts bool, key, cert string) {
	for _, f := range []struct{ key, file string }{{server + "ServerKey", key}, {server + "ServerCert", cert}} {
		if encrypts && f.file == "" {
			v.bad(keyPath{f.key}, nil, "", "must name a file, since "+server+"Encryption is switched on")
		}
	}
}

// hls gives the keys to the server one after the other, to know which one it
// refuses.
func (v *validator) hls() {
	d := v.doc
	s := hls.Server{Variant: hls.Variant(d.HLSVariant)}
	check := func(key, value string) {
		if err := s.Validate(); err != nil {
			v.bad(keyPath{key}, nil, value, reason(err))
			s = hls.Server{Variant: s.Variant}
		}
	}
	s.SegmentCount = d.HLSSegmentCount
	check("hlsSegmentCount", strconv.Itoa(d.HLSSegmentCount))
	s.SegmentDuration = time.Duration(d.HLSSegmentDuration)
	s.PartDuration = time.Nanosecond // shorter than any segment
	check("hlsSegmentDuration", d.HLSSegmentDuration.String())
	s.PartDuration = time.Duration(d.HLSPartDuration)
	check("hlsPartDuration", d.HLSPartDuration.String())
}

// webRTC gives the keys to the server one after the other.
func (v *validator) webRTC() {
	d := v.doc
	check := func(key keyPath, value string, s webrtc.Server) {
		if err := s.Validate(); err != nil {
			v.bad(key, nil, value, reason(err))
		}
	}
	check(keyPath{"webrtcSTUNGatherTimeout"}, d.WebRTCSTUNGatherTimeout.String(),
		webrtc.Server{STUNGatherTimeout: time.Duration(d.WebRTCSTUNGatherTimeout)})
	check(keyPath{"webrtcHandshakeTimeout"}, d.WebRTCHandshakeTimeout.String(),
		webrtc.Server{HandshakeTimeout: time.Duration(d.WebRTCHandshakeTimeout)})
	check(keyPath{"webrtcTrackGatherTimeout"}, d.WebRTCTrackGatherTimeout.String(),
		webrtc.Server{TrackGatherTimeout: time.Duration(d.WebRTCTrackGatherTimeout)})
	for i, h := range d.WebRTCAdditionalHosts {
		check(keyPath{"webrtcAdditionalHosts", strconv.Itoa(i)}, h, webrtc.Server{AdditionalHosts: []string{h}})
	}
	if !d.WebRTCIPsFromInterfaces && len(d.WebRTCAdditionalHosts) == 0 && len(d.WebRTCICEServers2) == 0 {
		v.bad(keyPath{"webrtcIPsFromInterfaces"}, nil, "no",
			"must be yes, unless webrtcAdditionalHosts or webrtcICEServers2 tell other addresses")
	}
}

func (v *validator) allowOrigins(key string, list []string) {
	for i, o := range list {
		l := httpserver.Listen{Addr: ":0", AllowOrigins: origins([]string{o})}
		if err := l.Validate(); err != nil {
			v.bad(keyPath{key, strconv.Itoa(i)}, nil, o, reason(err))
		}
	}
}

// source asks a source of a path; index is its number if there are several. URLs with variables cannot be judged before
// these are known.
func (v *validator) source(at keyPath, index string, p *Path) {
	f := sourceFamily(p.Source)
	if !f.inForce() {
		return
	}
	if f == familyCamera {
		v.camera(at, p)
		return
	}
	if f == familyRTP {
		description := srcrtp.Source{URL: "udp+rtp://127.0.0.1:1", SDP: p.RTPSDP}
		if err := description.Validate(); err != nil {
			v.problems.add(v.at(v.inherited(at, "rtpSDP")), "%s: %s", at.with("rtpSDP"), reason(err))
			return
		}
	}
	key := "source"
	if index != "" {
		key = "sources"
	}
	v.refused(at, key, index, p.Source, f, v.doc.buildSource(p))
}

// standby makes the offline segment of a path, and reads its file.
func (v *validator) standby(at keyPath, p *Path) {
	if !p.AlwaysAvailable {
		return
	}
	if _, err := buildStandby(p); err != nil {
		key := "alwaysAvailableTracks"
		if p.AlwaysAvailableFile != "" {
			key = "alwaysAvailableFile"
		}
		v.problems.add(v.at(v.inherited(at, key)), "%s: %s", at.with(key), err)
	}
}

// forward asks the sinks of a path.
func (v *validator) forward(at keyPath, p *Path) {
	for i, dest := range p.Forward {
		if f := forwardFamily(dest); f != "" {
			v.refused(at, "forward", strconv.Itoa(i), dest, f, v.doc.buildForward(dest))
		}
	}
}

// refused reports what a source or a sink says about its URL.
func (v *validator) refused(at keyPath, key, index, address string, f family, plugin any) {
	if variable.MatchString(address) {
		return
	}
	err := checkStrictURL(address, f)
	if c, ok := plugin.(interface{ Validate() error }); ok && err == nil {
		err = c.Validate()
	}
	if err == nil {
		return
	}
	place := at.with(key)
	if index != "" {
		place = place.with(index)
	}
	v.problems.add(v.at(v.inherited(at, key)), "%s %s: %s", place, quote(redactURL(address)), reason(err))
}

// checkStrictURL tells whether a URL can be parsed. Errors of the packages might
// quote a part of a password that was taken for something else. RTSP is
// forgiving, and has its own parser.
func checkStrictURL(s string, f family) error {
	if f == familyRTSP {
		return nil
	}
	if _, err := url.Parse(s); err != nil {
		return errors.New("must be a valid URL, in which special characters of user and password are written as %2F (/), %3F (?), %23 (#), %25 (%)")
	}
	return nil
}

// quotation matches what errors of the packages begin with, and which the key
// and the value say already: `HLS segment count 3: `, `URL "udp://x": `.
var quotation = regexp.MustCompile(`^(?:[^":]*: must |[^":]* "(?:[^"\\]|\\.)*": )`)

// reason returns the text of an error of a package, as the end of a sentence.
func reason(err error) string {
	s := strings.ReplaceAll(err.Error(), "\n", ", ")
	m := quotation.FindString(s)
	if strings.HasSuffix(m, ": must ") {
		return "must " + s[len(m):]
	}
	return s[len(m):]
}

package app

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"

	"github.com/org/mtx"
	"github.com/org/mtx/cmd/mediamtx/config"
	"github.com/org/mtx/router"
)

// place is where a server receives connections, or datagrams.
type place struct {
	protocol     string
	key, address string
	udp          bool
}

// placesOf returns the places of servers, also of those that are off.
func placesOf(d *config.Document) []place {
	out := []place{
		{nameAPI, "apiAddress", d.APIAddress, false},
		{"metrics", "metricsAddress", d.MetricsAddress, false},
		{"pprof", "pprofAddress", d.PprofAddress, false},
		{"playback", "playbackAddress", d.PlaybackAddress, false},
		{"rtsp", "rtspAddress", d.RTSPAddress, false},
		{"rtsps", "rtspsAddress", d.RTSPSAddress, false},
		{"rtmp", "rtmpAddress", d.RTMPAddress, false},
		{"rtmps", "rtmpsAddress", d.RTMPSAddress, false},
		{"hls", "hlsAddress", d.HLSAddress, false},
		{"webrtc", "webrtcAddress", d.WebRTCAddress, false},
		{"webrtc", "webrtcLocalTCPAddress", d.WebRTCLocalTCPAddress, false},
		{"webrtc", "webrtcLocalUDPAddress", d.WebRTCLocalUDPAddress, true},
		{"srt", "srtAddress", d.SRTAddress, true},
	}
	if slices.Contains(d.RTSPTransports, "udp") {
		out = append(out,
			place{"rtsp", "rtpAddress", d.RTPAddress, true}, place{"rtsp", "rtcpAddress", d.RTCPAddress, true},
			place{"rtsps", "srtpAddress", d.SRTPAddress, true}, place{"rtsps", "srtcpAddress", d.SRTCPAddress, true})
	}
	return out
}

// listen takes a place for a moment.
func (p place) listen() (err error) {
	var c interface{ Close() error }
	if p.udp {
		c, err = net.ListenPacket("udp", p.address)
	} else {
		c, err = net.Listen("tcp", p.address)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.key, err)
	}
	return c.Close()
}

func (p place) port() string {
	_, port, _ := net.SplitHostPort(p.address)
	return port
}

// certificatesOf returns the files of the certificates that encrypted servers
// need, by the beginning of their keys.
func certificatesOf(d *config.Document) map[string]certFiles {
	out := map[string]certFiles{}
	for _, c := range []certFiles{
		{nameAPI, "api", d.APIEncryption, d.APIServerCert, d.APIServerKey},
		{"metrics", "metrics", d.MetricsEncryption, d.MetricsServerCert, d.MetricsServerKey},
		{"pprof", "pprof", d.PprofEncryption, d.PprofServerCert, d.PprofServerKey},
		{"playback", "playback", d.PlaybackEncryption, d.PlaybackServerCert, d.PlaybackServerKey},
		{"rtsps", "rtsp", true, d.RTSPServerCert, d.RTSPServerKey},
		{"rtmps", "rtmp", true, d.RTMPServerCert, d.RTMPServerKey},
		{"hls", "hls", d.HLSEncryption, d.HLSServerCert, d.HLSServerKey},
		{"webrtc", "webrtc", d.WebRTCEncryption, d.WebRTCServerCert, d.WebRTCServerKey},
	} {
		if c.needed {
			out[c.protocol] = c
		}
	}
	return out
}

type certFiles struct {
	protocol, keys string // keys begin with this
	needed         bool
	cert, key      string
}

func (c certFiles) load() error {
	if _, err := tls.LoadX509KeyPair(c.cert, c.key); err != nil {
		return fmt.Errorf("%sServerCert, %sServerKey: %w", c.keys, c.keys, err)
	}
	return nil
}

// tryServers tells why servers that a change starts could not, before anybody is
// disconnected for it.
func tryServers(old, next *config.Document, now, cfg mtx.Config) error {
	starts := router.Diff(&now, &cfg).ProtocolsStarted
	certificates := certificatesOf(next)
	for _, name := range starts {
		if c, ok := certificates[name]; ok {
			if err := c.load(); err != nil {
				return err
			}
		}
	}
	own := func(list []place, cfg mtx.Config) []place {
		return slices.DeleteFunc(list, func(p place) bool { return p.address == "" || !has(cfg, p.protocol) })
	}
	before, after := own(placesOf(old), now), own(placesOf(next), cfg)
	for _, p := range after {
		if !slices.Contains(starts, p.protocol) || slices.Contains(before, p) {
			continue
		}
		err := p.listen()
		if err == nil || slices.ContainsFunc(before, func(q place) bool {
			return q.udp == p.udp && q.port() == p.port() && !slices.Contains(after, q) // which it makes free
		}) {
			continue
		}
		return err
	}
	return nil
}

// heirsOfAPI are the servers that take the place of the Control API when it moves.
// They can start only together with it.
func heirsOfAPI(old, next *config.Document) []string {
	_, port, err := net.SplitHostPort(old.APIAddress)
	if err != nil || port == "0" || old.APIAddress == next.APIAddress {
		return nil
	}
	var out []string
	for _, p := range placesOf(next) {
		if p.address == old.APIAddress && !p.udp {
			out = append(out, p.protocol)
		}
	}
	return out
}

// tryAPI tells why the Control API, and who takes its place, could not start,
// while everything else is where it will be.
func tryAPI(old, next *config.Document, heirs []string) error {
	for name, c := range certificatesOf(next) {
		if name == nameAPI && next.API || slices.Contains(heirs, name) {
			if err := c.load(); err != nil {
				return err
			}
		}
	}
	if !next.API || next.APIAddress == old.APIAddress {
		return nil
	}
	for _, p := range placesOf(old) {
		if p.address == next.APIAddress && !p.udp && slices.Contains(heirs, p.protocol) {
			return nil // they exchange their places
		}
	}
	return place{nameAPI, "apiAddress", next.APIAddress, false}.listen()
}

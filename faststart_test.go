package mtx_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/protocol/srt"
	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
	srchls "github.com/org/mtx/source/hls"
	srcrtmp "github.com/org/mtx/source/rtmp"
	srcrtsp "github.com/org/mtx/source/rtsp"
	srcsrt "github.com/org/mtx/source/srt"
	"github.com/org/mtx/source/whep"
)

// picture is number n of a stream of 4 Mbit/s, 30 pictures per second, with a key
// frame every second.
func picture(n int) *media.Unit {
	const gop, size, keySize = 30, 15000, 60000
	key := n%gop == 0
	u := routertest.SampleUnit(0, 1)
	if key {
		u = routertest.SampleUnit(0, 0)
	}
	u.PTS = int64(n) * 3000
	last := &u.Payload[len(u.Payload)-1]
	*last = append(slices.Clone(*last), slices.Repeat([]byte{byte(n) | 1}, map[bool]int{false: size, true: keySize}[key])...)
	return u
}

// startServers runs servers of all protocols, and a stream in real time.
func startServers(b *testing.B, cache router.GOPCache, cert tls.Certificate) (addr func(protocol string) string) {
	local := "127.0.0.1:0"
	r := routertest.New(b, router.Config{
		Protocols: []router.Protocol{
			&rtsp.Server{Addr: local, RTPAddr: local, RTCPAddr: local, Transports: []rtsp.Transport{rtsp.UDP, rtsp.TCP}},
			&rtsp.Server{
				Addr: local, RTPAddr: local, RTCPAddr: local, Transports: []rtsp.Transport{rtsp.UDP, rtsp.TCP},
				TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
			},
			&rtmp.Server{Addr: local},
			&hls.Server{HTTP: httpserver.Listen{Addr: local}, AlwaysRemux: true},
			&srt.Server{Addr: local},
			&webrtc.Server{HTTP: httpserver.Listen{Addr: local}, UDPAddr: local},
		},
		Paths: []router.PathConfig{{Name: "cam", GOPCache: cache}},
	})
	tracks := routertest.SampleTracks()[:1]
	first := routertest.SampleUnit(0, 0).Payload
	tracks[0].Codec = &media.H264{SPS: first[0], PPS: first[1]}
	pub, err := r.Publish(context.Background(), "cam", tracks)
	if err != nil {
		b.Fatal(err)
	}
	quit := make(chan struct{})
	var feed sync.WaitGroup
	feed.Go(func() {
		tick := time.NewTicker(time.Second / 30)
		defer tick.Stop()
		for n := 0; ; n++ {
			pub.Write(0, picture(n))
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	})
	b.Cleanup(func() {
		close(quit)
		feed.Wait()
		pub.Close()
	})
	return func(protocol string) string { return r.ProtocolAddrs(protocol)[0].String() }
}

// BenchmarkFastStart tells how long a client waits for its first picture, from
// the connection on, with and without a GOP cache. The client is a source of this
// module: what it takes for itself (finding tracks, ICE and DTLS of WebRTC, the
// latency of SRT, what an HLS client has to load) is in both figures.
func BenchmarkFastStart(b *testing.B) {
	secure := httptest.NewTLSServer(nil)
	secure.Close()
	cert := secure.TLS.Certificates[0]
	fingerprint := fmt.Sprintf("%x", sha256.Sum256(cert.Certificate[0]))
	for _, cache := range []router.GOPCache{{}, {MaxBytes: router.DefaultGOPCacheBytes}} {
		addr := startServers(b, cache, cert)
		sources := map[string]router.Source{
			"rtsp-tcp": srcrtsp.Source{URL: "rtsp://" + addr("rtsp") + "/cam", Transport: srcrtsp.TCP},
			"rtsp-udp": srcrtsp.Source{URL: "rtsp://" + addr("rtsp") + "/cam", Transport: srcrtsp.UDP},
			"rtsps":    srcrtsp.Source{URL: "rtsps://" + addr("rtsps") + "/cam", Transport: srcrtsp.TCP, Fingerprint: fingerprint},
			"srtp-udp": srcrtsp.Source{URL: "rtsps://" + addr("rtsps") + "/cam", Transport: srcrtsp.UDP, Fingerprint: fingerprint},
			"hls":      srchls.Source{URL: "http://" + addr("hls") + "/cam/index.m3u8"},
			"rtmp":     srcrtmp.Source{URL: "rtmp://" + addr("rtmp") + "/cam"},
			"srt":      srcsrt.Source{URL: "srt://" + addr("srt") + "?streamid=read:cam"},
			"whep":     &whep.Source{URL: "whep://" + addr("webrtc") + "/cam/whep"},
		}
		for _, name := range slices.Sorted(maps.Keys(sources)) {
			b.Run(fmt.Sprintf("%s/cache=%t", name, cache.MaxBytes > 0), func(b *testing.B) {
				client := routertest.New(b, router.Config{Paths: []router.PathConfig{{
					Name: "cam", Source: sources[name], OnDemand: router.OnDemand{Enabled: true},
					GOPCache: router.GOPCache{MaxBytes: router.DefaultGOPCacheBytes}, // what came before the reader
				}}})
				var took []time.Duration
				for b.Loop() {
					time.Sleep(rand.N(time.Second)) // anywhere between two key frames
					took = append(took, firstPicture(b, client))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms(median)")
				b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms(max)")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func firstPicture(b *testing.B, client *router.Router) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	rd, err := client.Read(ctx, "cam", router.SubscribeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer rd.Close()
	if _, _, err := rd.Next(ctx); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

package rtsp

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// fastPath accepts every path and keeps the last group of pictures.
func fastPath() router.Config {
	cfg := anyPath()
	cfg.Paths[0].GOPCache.MaxBytes = router.DefaultGOPCacheBytes
	return cfg
}

// gop is a group of pictures of 5 packets each, from the number first on.
func gop(first uint16, pictures int) []*rtp.Packet {
	var out []*rtp.Packet
	for i := range pictures {
		au := h264Frame(96, first+uint16(5*i), uint32(3000*i), 5, 1200)
		for _, pkt := range au {
			if i > 0 {
				pkt.Payload[1] = pkt.Payload[1]&0xe0 | 1 // slice of no IDR picture
			}
		}
		out = append(out, au...)
	}
	return out
}

// arrived waits until the router got a number of bytes.
func (g *rig) arrived(path string, bytes uint64) {
	g.t.Helper()
	routertest.Eventually(g.t, "media has arrived", func() bool {
		p, ok := g.r.Path(path)
		return ok && p.Info().In >= bytes
	})
}

// A reader begins with the last key frame and gets all that came since, and what
// comes later, once.
func TestGOPCache(t *testing.T) {
	t.Parallel()
	const pictures = 40
	for name, ca := range everyUnicast {
		m := ca.mode
		for _, others := range []bool{false, true} {
			t.Run(map[bool]string{false: name + "/first reader", true: name + "/another reader"}[others], func(t *testing.T) {
				t.Parallel()
				g := newRig(t, fastPath(), serverFor(t, ca.secure))
				p := g.publish("s", overTCP, newSession(video(h264Format(96)), audio(&format.Opus{PayloadTyp: 97, ChannelCount: 2})))
				var other *reader
				if others {
					other = g.read("s", overTCP)
				}
				p.write(0, delta(1))
				p.write(0, gop(2, pictures)...)
				p.write(1, audioPacket(97, 9, 0, 50))
				g.arrived("s", pictures*5*1200)
				began := time.Now()
				rd := g.read("s", m)
				rd.got(0, 96, 1)
				took := time.Since(began)
				rd.got(0, 96, 5*pictures)
				t.Logf("DIAL to the key frame: %v, to all of the %d packets: %v", took, 5*pictures, time.Since(began))
				p.write(0, delta(2+5*pictures))
				pkts := rd.got(0, 96, 5*pictures+1)
				if pkts[0].SequenceNumber != 2 {
					t.Errorf("the first packet has number %d, the key frame 2", pkts[0].SequenceNumber)
				}
				continuous(t, "reader", pkts)
				if n := rd.got(1, 97, 1)[0].SequenceNumber; n != 9 {
					t.Errorf("the first packet of audio has number %d", n)
				}
				rd.reported(0)
				if others {
					continuous(t, "the reader that was there", other.got(0, 96, 5*pictures+1))
				}
			})
		}
	}
}

// FFmpeg begins with the picture before the key frame, also if nobody has read
// until then.
func TestGOPCacheFFmpeg(t *testing.T) {
	t.Parallel()
	for agent, first := range map[string]uint16{"Lavf59.27.100": 7, "LibVLC/3.0": 8} {
		t.Run(agent, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, fastPath(), plainServer())
			p := g.publish("s", overTCP, newSession(video(&format.H264{PayloadTyp: 96, PacketizationMode: 1})))
			p.write(0, key(6))
			p.write(0, delta(7))
			p.write(0, key(8))
			p.write(0, delta(9))
			g.arrived("s", 4*500)
			c, u := g.dial(), g.url("s")
			c.want(200, base.Describe, u, nil)
			c.want(200, base.Setup, u+"/trackID=0", nil, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
			c.want(200, base.Play, u, nil, "User-Agent: "+agent)
			for i := range 10 - first {
				if got := nextPacket(t, c).SequenceNumber; got != first+i {
					t.Errorf("packet %d has number %d, want %d", i, got, first+i)
				}
			}
		})
	}
}

// What is larger than the cache is not kept, and the next group of pictures is.
func TestGOPCacheOverflow(t *testing.T) {
	t.Parallel()
	cfg := fastPath()
	cfg.Paths[0].GOPCache.MaxBytes = 64 << 10
	g := newRig(t, cfg, plainServer())
	p := g.publish("s", overTCP, oneVideo())
	other := g.read("s", overTCP)
	p.write(0, gop(1, 20)...)
	other.got(0, 96, 100)
	rd := g.read("s", overTCP)
	p.write(0, delta(101))
	p.write(0, key(102))
	other.got(0, 96, 102)
	if n := rd.got(0, 96, 1)[0].SequenceNumber; n != 102 {
		t.Errorf("the first packet has number %d", n)
	}
	if n := g.read("s", overTCP).got(0, 96, 1)[0].SequenceNumber; n != 102 {
		t.Errorf("the first packet of the next reader has number %d", n)
	}
}

// What is long ago is not given.
func TestGOPCacheAge(t *testing.T) {
	t.Parallel()
	now, lead := time.Now(), &fanTrack{}
	o := opening{lead: lead, keyed: true, limit: 1000, units: make([]openingUnit, 1), since: now.Add(-router.MaxGOPCacheAge)}
	j := &joiner{lead: lead}
	if !o.serves(j, now) {
		t.Error("a key frame that is just young enough is not given")
	}
	if o.serves(j, now.Add(1)) {
		t.Error("an old key frame is given")
	}
}

// The publisher is asked for a key frame when a reader comes.
func TestReadersAskForKeyFrames(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	var n atomic.Int64
	pub, err := g.r.Publish(t.Context(), "s", []media.Track{{Codec: &media.H264{}}},
		router.PublishOptions{RequestKeyFrame: func() { n.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	g.read("s", overTCP)
	routertest.Eventually(t, "the publisher is asked", func() bool { return n.Load() > 0 })
}

// Many readers that come at once, while the stream goes on, get all of it.
func TestGOPCacheCrowd(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tcp", "HTTP", "TLS", "SRTP over TCP", "SRTP in WebSocket"} { // with UDP, clients that share a processor lose packets
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crowd(t, everyUnicast[name].mode, everyUnicast[name].secure)
		})
	}
}

func crowd(t *testing.T, m mode, secure bool) {
	t.Helper()
	const readers, first = 24, 40
	s := serverFor(t, secure)
	s.WriteQueueSize = 8192 // clients that share two processors are slow at times
	g := newRig(t, fastPath(), s)
	p := g.publish("s", overTCP, oneVideo())
	p.write(0, gop(1, first)...)
	g.arrived("s", first*5*1200)
	quit, fed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(fed)
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for seq := uint16(5*first + 1); ; seq++ {
			select {
			case <-tick.C:
				p.write(0, delta(seq))
			case <-quit:
				return
			}
		}
	}()
	var came sync.WaitGroup
	for range readers {
		came.Go(func() {
			rd, err := g.tryRead("s", m)
			if err != nil {
				t.Error(err)
				return
			}
			rd.await("packets after the backlog", func() bool { return len(rd.packets[[2]int{0, 96}]) > 5*first+100 })
			rd.Close()
			pkts := rd.packets[[2]int{0, 96}]
			if pkts[0].SequenceNumber != 1 {
				t.Errorf("the first packet has number %d", pkts[0].SequenceNumber)
			}
			for k := 1; k < len(pkts); k++ {
				if pkts[k].SequenceNumber != pkts[k-1].SequenceNumber+1 {
					t.Errorf("number %d follows %d", pkts[k].SequenceNumber, pkts[k-1].SequenceNumber)
				}
			}
		})
	}
	came.Wait()
	close(quit)
	<-fed
}

// Without a cache, readers begin with the key frame, of which nothing is lost, although
// others come and go meanwhile.
func TestLibraryReadersComeAndGo(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"HTTP", "SRTP over TCP"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, secure := everyUnicast[name].mode, everyUnicast[name].secure
			g := newRig(t, anyPath(), serverFor(t, secure))
			p := g.publish("s", overTCP, oneVideo())
			first := g.read("s", m)
			p.write(0, gop(1, 3)...)
			first.got(0, 96, 15)
			second := g.read("s", m) // which waits while the first one goes on
			p.write(0, gop(11, 3)[5:]...)
			first.got(0, 96, 25)
			p.write(0, gop(26, 3)...)
			if n := second.got(0, 96, 15)[0].SequenceNumber; n != 26 {
				t.Errorf("the first packet of the second reader has number %d", n)
			}
			for n := range 15 { // to both at once; their queues are short
				p.write(0, gop(uint16(41+10*n), 2)...)
				first.got(0, 96, 50+10*n)
			}
			continuous(t, "first", first.got(0, 96, 190))
			continuous(t, "second", second.got(0, 96, 165))
			second.Close()
			routertest.Eventually(t, "the second reader is gone", func() bool { return len(g.sessions("read")) == 1 })
			p.write(0, gop(191, 3)...)
			continuous(t, "first", first.got(0, 96, 205))
		})
	}
}

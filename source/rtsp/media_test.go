package rtsp

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// Several sections, one of them with two formats, beside a back channel.
func TestSeveralTracks(t *testing.T) {
	t.Parallel()
	desc := h264Desc()
	desc.Medias = append(desc.Medias, &description.Media{
		Type: description.MediaTypeAudio,
		Formats: []format.Format{
			&format.Opus{PayloadTyp: 97, ChannelCount: 2},
			&format.G711{PayloadTyp: 8, SampleRate: 8000, ChannelCount: 1},
		},
	})
	rem := (&remote{
		t: t, desc: desc,
		write: func(r *remote, n int) {
			r.keyFrame(n)
			r.send(1, &rtp.Packet{Header: rtp.Header{
				Version: 2, PayloadType: 97, SequenceNumber: uint16(n), Timestamp: uint32(n * 480), SSRC: 1, Marker: true,
			}, Payload: []byte{0xfc, 1, 2}})
			r.send(1, &rtp.Packet{Header: rtp.Header{
				Version: 2, PayloadType: 8, SequenceNumber: uint16(n), Timestamp: uint32(n * 80), SSRC: 2, Marker: true,
			}, Payload: bytes.Repeat([]byte{0xd5}, 80)})
		},
		editResponse: func(res *base.Response) {
			if len(res.Body) > 0 {
				res.Body = append(bytes.Clone(res.Body), "m=audio 0 RTP/AVP 0\r\na=control:backchannel\r\na=sendonly\r\n"...)
			}
		},
	}).start()
	r, _ := pullFrom(t, Source{URL: rem.url("rtsp", ""), Transport: TCP})
	s := routertest.WaitReady(t, r, "cam")
	var names []string
	for _, tr := range s.Tracks() {
		names = append(names, tr.Codec.Name())
	}
	if got := strings.Join(names, ","); got != "H264,Opus,G711" {
		t.Errorf("tracks %s", got)
	}
	if s.Tracks()[1].Group == 0 || s.Tracks()[1].Group != s.Tracks()[2].Group {
		t.Errorf("groups %+v", s.Tracks())
	}
	if n := rem.count(base.Setup); n != 2 {
		t.Errorf("%d SETUP requests, want 2", n)
	}
	for i := range names {
		sub, err := s.Subscribe(router.SubscribeOptions{Tracks: []int{i}})
		if err != nil {
			t.Fatal(err)
		}
		if _, u, err := sub.Next(t.Context()); err != nil || len(u.Payload) == 0 {
			t.Errorf("%s: %v %v", names[i], u, err)
		}
		sub.Close()
	}
}

// Lost packets and those of an unknown payload type are counted, and do not fill
// the log.
func TestFaults(t *testing.T) {
	t.Parallel()
	desc := h264Desc()
	desc.Medias[0].Formats = append(desc.Medias[0].Formats, &format.Generic{PayloadTyp: 120, RTPMa: "private/90000", ClockRat: 90000})
	rem := (&remote{
		t: t, desc: desc,
		write: func(r *remote, n int) {
			if n%2 == 1 {
				return // three packets are lost
			}
			r.keyFrame(n)
			r.send(0, &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 120, SequenceNumber: uint16(n)}, Payload: []byte{1}})
		},
		editResponse: func(res *base.Response) { // hide the second format
			if len(res.Body) > 0 {
				body := strings.ReplaceAll(string(res.Body), "RTP/AVP 96 120", "RTP/AVP 96")
				body = strings.ReplaceAll(body, "a=rtpmap:120 private/90000\r\n", "")
				res.Body = []byte(body)
			}
		},
	}).start()
	r, l := pullFrom(t, Source{URL: rem.url("rtsp", ""), Transport: TCP})
	readKeyFrame(t, r)
	routertest.Eventually(t, "faults are counted", func() bool {
		p, _ := r.Path("cam")
		return p.Info().InErrors > 100
	})
	if n := strings.Count(l.String(), "data are lost or invalid"); n < 1 || n > 2 {
		t.Errorf("%d warnings", n)
	}
	_ = r.Close()
	if log := l.String(); !strings.Contains(log, "120") || strings.Contains(log, "lost=0 invalid=0") {
		t.Errorf("log: %s", log)
	}
}

func TestAbsoluteTimestamp(t *testing.T) {
	t.Parallel()
	past := time.Date(2010, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, ca := range []struct {
		name string
		on   bool
		year int
	}{{"of the server", true, 2010}, {"local", false, time.Now().UTC().Year()}} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			rem := (&remote{t: t, write: func(r *remote, n int) {
				for i, nalu := range [][]byte{testSPS, testPPS, testIDR} {
					_ = r.stream.WritePacketRTPWithNTP(r.desc.Medias[0], &rtp.Packet{Header: rtp.Header{
						Version: 2, PayloadType: 96, SequenceNumber: uint16(n*3 + i), Timestamp: uint32(n * 900), Marker: i == 2,
					}, Payload: nalu}, past.Add(time.Duration(n)*10*time.Millisecond))
				}
			}}).start()
			r, _ := pullFrom(t, Source{URL: rem.url("rtsp", ""), Transport: TCP}, func(c *router.Config) {
				c.Paths[0].UseAbsoluteTimestamp = ca.on
			})
			routertest.WaitReady(t, r, "cam")
			rd, err := r.Read(t.Context(), "cam", router.SubscribeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer rd.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for n := 0; ; n++ { // the first report comes with the first packets, or in 10 s
				_, u, err := rd.Next(ctx)
				if err != nil {
					t.Fatal("no unit has the expected time")
				}
				if u.NTP.UTC().Year() == ca.year && (ca.on || n > 100) {
					return
				}
				if !ca.on && u.NTP.UTC().Year() != ca.year {
					t.Fatalf("time %v", u.NTP)
				}
			}
		})
	}
}

// An MPEG transport stream inside RTSP, as one track or as its own tracks.
func TestMPEGTS(t *testing.T) {
	t.Parallel()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	args := "-loglevel error -f lavfi -i testsrc2=size=320x240:rate=25 -f lavfi -i sine=sample_rate=48000 -pix_fmt yuv420p -t 4 " +
		"-c:v libx264 -preset ultrafast -g 10 -c:a aac -f mpegts -"
	stream, err := exec.Command(ffmpeg, strings.Fields(args)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, ca := range []struct {
		demux bool
		want  string
	}{{true, "H264,MPEG-4 Audio"}, {false, "MPEG-TS"}} {
		t.Run(ca.want, func(t *testing.T) {
			t.Parallel()
			rem := (&remote{
				t: t,
				desc: &description.Session{Medias: []*description.Media{{
					Type: description.MediaTypeVideo, Formats: []format.Format{&format.MPEGTS{}},
				}}},
				write: func(r *remote, n int) {
					const size = 7 * 188
					for i := range 3 {
						pos := (n*3 + i) * size % (len(stream) - size)
						pos -= pos % size
						r.send(0, &rtp.Packet{Header: rtp.Header{
							Version: 2, PayloadType: 33, SequenceNumber: uint16(n*3 + i), Timestamp: uint32(n * 900),
						}, Payload: bytes.Clone(stream[pos : pos+size])})
					}
				},
			}).start()
			r, _ := pullFrom(t, Source{URL: rem.url("rtsp", ""), Transport: TCP, DemuxMPEGTS: ca.demux})
			s := routertest.WaitReady(t, r, "cam")
			var names []string
			for _, tr := range s.Tracks() {
				names = append(names, tr.Codec.Name())
			}
			if got := strings.Join(names, ","); got != ca.want {
				t.Fatalf("tracks %s, want %s", got, ca.want)
			}
			for i := range names {
				sub, err := s.Subscribe(router.SubscribeOptions{Tracks: []int{i}})
				if err != nil {
					t.Fatal(err)
				}
				if _, u, err := sub.Next(t.Context()); err != nil || len(u.Payload) == 0 {
					t.Errorf("%s: %v %v", names[i], u, err)
				}
				sub.Close()
			}
			if h, ok := s.Tracks()[0].Codec.(*media.H264); ok && len(h.SPS) == 0 {
				t.Error("the parameter sets are unknown")
			}
			_ = r.Close()
		})
	}
}

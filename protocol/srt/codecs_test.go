package srt

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// Every codec that MPEG-TS can carry can be published and read.
func TestCodecs(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath())
	mp3 := append([]byte{0xff, 0xfb, 0x90, 0x64}, bytes.Repeat([]byte{7}, 413)...) // 44.1 kHz
	ac3 := make([]byte, 128)
	copy(ac3, []byte{0x0b, 0x77, 0, 0, 0x00, 0x40, 0x4f, 0x00}) // 48 kHz, 32 kbit/s
	old := []byte{0, 0, 1, 0xb3, 1, 2, 3}
	aac := &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 44100, ChannelConfig: 2}
	for i, ca := range []struct {
		codec media.Codec
		unit  [][]byte
	}{
		{&media.H265{}, [][]byte{{0x40, 1, 2}, {0x42, 1, 3}, {0x44, 1, 4}, {0x26, 1, 9, 9}}},
		{&media.H264{}, routertest.SampleUnit(0, 0).Payload},
		{&media.MPEG4Video{}, [][]byte{old}},
		{&media.MPEG1Video{}, [][]byte{old}},
		{&media.Opus{ChannelCount: 2}, [][]byte{{0xfc, 1, 2}}},
		{&media.MPEG4Audio{Config: aac}, [][]byte{{1, 2, 3}}},
		{&media.MPEG1Audio{}, [][]byte{mp3}},
		{&media.AC3{SampleRate: 48000, ChannelCount: 2}, [][]byte{ac3}},
		{&media.KLV{}, [][]byte{{6, 0xe, 0x2b, 0x34, 1, 2, 3}}},
	} {
		t.Run(ca.codec.Name(), func(t *testing.T) {
			t.Parallel()
			g := &rig{t: t, r: g.r, addr: g.addr, log: g.log}
			path := fmt.Sprintf("codec%d", i)
			tracks := []media.Track{{Codec: ca.codec}}
			m, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{Tracks: tracks})
			if err != nil {
				t.Fatal(err)
			}
			c := g.dial("publish:"+path, "")
			n := 0
			feed := startFeed(func(track int, _ *media.Unit) error {
				if track != 0 {
					return nil
				}
				u := &media.Unit{
					PTS:          media.Ticks(time.Duration(n)*time.Second/30, ca.codec.ClockRate()),
					RandomAccess: true, Payload: ca.unit,
				}
				n++
				b, _, err := m.Append(nil, 0, u)
				if err == nil {
					_, err = c.Write(b)
				}
				return err
			})
			defer feed.stop()
			if s := routertest.WaitReady(t, g.r, path); s.Tracks()[0].Codec.Name() != ca.codec.Name() {
				t.Fatalf("tracks %v", s.Tracks())
			}
			rd := g.read("read:"+path, "")
			units := rd.has(0, 10)
			rd.mu.Lock()
			defer rd.mu.Unlock()
			if len(rd.tracks) != 1 || rd.tracks[0].Codec.Name() != ca.codec.Name() {
				t.Fatalf("tracks %v", rd.tracks)
			}
			for k, u := range units {
				if !reflect.DeepEqual(u.Payload, ca.unit) {
					t.Fatalf("unit %x, want %x", u.Payload, ca.unit)
				}
				if k > 0 && u.PTS <= units[k-1].PTS {
					t.Errorf("PTS %d comes after %d", u.PTS, units[k-1].PTS)
				}
			}
			if len(rd.damaged) > 0 {
				t.Errorf("damaged: %v", rd.damaged)
			}
		})
	}
}

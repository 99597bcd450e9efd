package rtsp

import (
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/router/routertest"
)

// frames reads what is sent on channels until n frames came on one of them, and counts.
func (c *raw) frames(channel, n int) map[int]int {
	c.t.Helper()
	got := map[int]int{}
	for got[channel] < n {
		what, err := c.c.Read()
		if err != nil {
			c.t.Fatal(err)
		}
		if f, ok := what.(*base.InterleavedFrame); ok {
			got[f.Channel]++
		}
	}
	return got
}

// A client that tears down one section goes on with the others, without a new key frame.
func TestTeardownOfOneSection(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overTCP, newSession(video(h264Format(96)), audio(&format.G711{SampleRate: 8000, ChannelCount: 1, PayloadTyp: 0, MULaw: true})))
	c := g.dial()
	u := g.url("s")
	for i, channels := range []string{"0-1", "2-3"} {
		c.want(base.StatusOK, base.Setup, u+[]string{"/trackID=0", "/trackID=1"}[i], nil, "Transport: RTP/AVP/TCP;unicast;interleaved="+channels)
	}
	c.want(base.StatusOK, base.Play, u, nil)
	g.awaitMedia(0)
	p.write(0, h264Frame(96, 0, 0, 1, 100)...)
	p.write(1, audioPacket(0, 0, 0, 100))
	c.frames(2, 1)

	c.want(base.StatusOK, base.Teardown, u+"/trackID=1", nil)
	c.want(base.StatusOK, base.Teardown, u+"/trackID=1", nil) // again
	const pictures = 10
	for i := range uint16(pictures) {
		p.write(1, audioPacket(0, 1+i, 160*uint32(i), 100))
		inter := h264Frame(96, 1+i, 3000*uint32(i), 1, 100)[0]
		inter.Payload[0] = 0x41
		p.write(0, inter)
	}
	if got := c.frames(0, pictures); got[2] != 0 {
		t.Errorf("%d packets of a section that was torn down", got[2])
	}
	if s := g.sessions("read"); len(s) != 1 {
		t.Fatalf("%d sessions", len(s))
	}
	c.want(base.StatusOK, base.Pause, u, nil)
	c.want(base.StatusOK, base.Play, u, nil)

	c.want(base.StatusOK, base.Teardown, u+"/trackID=0", nil) // the last one
	routertest.Eventually(t, "the session is over", func() bool { return len(g.sessions("read")) == 0 })
	g.noPanic()
}

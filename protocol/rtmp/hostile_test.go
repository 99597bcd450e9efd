package rtmp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/handshake"
	"github.com/bluenviron/gortmplib/pkg/message"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// chunk makes a message that fits into a chunk of 128 bytes or of the size that
// was set.
func chunk(stream, typ byte, body []byte) []byte {
	n := len(body)
	return append([]byte{stream, 0, 0, 0, byte(n >> 16), byte(n >> 8), byte(n), typ, 1, 0, 0, 0}, body...)
}

// header announces more than follows.
func header(stream, typ byte, size int) []byte {
	return []byte{stream, 0, 0, 0, byte(size >> 16), byte(size >> 8), byte(size), typ, 1, 0, 0, 0}
}

func chunkSize(v uint32) []byte { return chunk(2, 1, binary.BigEndian.AppendUint32(nil, v)) }

func command(t testing.TB, values ...any) []byte {
	t.Helper()
	b, err := amf0.Data(values).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return chunk(3, 20, b)
}

func setUp(t testing.TB) []byte {
	t.Helper()
	return bytes.Join([][]byte{
		chunkSize(1 << 20),
		command(t, "connect", float64(1), amf0.Object{{Key: "app", Value: "x"}, {Key: "tcUrl", Value: "rtmp://h/x"}}),
		command(t, "createStream", float64(2), nil),
		command(t, "publish", float64(3), nil, "y", "live"),
	}, nil)
}

// What clients send who mean harm ends their connection, at once or after the
// timeout, with one line in the log, and disturbs nobody else.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	log := &routertest.Log{}
	s := &rtmp.Server{Addr: "127.0.0.1:0", ReadTimeout: time.Second}
	r := routertest.New(t, router.Config{
		Protocols: []router.Protocol{s}, Paths: []router.PathConfig{{Name: router.AllOthers}}, AuthPause: -1,
	}, router.WithLogger(log.Logger()))
	addr := r.ProtocolAddrs("rtmp")[0].String()
	good := publish(t, "rtmp://%s/good", addr)
	good.run(t, 5*time.Millisecond)
	routertest.WaitReady(t, r, "good")

	nested := bytes.Repeat([]byte{0x0a, 0, 0, 0, 1}, 10000)
	bomb := append([]byte("\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00"), nested...)
	huge := append([]byte("\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00\x0a"), 0xff, 0xff, 0xff, 0xff)
	ready := setUp(t)
	after := func(parts ...[]byte) []byte { return append(bytes.Clone(ready), bytes.Join(parts, nil)...) }
	var streams []byte
	for i := range 62 {
		streams = append(streams, header(byte(i+2), 20, 60000)...)
		streams = append(streams, make([]byte, 128)...)
	}
	for i := range 10 {
		streams = append(streams, append([]byte{0, byte(i)}, header(0, 20, 60000)[1:]...)...)
		streams = append(streams, make([]byte, 128)...)
	}
	cases := map[string]struct {
		raw  []byte // in place of the handshake
		data []byte // after it
	}{
		"other protocol":       {raw: []byte("GET / HTTP/1.1\r\n\r\n")},
		"encrypted":            {raw: append([]byte{6}, make([]byte, 1536)...)},
		"half a handshake":     {raw: append([]byte{3}, make([]byte, 100)...)},
		"silence":              {raw: []byte{}},
		"silence after it":     {data: []byte{}},
		"chunk size 0":         {data: chunkSize(0)},
		"chunk size 4 GB":      {data: chunkSize(0xffffffff)},
		"chunk size 2 GB":      {data: append(chunkSize(0x7fffffff), header(3, 20, 0xffffff)...)},
		"large command":        {data: header(3, 20, 100000)},
		"large video too soon": {data: append(chunkSize(1<<24), header(6, 9, 5<<20)...)},
		"large control":        {data: header(2, 3, 5000)},
		"nested AMF":           {data: append(chunkSize(1<<20), chunk(3, 20, bomb)...)},
		"huge count":           {data: chunk(3, 20, huge)},
		"empty command":        {data: chunk(3, 20, nil)},
		"no command":           {data: chunk(3, 20, []byte{5, 5, 5})},
		"other command first":  {data: command(t, "publish", float64(1), nil, "x")},
		"no header before":     {data: []byte{0xc5, 1, 2, 3}},
		"message in message":   {data: append(append(header(3, 20, 1000), make([]byte, 128)...), header(3, 20, 10)...)},
		"many chunk streams":   {data: streams},
		"short control":        {data: chunk(2, 1, []byte{1})},
		"publish of 16 MB":     {data: after(header(6, 9, 0xffffff))},
		"no media":             {data: ready},
		"metadata bomb":        {data: after(chunk(4, 18, append([]byte("\x02\x00\x0aonMetaData"), nested...)))},
		"empty media":          {data: after(chunk(6, 9, nil), chunk(4, 8, nil), chunk(4, 18, nil), chunk(4, 22, nil), chunk(4, 15, nil))},
		"damaged media":        {data: after(chunk(6, 9, []byte{0x17, 0, 0, 0, 0, 1, 2, 3}), chunk(4, 8, []byte{0xaf}), chunk(6, 9, []byte{0x97}))},
	}
	for name, ca := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(patience))
			if ca.raw != nil {
				_, _ = c.Write(ca.raw)
			} else {
				if _, _, err := handshake.DoClient(c, false, false); err != nil {
					t.Fatal(err)
				}
				_, _ = c.Write(ca.data) // the server may hang up while we talk
			}
			if _, err := io.Copy(io.Discard, c); errors.Is(err, errTimeout(err)) {
				t.Error("the connection is not closed")
			}
		})
	}
	t.Cleanup(func() {
		routertest.Eventually(t, "the end of each is logged", func() bool {
			return strings.Count(log.String(), "connection closed") == len(cases)
		})
		if n := strings.Count(log.String(), "level=WARN") + strings.Count(log.String(), "level=ERROR"); n > len(cases) {
			t.Errorf("%d warnings about %d clients", n, len(cases))
		}
		if text := log.String(); strings.Contains(text, "panic") {
			t.Errorf("there was a panic:\n%s", text)
		}
		if p, ok := r.Path("good"); !ok || p.Stream() == nil {
			t.Error("another publisher was disturbed")
		}
	})
}

// errTimeout returns err if it is a timeout.
func errTimeout(err error) error {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return err
	}
	return errors.New("no timeout")
}

// A client that sends pings only, and one that sends nothing but half of what it
// announces, are not kept for ever.
func TestPublisherWithoutMedia(t *testing.T) {
	t.Parallel()
	_, addr := start(t, &rtmp.Server{ReadTimeout: 300 * time.Millisecond})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, _, err := handshake.DoClient(c, false, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(setUp(t)); err != nil {
		t.Fatal(err)
	}
	go func() {
		ping := chunk(2, 4, []byte{0, 6, 0, 0, 0, 1})
		for {
			if _, err := c.Write(ping); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond) // the pace of this client
		}
	}()
	if _, err := io.Copy(io.Discard, c); errors.Is(err, errTimeout(err)) {
		t.Error("the connection is not closed")
	}
}

// bigUnit is a picture of 100 KB.
func bigUnit(n int) *media.Unit {
	p := make([]byte, 100<<10)
	p[0], p[1], p[2] = 0x41, 0x9a, byte(n)
	u := &media.Unit{PTS: int64(n) * 3600, Payload: [][]byte{p}}
	if n%10 == 0 {
		p[0], p[1] = 0x65, 0x88
		u.Payload = [][]byte{sps, pps, p}
	}
	return u
}

// A reader that takes nothing loses pictures, which are counted, and then its
// connection; others lose nothing.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	r, addr, log := startLogged(t, &rtmp.Server{WriteTimeout: time.Second, WriteQueueSize: 64})
	pub, err := r.Publish(t.Context(), "cam", []media.Track{{Codec: &media.H264{SPS: sps, PPS: pps}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	slow := mustDial(t, false, "rtmp://%s/cam", addr)
	fast := mustDial(t, false, "rtmp://%s/cam", addr)
	routertest.WaitReaders(t, r, "cam", 2)
	go func() {
		_, _ = io.Copy(io.Discard, fast.NetConn())
	}()
	discarded, left := uint64(0), false
	for n := 0; !left; n++ {
		pub.Write(0, bigUnit(n))
		select {
		case <-time.After(2 * time.Millisecond): // the pace of the publisher
		case <-t.Context().Done():
			t.Fatal("the slow reader is still there")
		}
		readers := 0
		for i := range r.Sessions("rtmpConn") {
			d := i.Details.(*rtmp.Details)
			if d.State == "read" {
				readers++
				discarded = max(discarded, d.OutboundFramesDiscarded)
			}
		}
		left = readers == 1
	}
	if discarded == 0 {
		t.Error("nothing was discarded")
	}
	routertest.Eventually(t, "the reason is told", func() bool { return log.Count("the client took nothing for 1s") == 1 })
	_ = slow.NetConn().Close()
	for i := range r.Sessions("rtmpConn") {
		if d := i.Details.(*rtmp.Details); d.OutboundFramesDiscarded != 0 {
			t.Errorf("the other reader lost %d pictures", d.OutboundFramesDiscarded)
		}
	}
}

// A reader that was too slow for a while goes on with a key frame.
func TestResume(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{WriteTimeout: patience, WriteQueueSize: 64})
	pub, err := r.Publish(t.Context(), "cam", []media.Track{{Codec: &media.H264{SPS: sps, PPS: pps}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	c := mustDial(t, false, "rtmp://%s/cam", addr)
	routertest.WaitReaders(t, r, "cam", 1)
	lost := func() bool {
		for i := range r.Sessions("rtmpConn") {
			if i.Details.(*rtmp.Details).OutboundFramesDiscarded > 0 {
				return true
			}
		}
		return false
	}
	n := 0
	for ; !lost(); n++ {
		pub.Write(0, bigUnit(n))
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for ; ; n++ {
			pub.Write(0, bigUnit(n))
			select {
			case <-quit:
				return
			case <-time.After(2 * time.Millisecond): // the pace of the publisher
			}
		}
	}()
	defer func() { close(quit); <-done }()
	last, gaps, after := byte(0), 0, 0
	for i := 0; after < 30; i++ {
		m, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		v, ok := m.(*message.Video)
		if !ok || v.Type != message.VideoTypeAU {
			i--
			continue
		}
		id := v.AU[len(v.AU)-100<<10+2]
		switch {
		case i == 0 && !v.IsKeyFrame:
			t.Error("the first picture is no key frame")
		case i > 0 && id != last+1:
			gaps++
			if !v.IsKeyFrame {
				t.Errorf("after picture %d comes %d, which is no key frame", last, id)
			}
		}
		if gaps > 0 {
			after++
		}
		last = id
	}
}

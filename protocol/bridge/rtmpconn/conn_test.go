package rtmpconn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	"github.com/bluenviron/gortmplib/pkg/message"
	"github.com/bluenviron/gortmplib/pkg/rawmessage"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func encode(t testing.TB, values ...any) []byte {
	t.Helper()
	b, err := amf0.Data(values).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What gortmplib writes in chunks of several forms is read as it was.
func TestReader(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	w := rawmessage.NewWriter(&buf, bytecounter.NewWriter(io.Discard), false)
	var want []rawmessage.Message
	for i := range 200 {
		m := rawmessage.Message{
			ChunkStreamID: byte(3 + i%4), Type: byte(8 + i%2), MessageStreamID: 1 << 24,
			Timestamp: time.Duration(i*i) * time.Second, Body: bytes.Repeat([]byte{byte(i)}, i*7%400),
		}
		if i > 150 {
			m.Timestamp += 20000 * time.Second // extended
		}
		want = append(want, m)
		if err := w.Write(&m); err != nil {
			t.Fatal(err)
		}
	}
	r := newReader(&buf)
	for i, m := range want {
		got, err := r.read()
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if got.Type != m.Type || time.Duration(got.Timestamp)*time.Millisecond != m.Timestamp || got.StreamID != 1 || !bytes.Equal(got.Body, m.Body) {
			t.Fatalf("message %d: %d at %d, want %d at %v", i, got.Type, got.Timestamp, m.Type, m.Timestamp)
		}
	}
	if _, err := r.read(); !errors.Is(err, io.EOF) || r.pending != 0 {
		t.Errorf("at the end: %v, %d bytes are pending", err, r.pending)
	}
}

// Chunk streams above 63 have longer headers; chunks that continue a message may
// leave out its extended time stamp.
func TestReaderForms(t *testing.T) {
	t.Parallel()
	h := []byte{0xff, 0xff, 0xff, 0, 0, 140, 9, 1, 0, 0, 0, 1, 2, 3, 4}
	body := bytes.Repeat([]byte{7}, 140)
	for name, in := range map[string][][]byte{
		"one byte more":    {{0x00, 10}, h, body[:128], {0xc0, 10}, {1, 2, 3, 4}, body[128:]},
		"two bytes more":   {{0x01, 10, 1}, h, body[:128], {0xc1, 10, 1}, {1, 2, 3, 4}, body[128:]},
		"zero":             {{0x05}, h, body[:128], {0xc5}, {0, 0, 0, 0}, body[128:]},
		"without extended": {{0x05}, h, body[:128], {0xc5}, body[128:]},
	} {
		r := newReader(bytes.NewReader(bytes.Join(in, nil)))
		m, err := r.read()
		if err != nil || m.Timestamp != 0x01020304 || !bytes.Equal(m.Body, body) {
			t.Errorf("%s: %v, time stamp %x, %d bytes", name, err, m.Timestamp, len(m.Body))
		}
	}
}

// Memory is spent on what has arrived, not on what is announced.
func TestReaderMemory(t *testing.T) {
	var before, after runtime.MemStats
	head := []byte{0x06, 0, 0, 0, 0x9f, 0xff, 0xff, 9, 1, 0, 0, 0}
	runtime.ReadMemStats(&before)
	for range 100 {
		r := newReader(bytes.NewReader(head))
		r.maxMedia = maxMessage
		if err := r.setChunkSize(1 << 24); err != nil {
			t.Fatal(err)
		}
		if _, err := r.read(); !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "at most") {
			t.Fatal(err)
		}
		head[4] = 0x5f // 6 MB: accepted
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 100; n > 200<<10 {
		t.Errorf("%d bytes were allocated for a header of 12", n)
	}
}

// Messages that do not end are bounded together.
func TestReaderPending(t *testing.T) {
	t.Parallel()
	pr, pw := io.Pipe()
	go func() {
		part := make([]byte, 6<<20)
		_, _ = pw.Write([]byte{2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0x5f, 0xff, 0xff}) // chunks of 6 MB
		for id := byte(10); ; id++ {
			if _, err := pw.Write([]byte{id, 0, 0, 0, 0x9f, 0, 0, 9, 1, 0, 0, 0}); err != nil {
				return
			}
			if _, err := pw.Write(part[:0x5fffff]); err != nil {
				return
			}
		}
	}()
	c := newConn(struct {
		io.Reader
		io.Writer
	}{pr, io.Discard})
	c.AcceptMedia()
	_, err := c.Read()
	_ = pr.Close()
	if !errors.Is(err, errPending) {
		t.Errorf("%v", err)
	}
}

// Pings are answered, and what was received is acknowledged.
func TestControl(t *testing.T) {
	t.Parallel()
	var in, out bytes.Buffer
	w := message.NewWriter(&in, bytecounter.NewWriter(io.Discard), false)
	for _, m := range []message.Message{
		&message.SetWindowAckSize{Value: 5000}, &message.UserControlPingRequest{ServerTime: 77},
		&message.UserControlStreamBegin{StreamID: 1}, &message.SetChunkSize{Value: 10000},
		&message.DataAMF0{ChunkStreamID: 4, Payload: []any{strings.Repeat("x", 6000)}},
		&message.AbortMessage{ChunkStreamID: 4}, &message.SetPeerBandwidth{Value: 1, Type: 2}, &message.Acknowledge{Value: 1},
	} {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	c := newConn(struct {
		io.Reader
		io.Writer
	}{&in, &out})
	m, err := c.Read()
	if err != nil || m.Type != TypeDataAMF0 || len(m.Body) != 6003 {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := c.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	br := bytecounter.NewReader(&out)
	r := message.NewReader(br, br, func(uint32) error { return nil })
	pong, err := r.Read()
	if p, ok := pong.(*message.UserControlPingResponse); !ok || err != nil || p.ServerTime != 77 {
		t.Errorf("answer to the ping: %+v, %v", pong, err)
	}
	ack, err := r.Read()
	if a, ok := ack.(*message.Acknowledge); !ok || err != nil || a.Value < 6000 {
		t.Errorf("acknowledgement: %+v, %v", ack, err)
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		app, tcURL, key string
		want            Target
	}{
		{"a", "rtmp://h/a", "", Target{Path: "a"}},
		{"a", "rtmp://h/a", "b", Target{Path: "a/b"}},
		{"a/", "rtmp://h/a/", "/b/", Target{Path: "a/b"}},
		{"", "rtmp://h/a/b", "c", Target{Path: "a/b/c"}},
		{"", "", "c", Target{Path: "c"}},
		{"a", "rtmp://h/a?x=1", "b", Target{Path: "a/b", Query: "x=1"}},
		{"a?x=1", "rtmp://h/a?x=1", "b?x=1", Target{Path: "a/b", Query: "x=1"}},
		{"a?x=1", "rtmp://h/a", "b?y=2", Target{Path: "a/b", Query: "x=1&y=2"}},
		{"a", "rtmp://h/a", "b?user=u&pass=p%2F", Target{Path: "a/b", Query: "user=u&pass=p%2F", User: "u", Pass: "p/"}},
		{"a", "rtmp://u:p@h/a", "b", Target{Path: "a/b", User: "u", Pass: "p"}},
		{"a?jwt=t", "", "", Target{Path: "a", Query: "jwt=t", Token: "t"}},
		{"a?token=t", "", "", Target{Path: "a", Query: "token=t", Token: "t"}},
		{"a?authmod=adobe&user=x&challenge=1&response=2", "", "b", Target{Path: "a/b"}},
		{"a?x=1?authmod=adobe&user=x", "", "b", Target{Path: "a/b", Query: "x=1"}},
		{"a%20b", "", "", Target{Path: "a b"}},
		{"a", "%zz", "b?user=%zz", Target{Path: "a/b", Query: "user=%zz"}},
	} {
		s := &Server{App: ca.app, TcURL: ca.tcURL}
		if got := s.Target(ca.key); got != ca.want {
			t.Errorf("%q %q %q: got %+v, want %+v", ca.app, ca.tcURL, ca.key, got, ca.want)
		}
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]URL{
		"rtmp://h/a":                {Addr: "h:1935", Host: "h", App: "a"},
		"rtmps://h/a/b":             {Secure: true, Addr: "h:443", Host: "h", App: "a", Key: "b"},
		"rtmp://h:5/a/b/c?x=y":      {Addr: "h:5", Host: "h", App: "a/b", Key: "c?x=y"},
		"rtmp://h/a/b?x=y#k?z":      {Addr: "h:1935", Host: "h", App: "a/b?x=y", Key: "k?z"},
		"rtmp://u:p%40@[::1]:5/a":   {Addr: "[::1]:5", Host: "::1", App: "a", User: "u", Pass: "p@"},
		"rtmp://h":                  {Addr: "h:1935", Host: "h"},
		"rtmp://h/live/?token=1234": {Addr: "h:1935", Host: "h", App: "live?token=1234"},
	} {
		got, err := ParseURL(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		u, _ := url.Parse(in)
		want.path, want.last = u.Path, got.last
		if *got != want {
			t.Errorf("%s: got %+v, want %+v", in, *got, want)
		}
		for _, secret := range []string{"p@", "x=y", "k?z", "1234"} {
			if strings.Contains(got.String(), secret) {
				t.Errorf("%s is shown as %s", in, got)
			}
		}
	}
}

// Credentials and keys do not get into errors.
func TestRedact(t *testing.T) {
	t.Parallel()
	u, err := ParseURL("rtmp://bob:pa55word@h/app?token=t0ken#k3ykey")
	if err != nil {
		t.Fatal(err)
	}
	inner := errors.New("cannot use pa55word at app?token=t0ken#k3ykey")
	text := u.explain(inner).Error()
	for _, s := range []string{"pa55word", "t0ken", "k3ykey"} {
		if strings.Contains(text, s) {
			t.Errorf("%q shows %q", text, s)
		}
	}
	if errors.Is(u.explain(inner), inner) {
		t.Error("the secret can be unwrapped")
	}
	if !errors.Is(u.explain(net.ErrClosed), net.ErrClosed) {
		t.Error("a harmless cause cannot be unwrapped")
	}
}

// Who publishes has a secret in the stream key, wherever it stands.
func TestRedactStreamKey(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"rtmp://h/live2/s3cr-e7key", "rtmp://h/live2/s3cr-e7key/", "rtmp://h/live2/s3cr-e7key?a=b", "rtmp://h/live2#s3cr-e7key",
		"rtmp://h/live2/s3cr%2De7key",
	} {
		u, err := ParseURL(in)
		if err != nil {
			t.Fatal(err)
		}
		u.hideKey = true
		text := u.explain(errors.New("s3cr-e7key is used, or s3cr%2De7key")).Error()
		if strings.Contains(text, "s3cr-e7key") || !strings.Contains(text, "rtmp://h:1935/live2") {
			t.Errorf("%s: %s", in, text)
		}
		u.hideKey = false
		if text = u.String(); strings.Contains(text, "s3cr-e7key") == strings.Contains(in, "#") {
			t.Errorf("a reader of %s sees %s", in, text)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		m    Message
		name string
		ok   bool
		bad  bool
	}{
		{Message{Type: TypeCommandAMF0, Body: encode(t, "play", float64(4), nil, "key")}, "play", true, false},
		{Message{Type: TypeCommandAMF3, Body: append([]byte{0}, encode(t, "play", float64(4))...)}, "play", true, false},
		{Message{Type: TypeVideo}, "", false, false},
		{Message{Type: TypeCommandAMF0}, "", true, true},
		{Message{Type: TypeCommandAMF0, Body: encode(t, float64(1), float64(1))}, "", true, true},
		{Message{Type: TypeCommandAMF0, Body: encode(t, "x", "y")}, "", true, true},
		{Message{Type: TypeCommandAMF0, Body: append(encode(t, "play", float64(4)), 0x7f)}, "", true, true},
	} {
		cmd, ok, err := ca.m.Command()
		if ok != ca.ok || (err != nil) != ca.bad || err == nil && cmd.Name != ca.name {
			t.Errorf("%+v: %+v, %v, %v", ca.m, cmd, ok, err)
		}
	}
}

// FuzzReader reads chunks; the first bytes choose a chunk size.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 128, 3, 0, 0, 0, 0, 0, 4, 20, 1, 0, 0, 0, 1, 2, 3, 4, 0xc3, 1, 2, 3, 4})
	f.Add([]byte{0, 1, 6, 0xff, 0xff, 0xff, 0, 0, 3, 9, 1, 0, 0, 0, 1, 2, 3, 4, 7, 0xc6, 1, 2, 3, 4, 8, 0xc6, 9})
	f.Add([]byte{1, 0, 0x00, 9, 0, 0, 1, 0, 0, 1, 8, 1, 0, 0, 0, 5, 0x40, 9, 0, 0, 2, 0, 0, 1, 8, 6, 0x80, 9, 0, 0, 3, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 {
			return
		}
		c := newConn(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(b[2:]), io.Discard})
		c.AcceptMedia()
		c.r.chunkSize = max(1, uint32(binary.BigEndian.Uint16(b)))
		total := 0
		for {
			m, err := c.Read()
			if err != nil {
				break
			}
			total += len(m.Body)
			_, _, _ = m.Command()
		}
		if total > len(b) {
			t.Errorf("%d bytes came out of %d", total, len(b))
		}
	})
}

//go:build e2e

package srtcore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/protocol/internal/e2e"
)

// program is a client that was started.
type program struct {
	*exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	errors bytes.Buffer
}

func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{Cmd: exec.CommandContext(ctx, name, args...)}
	p.Stderr = &p.errors
	p.WaitDelay = time.Second
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if p.out, err = p.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		p.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, p.errors.String())
		}
	})
	return p
}

// libsrtCases are the variants of the tests with libsrt. The passphrase is part of the URL then.
var libsrtCases = []struct {
	name, options string
	encrypted     bool
	lossy         bool
}{
	{"clear", "", false, false},
	{"AES-128", "&pbkeylen=16", true, false},
	{"AES-192", "&pbkeylen=24", true, false},
	{"AES-256", "&pbkeylen=32", true, false},
	{"lossy clear", "", false, true},
	{"lossy AES-256 with refreshed keys", "&pbkeylen=32&kmrefreshrate=500&kmpreannounce=150", true, true},
}

func libsrtURL(addr, streamID, options string, encrypted bool) string {
	u := "srt://" + addr + "?mode=caller&latency=800&streamid=" + streamID + options
	if encrypted {
		u += "&passphrase=" + testPassphrase
	}
	return u
}

const testPassphrase = "a-long-passphrase"

func TestReceiveFromLibsrt(t *testing.T) {
	e2e.Needs(t, "srt-live-transmit")
	for i, tc := range libsrtCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const packets = 1500
			seen := newSequence()
			seen.first = -1 // the program throws away what it reads before it is connected
			l := listen(t, Config{}, func(r *Request) (*Answer, error) {
				if r.StreamID != "publish:x" {
					t.Errorf("stream id %q", r.StreamID)
				}
				pass := ""
				if tc.encrypted {
					pass = testPassphrase
				}
				return &Answer{OnData: seen.take}, r.SetPassphrase(pass)
			})
			addr := l.addr()
			if tc.lossy {
				addr = relay(t, l.Addr(), uint64(i)).Addr().String()
			}
			p := start(t, "srt-live-transmit", "-q", "-chunk:1316", "file://con", libsrtURL(addr, "publish:x", tc.options, tc.encrypted))
			conn := l.conn(t)
			for i := range packets {
				if _, err := p.in.Write(numbered(i, 1316)); err != nil {
					t.Fatal(err)
				}
				if i%4 == 3 {
					time.Sleep(5 * time.Millisecond)
				}
			}
			// What is lost of the last moments cannot be asked for.
			seen.wait(t, packets-50)
			seen.checkLossless(t)
			s := conn.Stats()
			if s.PacketsReceivedDrop != 0 || s.MsReceiveTsbPdDelay != 800 || tc.lossy && s.PacketsReceivedRetrans == 0 {
				t.Errorf("stats %+v", s)
			}
			if strings.Contains(tc.options, "kmrefreshrate") && s.PacketsReceivedKM < 2 {
				t.Errorf("keys were not refreshed: %+v", s)
			}
			p.Process.Signal(os.Interrupt)
			// The last packet is sent once, and can be lost like any other.
			if err := l.end(t); !errors.Is(err, ErrPeerClosed) && !(tc.lossy && errors.Is(err, ErrPeerIdle)) {
				t.Error(err)
			}
		})
	}
}

func TestSendToLibsrt(t *testing.T) {
	e2e.Needs(t, "srt-live-transmit")
	for i, tc := range libsrtCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const packets = 1500
			l := listen(t, Config{KeyRefresh: 500, KeyPreAnnounce: 150}, func(r *Request) (*Answer, error) {
				pass := ""
				if tc.encrypted {
					pass = testPassphrase
				}
				return &Answer{}, r.SetPassphrase(pass)
			})
			addr := l.addr()
			if tc.lossy {
				addr = relay(t, l.Addr(), uint64(20+i)).Addr().String()
			}
			c := start(t, "srt-live-transmit", "-q", "-chunk:1316", libsrtURL(addr, "read:x", tc.options, tc.encrypted), "file://con")
			conn := l.conn(t)
			p := newPublisher(t)
			p.group.Add(conn)
			seen := newSequence()
			go func() {
				// Packets are written one by one; the last one of each message is short.
				in := bufio.NewReader(c.out)
				for i := 0; ; i++ {
					size := 1316
					if i%10 == 9 {
						size = 376
					}
					buf := make([]byte, size)
					if _, err := io.ReadFull(in, buf); err != nil {
						return
					}
					seen.take(buf)
				}
			}()
			for i := 0; i < packets; i += 10 {
				p.send(i, i+9)
				time.Sleep(12 * time.Millisecond)
			}
			seen.wait(t, packets-20) // the last ones stay in the program's buffer
			seen.checkLossless(t)
			s := conn.Stats()
			if s.PacketsSendDrop != 0 || s.MsSendTsbPdDelay != 800 || tc.lossy && s.PacketsRetrans == 0 {
				t.Errorf("stats %+v", s)
			}
			if tc.encrypted && s.PacketsSentKM < 2 {
				t.Errorf("keys were not refreshed: %+v", s)
			}
			conn.Close(nil)
			l.end(t)
		})
	}
}

func TestLibsrtIsRefused(t *testing.T) {
	e2e.Needs(t, "srt-live-transmit")
	l := listen(t, Config{}, func(r *Request) (*Answer, error) {
		if err := r.SetPassphrase(testPassphrase); err != nil {
			return nil, err
		}
		return nil, RejectUnauthorized
	})
	for _, tc := range []struct{ name, options, want string }{
		{"no passphrase", "", "Password required or unexpected"},
		{"wrong passphrase", "&passphrase=something-else", "Password required or unexpected|Incorrect passphrase|Wrong password|rejected"},
		{"FEC", "&passphrase=" + testPassphrase + "&packetfilter=fec,cols:10,rows:5", "filter"},
		{"file mode", "&passphrase=" + testPassphrase + "&transtype=file", "rejected|Congestion|Stream"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := start(t, "srt-live-transmit", "-t:3", "-a:no", libsrtURL(l.addr(), "x", tc.options, false), "file://con")
			p.in.Close()
			out, _ := io.ReadAll(p.out)
			p.Wait()
			text := string(out) + p.errors.String()
			for _, w := range strings.Split(tc.want, "|") {
				if strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
					return
				}
			}
			t.Errorf("output %q does not contain %q", text, tc.want)
		})
	}
	if len(l.conns) != 0 {
		t.Error("somebody was let in")
	}
}

// forwarder sends what one publisher sends to all readers.
func forwarder(t *testing.T, passphrase string) *testListener {
	p := newPublisher(t)
	return listen(t, Config{}, func(r *Request) (*Answer, error) {
		if err := r.SetPassphrase(passphrase); err != nil {
			return nil, err
		}
		if strings.HasPrefix(r.StreamID, "publish:") {
			return &Answer{OnData: func(payload []byte) {
				b := p.pool.Get(len(payload))
				b.AppendPacket(payload)
				m := p.pool.NewMessage()
				m.SetPackets(b)
				p.group.Send(m)
			}}, nil
		}
		return &Answer{
			OnOpen:  func(c *Conn) { p.group.Add(c) },
			OnClose: func(c *Conn, _ error) { p.group.Remove(c) },
		}, nil
	})
}

func TestFFmpegAndGStreamer(t *testing.T) {
	e2e.Needs(t, "ffmpeg", "gst-launch-1.0", "gst:srtsrc", "gst:srtsink")
	for _, passphrase := range []string{"", testPassphrase} {
		t.Run(fmt.Sprintf("passphrase %q", passphrase), func(t *testing.T) {
			t.Parallel()
			l := forwarder(t, passphrase)
			option := ""
			if passphrase != "" {
				option = "&passphrase=" + passphrase
			}
			url := func(id string) string { return "srt://" + l.addr() + "?mode=caller&streamid=" + id + option }
			start(t, "ffmpeg", "-loglevel", "warning", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-c:v", "libx264",
				"-preset", "ultrafast", "-g", "5", "-pix_fmt", "yuv420p", "-f", "mpegts", url("publish:x")+"&pkt_size=1316")
			l.conn(t)
			var frames [2]atomic.Int32
			ff := start(t, "ffmpeg", "-loglevel", "error", "-i", url("read:x"), "-t", "3", "-f", "framecrc", "-")
			gst := start(t, "gst-launch-1.0", "-q", "srtsrc", "uri="+url("read:x"), "!", "tsdemux", "!", "h264parse", "!",
				"video/x-h264,stream-format=byte-stream,alignment=au", "!", "identity", "eos-after=50", "!", "fakesink", "silent=false")
			go func() { // prints a line per frame
				for s := bufio.NewScanner(ff.out); s.Scan(); {
					if !strings.HasPrefix(s.Text(), "#") {
						frames[0].Add(1)
					}
				}
			}()
			if err := gst.Wait(); err != nil {
				t.Errorf("GStreamer: %v", err)
			}
			if err := ff.Wait(); err != nil {
				t.Errorf("FFmpeg: %v", err)
			}
			if n := frames[0].Load(); n < 60 {
				t.Errorf("FFmpeg read %d frames", n)
			}
			if e := ff.errors.String(); e != "" {
				t.Logf("FFmpeg: %s", e)
			}
		})
	}
}

func TestGStreamerPublishes(t *testing.T) {
	e2e.Needs(t, "ffmpeg", "gst-launch-1.0", "gst:srtsink", "gst:x264enc")
	l := forwarder(t, testPassphrase)
	url := func(id string) string {
		return "srt://" + l.addr() + "?mode=caller&streamid=" + id + "&passphrase=" + testPassphrase
	}
	start(t, "gst-launch-1.0", "-q", "videotestsrc", "is-live=true", "!", "video/x-raw,width=320,height=240,framerate=25/1", "!",
		"x264enc", "tune=zerolatency", "key-int-max=25", "!", "mpegtsmux", "alignment=7", "!", "srtsink", "uri="+url("publish:x"))
	l.conn(t)
	ff := start(t, "ffmpeg", "-loglevel", "error", "-i", url("read:x"), "-t", "2", "-f", "framecrc", "-")
	out, _ := io.ReadAll(ff.out)
	// Two seconds, of which up to one is lost: this reader begins in the middle of a group of pictures.
	if n := bytes.Count(out, []byte("\n0, ")); n < 25 {
		t.Errorf("FFmpeg read %d frames: %s", n, out)
	}
}

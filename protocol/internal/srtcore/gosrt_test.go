package srtcore

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"
)

func TestReceiveFromGosrt(t *testing.T) {
	t.Parallel()
	for _, keyLen := range []int{0, 16, 24, 32} {
		t.Run(map[int]string{0: "clear", 16: "AES-128", 24: "AES-192", 32: "AES-256"}[keyLen], func(t *testing.T) {
			t.Parallel()
			seen := newSequence()
			l := listen(t, Config{}, func(r *Request) (*Answer, error) {
				if r.StreamID != "publish:a/b:user:pass" || r.Encrypted != (keyLen != 0) || r.KeyLength != keyLen {
					t.Errorf("request %+v", r)
				}
				if keyLen != 0 {
					if err := r.SetPassphrase("a passphrase"); err != nil {
						return nil, err
					}
				}
				return &Answer{OnData: seen.take}, nil
			})
			c := dial(t, l.addr(), func(c *srt.Config) {
				c.StreamId = "publish:a/b:user:pass"
				if keyLen != 0 {
					c.Passphrase, c.PBKeylen = "a passphrase", keyLen
				}
			})
			conn := l.conn(t)
			for i := range 300 {
				if _, err := c.Write(numbered(i, 1316)); err != nil {
					t.Fatal(err)
				}
				if i%30 == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			seen.wait(t, 299)
			seen.check(t, 300)
			s := conn.Stats()
			if s.PacketsReceivedUnique != 300 || s.PacketsSentACK == 0 || s.MsReceiveTsbPdDelay != 120 {
				t.Errorf("stats %+v", s)
			}
			c.Close()
			if err := l.end(t); !errors.Is(err, ErrPeerClosed) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

func TestSendToGosrt(t *testing.T) {
	t.Parallel()
	for _, keyLen := range []int{0, 16, 24, 32} {
		t.Run(map[int]string{0: "clear", 16: "AES-128", 24: "AES-192", 32: "AES-256"}[keyLen], func(t *testing.T) {
			t.Parallel()
			l := listen(t, Config{}, func(r *Request) (*Answer, error) {
				if keyLen != 0 {
					if err := r.SetPassphrase("a passphrase"); err != nil {
						return nil, err
					}
				}
				return &Answer{}, nil
			})
			p := newPublisher(t)
			c := dial(t, l.addr(), func(c *srt.Config) {
				c.StreamId = "read:a/b"
				if keyLen != 0 {
					c.Passphrase, c.PBKeylen = "a passphrase", keyLen
				}
			})
			conn := l.conn(t)
			p.group.Add(conn)
			seen := newSequence()
			go readAll(c, seen)
			for i := 0; i < 300; i += 10 {
				p.send(i, i+9)
				time.Sleep(2 * time.Millisecond)
			}
			seen.wait(t, 299)
			seen.check(t, 300)
			eventually(t, "all acknowledged", func() bool { return conn.Stats().PacketsSendBuf == 0 })
			s := conn.Stats()
			if s.PacketsSentUnique != 300 || s.PacketsReceivedACK == 0 || s.BytesSentUnique != 300*44+30*(9*1316+376) {
				t.Errorf("stats %+v", s)
			}
			conn.Close(nil)
			if err := l.end(t); !errors.Is(err, ErrClosed) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// readAll reads until the connection ends.
func readAll(c srt.Conn, seen *sequence) {
	buf := make([]byte, 2048)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		seen.take(buf[:n])
	}
}

func TestRejections(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, func(r *Request) (*Answer, error) {
		switch r.StreamID {
		case "unauthorized":
			return nil, RejectUnauthorized
		case "forbidden":
			return nil, RejectForbidden
		case "secret":
			return &Answer{}, r.SetPassphrase("the right one")
		case "panic":
			panic("in Accept")
		case "careless":
			return &Answer{}, nil
		}
		return nil, errors.New("no")
	})
	for _, tc := range []struct {
		name, streamID, passphrase string
		code                       string // on the wire, in base 32 as gosrt prints it
	}{
		{"unauthorized", "unauthorized", "", "2b1"},
		{"forbidden", "forbidden", "", "2b3"},
		{"wrong passphrase", "secret", "the wrong one", "vi"},
		{"no passphrase", "secret", "", "vj"},
		{"passphrase not asked for", "careless", "unasked for", "vi"},
		{"other error", "", "", "va"},
		{"panic", "panic", "", "ve"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := tryDial(l.addr(), func(c *srt.Config) {
				c.StreamId, c.Passphrase = tc.streamID, tc.passphrase
			})
			if err == nil {
				c.Close()
				t.Fatal("was let in")
			}
			if !strings.Contains(err.Error(), tc.code) {
				t.Errorf("error %q, want code %s", err, tc.code)
			}
		})
	}
}

// With losses gosrt marks retransmissions with the wrong key after a refresh, so there are none here.
func TestKeyRefreshByGosrt(t *testing.T) {
	t.Parallel()
	seen := newSequence()
	l := listen(t, Config{}, func(r *Request) (*Answer, error) {
		return &Answer{OnData: seen.take}, r.SetPassphrase("a passphrase")
	})
	c := dial(t, l.addr(), func(c *srt.Config) {
		c.Passphrase, c.PBKeylen = "a passphrase", 32
		c.KMRefreshRate, c.KMPreAnnounce = 300, 100
	})
	conn := l.conn(t)
	for i := range 1000 {
		if _, err := c.Write(numbered(i, 1316)); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	seen.wait(t, 999)
	seen.check(t, 1000)
	if s := conn.Stats(); s.PacketsReceivedKM < 2 || s.PacketsSentKM < 2 {
		t.Errorf("the key was not refreshed: %+v", s)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{Latency: 20 * time.Millisecond}, func(*Request) (*Answer, error) {
		return &Answer{ReadBuffer: 1 << 20}, nil
	})
	c := dial(t, l.addr(), nil)
	conn := l.conn(t)
	for i := range 20 {
		if _, err := c.Write(numbered(i, 1316)); err != nil {
			t.Fatal(err)
		}
	}
	var got bytes.Buffer
	if _, err := io.CopyN(&got, conn, 10*1316); err != nil {
		t.Fatal(err)
	}
	c.Close()
	// What had been received is delivered at once, and then the end.
	if _, err := io.Copy(&got, conn); err != nil {
		t.Fatal(err)
	}
	seen := newSequence()
	for got.Len() > 0 {
		seen.take(got.Next(1316))
	}
	seen.check(t, 20)
	if err := l.end(t); !errors.Is(err, ErrPeerClosed) || !errors.Is(conn.Err(), ErrPeerClosed) {
		t.Errorf("ended with %v, %v", err, conn.Err())
	}
}

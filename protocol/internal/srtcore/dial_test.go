package srtcore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"
)

func localSocket(t testing.TB) *net.UDPConn {
	t.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return sock
}

func callUp(t testing.TB, addr string, change func(c *DialConfig)) (*Caller, error) {
	t.Helper()
	cfg := DialConfig{Remote: netip.MustParseAddrPort(addr)}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := Dial(ctx, localSocket(t), cfg)
	if err == nil {
		t.Cleanup(c.Shutdown)
	}
	return c, err
}

// Both sides are ours, both ways.
func TestDial(t *testing.T) {
	t.Parallel()
	for _, keyLen := range []int{0, 16, 24, 32} {
		t.Run(map[int]string{0: "clear", 16: "AES-128", 24: "AES-192", 32: "AES-256"}[keyLen], func(t *testing.T) {
			t.Parallel()
			up, down := newSequence(), newSequence()
			l := listen(t, Config{}, func(r *Request) (*Answer, error) {
				if r.StreamID != "publish:a/b:user:pass" || r.Encrypted != (keyLen != 0) || r.KeyLength != keyLen || r.PeerVersion != ourVersion {
					t.Errorf("request %+v", r)
				}
				if keyLen != 0 {
					if err := r.SetPassphrase("a passphrase"); err != nil {
						return nil, err
					}
				}
				return &Answer{OnData: up.take}, nil
			})
			c, err := callUp(t, l.addr(), func(c *DialConfig) {
				c.StreamID, c.KeyLength = "publish:a/b:user:pass", keyLen
				c.ReceiveLatency, c.SendLatency = 300*time.Millisecond, 200*time.Millisecond
				if keyLen != 0 {
					c.Passphrase = "a passphrase"
					c.Config.KeyRefresh, c.Config.KeyPreAnnounce = 200, 50
				}
				c.Answer.OnData = down.take
			})
			if err != nil {
				t.Fatal(err)
			}
			conn := l.conn(t)
			p := newPublisher(t)
			p.group.Add(conn)
			for i := 0; i < 300; i += 10 {
				for j := range 10 {
					if _, err := c.Write(numbered(i+j, 1316)); err != nil {
						t.Fatal(err)
					}
				}
				p.send(i, i+9)
				time.Sleep(5 * time.Millisecond)
			}
			up.wait(t, 299)
			down.wait(t, 299)
			up.check(t, 300)
			down.check(t, 300)
			ours, theirs := c.Stats(), conn.Stats()
			if ours.MsReceiveTsbPdDelay != 300 || ours.MsSendTsbPdDelay != 200 || theirs.MsReceiveTsbPdDelay != 200 || theirs.MsSendTsbPdDelay != 300 {
				t.Errorf("latencies: %+v, %+v", ours, theirs)
			}
			if keyLen != 0 && ours.PacketsSentKM == 0 {
				t.Error("the key was not refreshed")
			}
			c.Shutdown()
			if err := l.end(t); !errors.Is(err, ErrPeerClosed) {
				t.Errorf("the listener's side ended with %v", err)
			}
			if _, err := c.Write(numbered(0, 188)); !errors.Is(err, ErrClosed) {
				t.Errorf("write after the end: %v", err)
			}
		})
	}
}

// The other side is gosrt.
func TestDialGosrt(t *testing.T) {
	t.Parallel()
	ln, err := srt.Listen("srt", "127.0.0.1:0", srt.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ln.Close)
	seen := newSequence()
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, err := ln.Accept2()
		if err != nil {
			return
		}
		if req.StreamId() != "abcde" {
			t.Errorf("stream id %q", req.StreamId())
		}
		if err := req.SetPassphrase("a passphrase"); err != nil {
			t.Error(err)
		}
		c, err := req.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		readAll(c, seen)
	}()
	c, err := callUp(t, ln.Addr().String(), func(c *DialConfig) { c.StreamID, c.Passphrase, c.KeyLength = "abcde", "a passphrase", 32 })
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := c.Write(numbered(i, 1316)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	seen.wait(t, 99)
	seen.check(t, 100)
	c.Shutdown()
	<-done
}

func TestDialRefused(t *testing.T) {
	t.Parallel()
	l := listen(t, Config{}, func(r *Request) (*Answer, error) {
		if r.StreamID == "no" {
			return nil, RejectForbidden
		}
		return &Answer{}, r.SetPassphrase("the right one")
	})
	for _, ca := range []struct {
		name, id, passphrase string
		want                 Rejection
	}{
		{"forbidden", "no", "", RejectForbidden},
		{"wrong passphrase", "", "the wrong one", RejectBadSecret},
		{"no passphrase", "", "", RejectUnsecure},
	} {
		_, err := callUp(t, l.addr(), func(c *DialConfig) { c.StreamID, c.Passphrase = ca.id, ca.passphrase })
		var code Rejection
		if !errors.As(err, &code) || code != ca.want {
			t.Errorf("%s: %v, want %v", ca.name, err, ca.want)
		}
	}
	if _, err := callUp(t, l.addr(), func(c *DialConfig) { c.StreamID = strings.Repeat("x", 513) }); err == nil {
		t.Error("a stream id that is too long was taken")
	}
}

// Nobody answers, or somebody who talks nonsense.
func TestDialNobody(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{true, false} {
		sock := localSocket(t)
		addr := sock.LocalAddr().(*net.UDPAddr).AddrPort()
		if !deaf {
			sock.Close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		begin := time.Now()
		_, err := Dial(ctx, localSocket(t), DialConfig{Remote: addr})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("it took %v", d)
		}
		sock.Close()
	}
}

// rogue answers every datagram.
func rogue(t testing.TB, answer func(request []byte) [][]byte) string {
	t.Helper()
	sock := localSocket(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := sock.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			for _, a := range answer(buf[:n]) {
				_, _ = sock.WriteToUDPAddrPort(a, from)
			}
		}
	}()
	t.Cleanup(func() {
		sock.Close()
		<-done
	})
	return sock.LocalAddr().String()
}

// answerWith makes answers of the right form, with extensions of any content.
func answerWith(change func(hs *handshake), ext []byte) func([]byte) [][]byte {
	return func(request []byte) [][]byte {
		if len(request) < headerSize+handshakeSize {
			return nil
		}
		hs, _, _ := parseHandshake(request[headerSize:])
		id := hs.socket
		induction := hs.typ == hsInduction
		if induction {
			hs.version, hs.extension = 5, magic
		} else {
			hs.socket = 77
			change(&hs)
		}
		b := handshakePacket(&hs, 0)
		binary.BigEndian.PutUint32(b[12:], id)
		if !induction {
			b = append(b, ext...)
		}
		return [][]byte{b}
	}
}

func TestDialRogue(t *testing.T) {
	t.Parallel()
	good := (&hsExt{ourVersion, ourFlags, 120, 120}).append([]byte{0, extHSRsp, 0, hsExtSize / 4})
	for _, ca := range []struct {
		name   string
		change func(hs *handshake)
		ext    []byte
		ok     bool
	}{
		{"well-formed", func(*handshake) {}, good, true},
		{"stray bytes", func(*handshake) {}, append(bytes.Clone(good), 1, 2, 3), true},
		{"no extension", func(*handshake) {}, nil, false},
		{"extension that is too long", func(*handshake) {}, []byte{0, extHSRsp, 0xff, 0xff}, false},
		{"extension that is too short", func(*handshake) {}, []byte{0, extHSRsp, 0, 1, 1, 2, 3, 4}, false},
		{"MTU 0", func(hs *handshake) { hs.mtu = 0 }, good, false},
		{"MTU 3", func(hs *handshake) { hs.mtu = 3 }, good, false},
		{"huge MTU", func(hs *handshake) { hs.mtu = 1<<32 - 1 }, good, true},
		{"window 0", func(hs *handshake) { hs.flow = 0 }, good, false},
		{"version 4", func(hs *handshake) { hs.version = 4 }, good, false},
		{"socket 0", func(hs *handshake) { hs.socket = 0 }, good, false},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			c, err := callUp(t, rogue(t, answerWith(ca.change, ca.ext)), nil)
			if (err == nil) != ca.ok {
				t.Fatalf("error %v", err)
			}
			if c != nil && c.mtu > mtu {
				t.Errorf("MTU %d", c.mtu)
			}
		})
	}
}

func FuzzCall(f *testing.F) {
	hs := handshake{version: 5, extension: hasHSReq, mtu: 1500, flow: 8192, typ: hsConclusion, socket: 7}
	f.Add((&hsExt{ourVersion, ourFlags, 120, 120}).append(append(hs.append(nil), 0, extHSRsp, 0, hsExtSize/4)), true)
	f.Add(hs.append(nil), false)
	f.Fuzz(func(t *testing.T, data []byte, encrypted bool) {
		cfg, err := DialConfig{Remote: netip.MustParseAddrPort("127.0.0.1:1")}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		h := newCall(&cfg)
		if encrypted {
			h.crypto, h.km = &cryptoState{}, []byte{1, 2, 3, 4}
		}
		p, ext, ok := parseHandshake(data)
		if !ok {
			return
		}
		cfg.Passphrase = ""
		_, _ = h.onInduction(p, ext)
		if done, err := h.onConclusion(p, ext); done && (err != nil || h.answer == nil || h.answer.mtu > mtu || h.answer.mtu < minMTU) {
			t.Errorf("accepted %+v, %v", h.answer, err)
		}
	})
}

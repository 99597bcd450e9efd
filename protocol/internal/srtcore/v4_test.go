package srtcore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/datarhei/gosrt/crypto"
	"github.com/datarhei/gosrt/packet"
)

// connectV4 does the handshake of version 4.
func (r *rawCaller) connectV4() {
	r.t.Helper()
	r.induce()
	r.send(r.handshake(func(h *handshake) { h.version, h.extension = 4, dgramSocket }, nil))
	h, ext, _ := parseHandshake(r.control(ctrlHandshake))
	if h.typ != hsConclusion || h.version != 4 || h.extension != dgramSocket || len(ext) != 0 {
		r.t.Fatalf("answer %+v", h)
	}
	r.peer = h.socket
	e := hsExt{version: 0x010203, flags: flagTSBPDSend | flagCrypt | flagTLPktDrop | flagRexmitBit, sendDelay: 300}
	r.command(ctrlUser, extHSReq, 0, e.append(nil))
	answer := r.receive(patience, func(h header, _ []byte) bool { return h.control && h.typ == ctrlUser && h.subtype == extHSRsp })
	if e, ok := parseHSExt(answer[headerSize:]); !ok || e.sendDelay != 300 {
		r.t.Fatalf("answer %x", answer)
	}
}

func TestVersion4(t *testing.T) {
	t.Parallel()
	seen := newSequence()
	l := listen(t, Config{}, func(r *Request) (*Answer, error) {
		if r.HandshakeVersion != 4 || r.StreamID != "" {
			t.Errorf("request %+v", r)
		}
		return &Answer{OnData: seen.take}, nil
	})
	r := newRawCaller(t, l)
	r.connectV4()
	conn := l.conn(t)
	for i := range 10 {
		r.data(r.isn.add(i), uint32(3000+i), numbered(i, 100))
	}
	seen.wait(t, 9)
	seen.check(t, 10)
	if s := conn.Stats(); s.MsReceiveTsbPdDelay != 300 {
		t.Errorf("latency %d", s.MsReceiveTsbPdDelay)
	}
}

func TestVersion4Encrypted(t *testing.T) {
	t.Parallel()
	peer, err := crypto.New(16)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, theirs string
		encrypt      bool
		want         error // how the connection ends
	}{
		{"right passphrase", "a passphrase", true, ErrPeerClosed},
		{"wrong passphrase", "another passphrase", true, RejectBadSecret},
		{"not encrypted", "", false, ErrPeerClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := newSequence()
			l := listen(t, Config{}, func(r *Request) (*Answer, error) {
				return &Answer{OnData: seen.take}, r.SetPassphrase("a passphrase")
			})
			r := newRawCaller(t, l)
			r.connectV4()
			conn := l.conn(t)
			payload := numbered(0, 100)
			flags := uint32(solo | 1)
			if tc.encrypt {
				var km packet.CIFKeyMaterialExtension
				var message bytes.Buffer
				if err := peer.MarshalKM(&km, tc.theirs, packet.EvenKeyEncrypted); err != nil {
					t.Fatal(err)
				}
				km.Marshal(&message)
				r.command(ctrlUser, extKMReq, 0, message.Bytes())
				answer := r.receive(patience, func(h header, _ []byte) bool { return h.control && h.subtype == extKMRsp })
				switch {
				case errors.Is(tc.want, ErrPeerClosed) && !bytes.Equal(answer[headerSize:], message.Bytes()):
					t.Fatalf("answer %x", answer)
				case errors.Is(tc.want, RejectBadSecret) && binary.LittleEndian.Uint32(answer[headerSize:]) != kmBadSecret:
					t.Fatalf("answer %x", answer)
				}
				peer.EncryptOrDecryptPayload(payload, packet.EvenKeyEncrypted, uint32(r.isn))
				flags |= keyEven << keyShift
			}
			p := make([]byte, headerSize)
			putData(p, r.isn, flags, 3000, r.peer)
			r.send(append(p, payload...)) //nolint:makezero // a header that is filled in
			if errors.Is(tc.want, ErrPeerClosed) {
				r.alive(5)
				r.command(ctrlShutdown, 0, 0, nil)
			}
			if err := l.end(t); !errors.Is(err, tc.want) {
				t.Errorf("ended with %v", err)
			}
			s := conn.Stats()
			if tc.encrypt && errors.Is(tc.want, ErrPeerClosed) {
				seen.check(t, 1)
			} else {
				seen.check(t, 0)
			}
			if !tc.encrypt && s.PacketsReceivedUndecrypt != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

package srtcore

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/datarhei/gosrt/crypto"
	"github.com/datarhei/gosrt/packet"
)

// The vectors of RFC 3394 section 4.
func TestKeyWrap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ kek, key, want string }{
		{"000102030405060708090A0B0C0D0E0F", "00112233445566778899AABBCCDDEEFF", "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{
			"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
			"00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
			"28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21",
		},
	} {
		kek, key, want := unhex(t, tc.kek), unhex(t, tc.key), unhex(t, tc.want)
		got, err := wrapKey(kek, key)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("wrapped %x, %v", got, err)
		}
		back, err := unwrapKey(kek, want)
		if err != nil || !bytes.Equal(back, key) {
			t.Errorf("unwrapped %x, %v", back, err)
		}
		want[3] ^= 1
		if _, err := unwrapKey(kek, want); err == nil {
			t.Error("a damaged key was unwrapped")
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCryptoAgainstGosrt takes a key from another implementation, refreshes it, and compares.
func TestCryptoAgainstGosrt(t *testing.T) {
	t.Parallel()
	for _, keyLen := range []int{16, 24, 32} {
		for _, key := range []packet.PacketEncryption{packet.EvenKeyEncrypted, packet.OddKeyEncrypted, packet.EvenAndOddKey} {
			peer, err := crypto.New(keyLen)
			if err != nil {
				t.Fatal(err)
			}
			var km packet.CIFKeyMaterialExtension
			if err := peer.MarshalKM(&km, "a passphrase", key); err != nil {
				t.Fatal(err)
			}
			var message bytes.Buffer
			if err := km.Marshal(&message); err != nil {
				t.Fatal(err)
			}
			if err := newCryptoState("another one").open(message.Bytes()); err == nil {
				t.Error("the wrong passphrase was taken")
			}
			c := newCryptoState("a passphrase")
			if err := c.open(message.Bytes()); err != nil {
				t.Fatal(err)
			}
			k, err := parseKM(message.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(k.append(nil), message.Bytes()) {
				t.Errorf("encoded differently: %x", k.append(nil))
			}
			compare(t, c, peer)

			// The refresh of ours.
			announcement, err := c.renew()
			if err != nil {
				t.Fatal(err)
			}
			var next packet.CIFKeyMaterialExtension
			if err := next.Unmarshal(announcement); err != nil {
				t.Fatal(err)
			}
			if err := peer.UnmarshalKM(&next, "a passphrase"); err != nil {
				t.Fatal(err)
			}
			c.current = keyBoth - c.current
			compare(t, c, peer)
		}
	}
}

func compare(t *testing.T, c *cryptoState, peer crypto.Crypto) {
	t.Helper()
	want := bytes.Repeat([]byte("payload"), 100)
	got := bytes.Clone(want)
	c.send[c.current-1].crypt(got, 0x12345678)
	if bytes.Equal(got, want) {
		t.Fatal("not encrypted")
	}
	if err := peer.EncryptOrDecryptPayload(got, packet.PacketEncryption(c.current), 0x12345678); err != nil || !bytes.Equal(got, want) {
		t.Errorf("decrypted differently, %v", err)
	}
}

func TestParseKM(t *testing.T) {
	t.Parallel()
	k := keyMaterial{keys: keyEven, keyLen: 16, salt: make([]byte, 16), wrap: make([]byte, 24)}
	good := k.append(nil)
	for name, change := range map[string]func(b []byte) []byte{
		"short":         func(b []byte) []byte { return b[:len(b)-1] },
		"empty":         func([]byte) []byte { return nil },
		"long":          func(b []byte) []byte { return append(b, make([]byte, 1000)...) },
		"no key":        func(b []byte) []byte { b[3] = 0; return b },
		"both keys":     func(b []byte) []byte { b[3] = 3; return b },
		"signature":     func(b []byte) []byte { b[1] = 0; return b },
		"GCM":           func(b []byte) []byte { b[8] = 4; return b },
		"salt length":   func(b []byte) []byte { b[14] = 68; return b },
		"key length":    func(b []byte) []byte { b[15] = 255; return b },
		"key index":     func(b []byte) []byte { b[7] = 1; return b },
		"packet type":   func(b []byte) []byte { b[0] = 0x11; return b },
		"encapsulation": func(b []byte) []byte { b[10] = 1; return b },
	} {
		if _, err := parseKM(change(bytes.Clone(good))); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

// A key that is used again must have come again, or what is decrypted is noise.
func TestKeysThatAreLate(t *testing.T) {
	t.Parallel()
	salt := make([]byte, kmSalt)
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, 16) }
	c := newCryptoState("a passphrase")
	ask := func(want bool, k int, s seq) {
		t.Helper()
		if got := c.ready(k, s); got != want {
			t.Errorf("key %d for packet %d: %v", k, s, got)
		}
	}
	c.setKey(0, key(1), salt)
	ask(true, keyEven, 10)
	ask(false, keyOdd, 20) // announced in a message that was lost
	ask(false, keyBoth, 20)
	c.setKey(0, key(1), salt)
	c.setKey(1, key(2), salt)
	ask(true, keyOdd, 22)
	ask(true, keyOdd, 21)
	ask(true, keyEven, 15) // sent again
	ask(false, keyEven, 30)
	c.setKey(0, key(1), salt) // the announcement once more
	c.setKey(1, key(2), salt)
	ask(false, keyEven, 30)
	c.setKey(0, key(3), salt)
	c.setKey(1, key(2), salt)
	ask(true, keyEven, 31)
	ask(true, keyOdd, 25)
	ask(false, keyOdd, 40)
}

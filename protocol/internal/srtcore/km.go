package srtcore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// Keys, as the KK field of packets has them.
const (
	keyNone = 0
	keyEven = 1
	keyOdd  = 2
	keyBoth = 3
)

const (
	kmHeader     = 16
	kmSalt       = 16
	kmSignature  = 0x2029 // "HAI"
	kmAESCTR     = 2
	kmMPEGTSSRT  = 2
	kekRounds    = 2048 // section 6.1.4
	wrapOverhead = 8    // RFC 3394
	maxKMSize    = kmHeader + kmSalt + 2*32 + wrapOverhead
)

// Answers to key material that cannot be used, in place of an echo of it.
const (
	kmNoSecret  = 3
	kmBadSecret = 4
)

// keyMaterial is a key material message (section 3.2.2).
type keyMaterial struct {
	keys   int // keyEven, keyOdd or keyBoth
	keyLen int // bytes
	salt   []byte
	wrap   []byte // one key, or the even and the odd one
}

var errKM = errors.New("malformed key material")

// parseKM reads a message. What it returns points into b.
func parseKM(b []byte) (k keyMaterial, err error) {
	if len(b) < kmHeader+kmSalt+wrapOverhead || len(b) > maxKMSize+3 {
		return k, errKM
	}
	// S (1 bit), version, packet type; a signature; two bits of KK; the index of the KEK.
	if b[0] != 0x12 || binary.BigEndian.Uint16(b[1:]) != kmSignature || binary.BigEndian.Uint32(b[4:]) != 0 {
		return k, errKM
	}
	if b[8] != kmAESCTR || b[9] != 0 || b[10] != kmMPEGTSSRT {
		return k, fmt.Errorf("cipher %d, authentication %d, encapsulation %d: only AES-CTR is supported", b[8], b[9], b[10])
	}
	k.keys = int(b[3] & 3)
	k.keyLen = int(b[15]) * 4
	if k.keys == keyNone || int(b[14])*4 != kmSalt || k.keyLen != 16 && k.keyLen != 24 && k.keyLen != 32 {
		return k, errKM
	}
	n := k.keyLen + wrapOverhead
	if k.keys == keyBoth {
		n += k.keyLen
	}
	if len(b) < kmHeader+kmSalt+n {
		return k, errKM
	}
	k.salt = b[kmHeader : kmHeader+kmSalt]
	k.wrap = b[kmHeader+kmSalt:][:n]
	return k, nil
}

func (k *keyMaterial) append(b []byte) []byte { //nolint:unparam // like the other messages
	b = append(b, 0x12, kmSignature>>8, kmSignature&0xff, byte(k.keys), 0, 0, 0, 0,
		kmAESCTR, 0, kmMPEGTSSRT, 0, 0, 0, kmSalt/4, byte(k.keyLen/4))
	b = append(b, k.salt...)
	return append(b, k.wrap...)
}

// sek is a stream encrypting key with its salt.
type sek struct {
	key   []byte
	salt  [kmSalt]byte
	block cipher.Block
}

func newSEK(key, salt []byte) *sek {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length was checked
	}
	k := &sek{key: key, block: block}
	copy(k.salt[:], salt)
	return k
}

// crypt encrypts or decrypts a payload in place (section 6.1.2).
func (k *sek) crypt(payload []byte, s seq) {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint32(iv[10:], uint32(s))
	subtle.XORBytes(iv[:14], iv[:14], k.salt[:14])
	cipher.NewCTR(k.block, iv[:]).XORKeyStream(payload, payload)
}

// cryptoState is the encryption of a connection. Both directions begin with the caller's key and are refreshed on their own.
type cryptoState struct {
	passphrase string
	keyLen     int

	receive    [2]*sek // even, odd
	receiveKEK kek
	inUse      int     // keyEven or keyOdd: of the newest packets that came; keyNone before
	since      seq     // the first of them
	old        [2]bool // went out of use, and did not come again
	send       [2]*sek
	sendKEK    kek
	current    int // keyEven or keyOdd, for sending
}

// kek is a key encrypting key. It depends on the salt only, and costs a millisecond.
type kek struct {
	key  []byte
	salt [kmSalt]byte
}

func (k *kek) fits(salt []byte) bool { return k.key != nil && k.salt == [kmSalt]byte(salt) }

func newCryptoState(passphrase string) *cryptoState { return &cryptoState{passphrase: passphrase} }

// open takes the caller's first key for both directions.
func (c *cryptoState) open(message []byte) error {
	if err := c.receiveKM(message); err != nil {
		return err
	}
	c.send, c.sendKEK = c.receive, c.receiveKEK
	c.current = keyEven
	if c.send[0] == nil {
		c.current = keyOdd
	}
	return nil
}

// knowsSalt reports whether a message can be unwrapped without deriving a key encrypting key.
func (c *cryptoState) knowsSalt(message []byte) bool {
	k, err := parseKM(message)
	return err != nil || c.receiveKEK.fits(k.salt)
}

// receiveKM takes keys that the peer encrypts with.
func (c *cryptoState) receiveKM(message []byte) error {
	k, err := parseKM(message)
	if err != nil {
		return err
	}
	if c.keyLen != 0 && k.keyLen != c.keyLen {
		return errKM
	}
	kk := c.receiveKEK
	if !kk.fits(k.salt) {
		kk.salt = [kmSalt]byte(k.salt)
		if kk.key, err = pbkdf2.Key(sha1.New, c.passphrase, k.salt[8:], kekRounds, k.keyLen); err != nil {
			return err
		}
	}
	keys, err := unwrapKey(kk.key, k.wrap)
	if err != nil {
		return err
	}
	c.keyLen, c.receiveKEK = k.keyLen, kk
	if k.keys&keyEven != 0 {
		c.setKey(0, keys[:k.keyLen], k.salt)
		keys = keys[k.keyLen:]
	}
	if k.keys&keyOdd != 0 {
		c.setKey(1, keys[:k.keyLen], k.salt)
	}
	return nil
}

func (c *cryptoState) setKey(i int, key, salt []byte) {
	if k := c.receive[i]; k != nil && bytes.Equal(k.key, key) && k.salt == [kmSalt]byte(salt) {
		return // it is told along with the other one
	}
	c.receive[i], c.old[i] = newSEK(key, salt), false
}

// ready tells whether a packet can be decrypted. A key that went out of use is good for
// packets before that only: for later ones it must have come again. With the old one
// they would be noise.
func (c *cryptoState) ready(key int, s seq) bool {
	switch {
	case key != keyEven && key != keyOdd || c.receive[key-1] == nil:
		return false
	case key == c.inUse || c.inUse != keyNone && s.from(c.since) < 0:
		return true
	case c.old[key-1]:
		return false
	case c.inUse != keyNone:
		c.old[c.inUse-1] = true
	}
	c.inUse, c.since = key, s
	return true
}

// renew makes the next key for sending and returns the message that announces it, along with the present one.
func (c *cryptoState) renew() ([]byte, error) {
	cur := c.send[c.current-1]
	key := make([]byte, c.keyLen)
	rand.Read(key)
	next := newSEK(key, cur.salt[:])
	c.send[keyBoth-c.current-1] = next
	wrap, err := wrapKey(c.sendKEK.key, append(append([]byte(nil), c.send[0].key...), c.send[1].key...))
	if err != nil {
		return nil, err
	}
	k := keyMaterial{keys: keyBoth, keyLen: c.keyLen, salt: cur.salt[:], wrap: wrap}
	return k.append(nil), nil
}

// decrypt decrypts a payload with one of the peer's keys, for which it is ready.
func (c *cryptoState) decrypt(payload []byte, s seq, key int) { c.receive[key-1].crypt(payload, s) }

var errUnwrap = errors.New("wrong passphrase")

// wrapIV is the initial value of RFC 3394 section 2.2.3.1, by which a wrong key shows.
var wrapIV = [8]byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}

// wrapKey implements RFC 3394 section 2.2.1.
func wrapKey(kek, key []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	out := append(append([]byte(nil), wrapIV[:]...), key...)
	n := len(key) / 8
	var buf [aes.BlockSize]byte
	copy(buf[:8], wrapIV[:])
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(buf[8:], out[8*i:])
			block.Encrypt(buf[:], buf[:])
			binary.BigEndian.PutUint64(buf[:], binary.BigEndian.Uint64(buf[:])^uint64(n*j+i))
			copy(out[8*i:8*i+8], buf[8:])
		}
	}
	copy(out, buf[:8])
	return out, nil
}

// unwrapKey implements RFC 3394 section 2.2.2.
func unwrapKey(kek, wrapped []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	if len(wrapped) < 24 || len(wrapped)%8 != 0 {
		return nil, errKM
	}
	out := append([]byte(nil), wrapped[8:]...)
	n := len(out) / 8
	var buf [aes.BlockSize]byte
	copy(buf[:8], wrapped)
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			binary.BigEndian.PutUint64(buf[:], binary.BigEndian.Uint64(buf[:])^uint64(n*j+i))
			copy(buf[8:], out[8*(i-1):])
			block.Decrypt(buf[:], buf[:])
			copy(out[8*(i-1):8*i], buf[8:])
		}
	}
	if subtle.ConstantTimeCompare(buf[:8], wrapIV[:]) != 1 {
		return nil, errUnwrap
	}
	return out, nil
}

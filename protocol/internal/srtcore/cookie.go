package srtcore

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// cookiePeriod is how long the same cookie is given out. It is accepted for twice as long.
const cookiePeriod = time.Minute

// cookies makes and checks SYN cookies. They prove that a caller receives at its address, and need no memory per caller.
type cookies struct {
	secret [32]byte
}

func newCookies() *cookies {
	c := &cookies{}
	rand.Read(c.secret[:])
	return c
}

// period returns the number of the period that a time, in microseconds, is in.
func (c *cookies) period(now int64) int64 { return now / cookiePeriod.Microseconds() }

func (c *cookies) make(a netip.AddrPort, period int64) uint32 {
	var b [26]byte
	ip := a.Addr().As16()
	copy(b[:], ip[:])
	binary.BigEndian.PutUint16(b[16:], a.Port())
	binary.BigEndian.PutUint64(b[18:], uint64(period))
	m := hmac.New(sha256.New, c.secret[:])
	m.Write(b[:])
	return binary.BigEndian.Uint32(m.Sum(nil))
}

func (c *cookies) valid(cookie uint32, a netip.AddrPort, now int64) bool {
	p := c.period(now)
	return cookie == c.make(a, p) || cookie == c.make(a, p-1)
}

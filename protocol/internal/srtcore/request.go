package srtcore

import (
	"errors"
	"net/netip"
	"strconv"
)

// Rejection says why a caller is refused, with the numbers of libsrt (SRT_REJ_ and SRT_REJX_ constants).
// As an error it is how Config.Accept refuses.
type Rejection uint32

// Reasons of the protocol.
const (
	RejectUnknown    Rejection = 0
	RejectSystem     Rejection = 1
	RejectPeer       Rejection = 2
	RejectResource   Rejection = 3
	RejectRogue      Rejection = 4  // malformed handshake
	RejectBacklog    Rejection = 5  // too many callers
	RejectInternal   Rejection = 6  // a fault of ours
	RejectClose      Rejection = 7  // shutting down
	RejectVersion    Rejection = 8  // caller too old
	RejectBadSecret  Rejection = 10 // wrong passphrase
	RejectUnsecure   Rejection = 11 // a passphrase is needed, or none is expected
	RejectMessageAPI Rejection = 12 // stream instead of messages
	RejectCongestion Rejection = 13 // file mode
	RejectFilter     Rejection = 14 // packet filter (FEC)
	RejectGroup      Rejection = 15 // bonding
)

// Reasons of access control, after the status codes of HTTP.
const (
	RejectBadRequest      Rejection = 1400
	RejectUnauthorized    Rejection = 1401
	RejectOverload        Rejection = 1402
	RejectForbidden       Rejection = 1403
	RejectNotFound        Rejection = 1404
	RejectBadMode         Rejection = 1405
	RejectUnacceptable    Rejection = 1406
	RejectConflict        Rejection = 1407
	RejectUnsupported     Rejection = 1415 // media type
	RejectLocked          Rejection = 1423
	RejectInternalError   Rejection = 1500
	RejectNotImplemented  Rejection = 1501
	RejectGateway         Rejection = 1502
	RejectDown            Rejection = 1503
	RejectVersionNotKnown Rejection = 1505
)

// Error implements error.
func (r Rejection) Error() string { return "srt: rejected with code " + strconv.Itoa(int(r)) }

// unsupported tells the reasons that are a matter of how the caller is set up.
func (r Rejection) unsupported() bool {
	switch r {
	case RejectVersion, RejectMessageAPI, RejectCongestion, RejectFilter, RejectGroup:
		return true
	}
	return false
}

// asRejection returns the code for an error of Config.Accept.
func asRejection(err error) Rejection {
	var r Rejection
	if errors.As(err, &r) {
		return r
	}
	return RejectPeer
}

// Request is a caller who asks for a connection. It is only valid during Config.Accept.
type Request struct {
	// StreamID is what the caller asks for, up to 512 bytes. Callers of handshake version 4 (libsrt before 1.3) cannot give one.
	StreamID string

	// Addr is where the caller is. The handshake has proved that it receives there.
	Addr netip.AddrPort

	// Encrypted tells whether the caller encrypts. SetPassphrase must succeed then, or the caller is
	// refused with RejectBadSecret.
	Encrypted bool

	// KeyLength is the size of the caller's key in bytes: 16, 24 or 32, or 0 without encryption.
	KeyLength int

	// HandshakeVersion is 4 or 5. With version 4 only the caller can send media, and encryption is settled after the handshake.
	HandshakeVersion int

	// PeerVersion is the caller's version of libsrt as 0xMMmmpp, or 0 if unknown.
	PeerVersion uint32

	hs         *conclusion
	passphrase string
	crypto     *cryptoState
}

// SetPassphrase sets the passphrase of the connection. It returns RejectBadSecret if the caller has another
// one, and RejectUnsecure if the caller does not encrypt; Config.Accept may return that error as it is. An empty passphrase stands
// for no encryption: it is refused with RejectUnsecure if the caller encrypts. Without a call to SetPassphrase the same is assumed.
//
// It takes about a millisecond of computing.
func (r *Request) SetPassphrase(passphrase string) error {
	switch {
	case r.HandshakeVersion == 4:
		r.passphrase = passphrase
		return nil
	case passphrase == "" && !r.Encrypted:
		return nil
	case passphrase == "" || !r.Encrypted:
		return RejectUnsecure
	}
	cs := newCryptoState(passphrase)
	if err := cs.open(r.hs.km); err != nil {
		return RejectBadSecret
	}
	r.crypto = cs
	return nil
}

// Answer is how an accepted connection is used.
type Answer struct {
	// OnData gets the payloads that the peer sends, in order, each when its time has come. It is called by the goroutine that serves all
	// connections and must not block or keep the slice.
	OnData func(payload []byte)

	// ReadBuffer is how many bytes may wait for Conn.Read, if OnData is nil. What does not fit is lost. If it is
	// zero too, what the peer sends is ignored.
	ReadBuffer int

	// OnOpen is called once, on the goroutine of Accept, when the caller has been told. OnData and OnClose are
	// not called before it returns. May be nil.
	OnOpen func(c *Conn)

	// OnClose is called once, on a goroutine of its own, when the connection has ended and OnData is not called any
	// more. Listener.Close waits for it. May be nil.
	OnClose func(c *Conn, err error)
}

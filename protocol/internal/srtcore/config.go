package srtcore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/org/mtx/protocol/internal/egress"
)

// Defaults of Config.
const (
	defaultLatency         = 120 * time.Millisecond
	defaultPeerIdleTimeout = 5 * time.Second
	defaultAcceptTimeout   = 10 * time.Second
	defaultMaxPayload      = 1316
	defaultWindow          = 8192
	defaultAccepting       = 512
	defaultReceiveBuffer   = 4 << 20
	defaultKeyRefresh      = 1 << 24
	defaultKeyPreAnnounce  = 1 << 12
)

// maxLatency is the largest delay that a handshake can carry (16 bits of milliseconds).
const maxLatency = 65535 * time.Millisecond

// Config is how a Listener behaves. Accept is required; the zero value of every other field stands for its default.
type Config struct {
	// Accept decides about a caller, see Request. It is called on a goroutine of its own and may block, for authentication
	// for instance. Callers that repeat their request meanwhile wait for the same decision. ctx ends with the listener and
	// after AcceptTimeout.
	//
	// An error refuses the caller: with its code if it is or wraps a Rejection, with RejectPeer otherwise.
	Accept func(ctx context.Context, r *Request) (*Answer, error)

	// AcceptTimeout bounds Accept. Default: 10 seconds.
	AcceptTimeout time.Duration

	// MaxAccepting is how many calls of Accept may run at once. Further callers are not answered and try again by themselves; a
	// quarter of them may come from one IP address. Default: 512.
	MaxAccepting int

	// Latency is the delay between sending and delivery, both ways, within which lost packets are recovered. The larger one
	// of both sides counts. At most 65.535 seconds. Default: 120 ms.
	Latency time.Duration

	// PeerIdleTimeout ends a connection whose peer is silent for so long. Default: 5 seconds.
	PeerIdleTimeout time.Duration

	// MaxPayload is the most bytes in a data packet that is sent; larger packets of a message are split. Between 188 and
	// 1456. Default: 1316, seven MPEG-TS packets.
	MaxPayload int

	// Window is how many packets may wait per connection and direction: to be acknowledged or sent again, or
	// to be delivered. Between 256 and 65536. Memory is only taken as far as it is used. Default: 8192.
	Window int

	// ReceiveBuffer is what is asked for at the socket, in bytes; the system may give less. Default: 4 MiB.
	ReceiveBuffer int

	// KeyRefresh is after how many sent packets a new encryption key comes into use, KeyPreAnnounce how many packets earlier
	// it is announced. Defaults: 2^24 and 2^12.
	KeyRefresh, KeyPreAnnounce int

	// Tap is shown all datagrams, under the name TapName. Default: none.
	Tap     egress.Tap
	TapName string

	// Log gets what goes wrong with single callers: there is one line per refused handshake, at debug level unless the
	// caller asks for what is not served.
	// Default: discard.
	Log *slog.Logger
}

// errNoAccept is returned by Listen.
var errNoAccept = errors.New("srt: Config.Accept is missing")

// withDefaults returns the configuration with defaults filled in, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.Accept == nil {
		return c, errNoAccept
	}
	def(&c.AcceptTimeout, defaultAcceptTimeout)
	def(&c.MaxAccepting, defaultAccepting)
	def(&c.Latency, defaultLatency)
	def(&c.PeerIdleTimeout, defaultPeerIdleTimeout)
	def(&c.MaxPayload, defaultMaxPayload)
	def(&c.Window, defaultWindow)
	def(&c.ReceiveBuffer, defaultReceiveBuffer)
	def(&c.KeyRefresh, defaultKeyRefresh)
	def(&c.KeyPreAnnounce, min(defaultKeyPreAnnounce, c.KeyRefresh/4))
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Latency < 0 || c.Latency > maxLatency:
		return c, fmt.Errorf("srt: latency %v: must be between 0 and %v", c.Latency, maxLatency)
	case c.MaxPayload < minPayload || c.MaxPayload > maxPayload:
		return c, fmt.Errorf("srt: payload size %d: must be between %d and %d bytes", c.MaxPayload, minPayload, maxPayload)
	case c.Window < 256 || c.Window > 65536:
		return c, fmt.Errorf("srt: window %d: must be between 256 and 65536 packets", c.Window)
	case c.KeyRefresh < 16 || c.KeyPreAnnounce < 1 || c.KeyPreAnnounce > c.KeyRefresh/2:
		return c, fmt.Errorf("srt: key refresh after %d packets, announced %d before: the latter must be 1 to half of the former",
			c.KeyRefresh, c.KeyPreAnnounce)
	case c.AcceptTimeout < 0 || c.PeerIdleTimeout < 0 || c.MaxAccepting < 0 || c.ReceiveBuffer < 0:
		return c, errors.New("srt: timeouts and limits must not be negative")
	}
	return c, nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

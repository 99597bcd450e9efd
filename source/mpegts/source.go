package mpegts

import (
	"fmt"
	"strings"
	"time"

	"github.com/org/mtx/protocol/bridge/datagram"
	"github.com/org/mtx/router"
)

const defaultReadTimeout = 10 * time.Second

// Source receives an MPEG transport stream. Values may be compared with ==.
type Source struct {
	// URL tells where to wait for the sender. Mandatory.
	//
	//	udp+mpegts://HOST:PORT     HOST is an address of this machine, 0.0.0.0 or [::]
	//	                           for all of them, or a multicast group (IPv4, IPv6)
	//	udp://HOST:PORT            the same
	//	unix+mpegts:///PATH        a Unix socket, made by the source; an old one is
	//	                           replaced
	//
	// Parameters of UDP are interface, the network interface (name or address) on
	// which a multicast group is joined (default: all that can do multicast), and
	// source, the only IP address that may send (default: anybody). Unix sockets
	// have type, stream (the default) or datagram.
	//
	// $G1, $G2... and $MTX_QUERY are replaced.
	URL string

	// UDPReadBufferSize is the size of the UDP receive buffer, in bytes. Default:
	// that of the system.
	UDPReadBufferSize int

	// ReadTimeout is how long no media may arrive. Default 10s. A Unix socket waits
	// for its sender without limit.
	ReadTimeout time.Duration
}

var _ router.Source = Source{}

// Type implements router.Source.
func (s Source) Type() string { return "mpegtsSource" }

// Validate tells what is wrong with the source. URLs with variables are checked
// only when these are known.
func (s Source) Validate() error {
	if s.UDPReadBufferSize < 0 {
		return fmt.Errorf("UDP read buffer size %d: it must not be negative", s.UDPReadBufferSize)
	}
	if s.ReadTimeout < 0 {
		return fmt.Errorf("read timeout %v: it must not be negative", s.ReadTimeout)
	}
	if strings.Contains(s.URL, "$G") || strings.Contains(s.URL, "$MTX_QUERY") {
		return nil
	}
	_, err := parse(s.URL)
	return err
}

// parse reads an expanded URL.
func parse(url string) (datagram.Address, error) {
	if rest, ok := strings.CutPrefix(url, "udp://"); ok {
		url = "udp+mpegts://" + rest
	}
	return datagram.Parse(url, "mpegts")
}

func (s Source) timeout() time.Duration {
	if s.ReadTimeout == 0 {
		return defaultReadTimeout
	}
	return s.ReadTimeout
}

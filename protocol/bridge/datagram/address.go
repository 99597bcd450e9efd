package datagram

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Network is a kind of socket.
type Network string

// Networks.
const (
	UDP      Network = "udp"
	Unix     Network = "unix"     // a stream of bytes
	Unixgram Network = "unixgram" // datagrams
)

// maxSocketPath is the longest name of a Unix socket, in bytes. It is what Linux
// allows; other systems allow a little less.
const maxSocketPath = 107

// Address is where to wait for a sender.
type Address struct {
	Network Network

	// Host and Port belong to UDP. Host is an address of this machine, a
	// multicast group, or a name of one of them; empty means every address.
	Host string
	Port uint16

	// Interface is the name, or an address, of the network interface on which a
	// multicast group is joined. Default: all that can do multicast.
	Interface string

	// Source is the only address that may send (IGMPv3 and MLDv2 tell routers,
	// if the host is a multicast group). Default: anybody.
	Source netip.Addr

	// Path is the file name of a Unix socket.
	Path string

	// Unknown are the parameters of the URL that mean nothing here.
	Unknown []string
}

// Parse reads a URL. payload is the second half of the scheme: with "mpegts" it
// takes
//
//	udp+mpegts://HOST:PORT?interface=NAME&source=IP
//	unix+mpegts:///PATH/OF/SOCKET?type=stream
//
// where type may be datagram. Errors are one sentence, without what may be secret:
// of the URL they show scheme, host and path.
func Parse(rawURL, payload string) (Address, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // nobody knows what is at which place
		return Address{}, fmt.Errorf("the URL is invalid: it must be udp+%s://HOST:PORT or unix+%s:///PATH", payload, payload)
	}
	if want := []string{"udp+" + payload, "unix+" + payload}; !slices.Contains(want, u.Scheme) || !strings.Contains(rawURL, "://") {
		return Address{}, fmt.Errorf("URL %q: it must begin with %s:// or %s://", show(u), want[0], want[1])
	}
	if u.User != nil {
		return Address{}, errors.New("the URL holds credentials: there is nobody to give them to")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Address{}, fmt.Errorf("URL %q: the query is invalid", show(u))
	}
	var a Address
	if strings.HasPrefix(u.Scheme, "udp+") {
		err = a.parseUDP(u, query)
	} else {
		err = a.parseUnix(u, query)
	}
	if err != nil {
		return Address{}, fmt.Errorf("URL %q: %w", show(u), err)
	}
	for k := range query {
		a.Unknown = append(a.Unknown, clip(k))
	}
	slices.Sort(a.Unknown)
	return a, nil
}

func (a *Address) parseUDP(u *url.URL, query url.Values) error {
	a.Network, a.Host = UDP, u.Hostname()
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("port %q: it must be a number from 1 to 65535", u.Port())
	}
	a.Port = uint16(port)
	if u.Path != "" && u.Path != "/" {
		return errors.New("there must be nothing behind the port")
	}
	a.Interface = take(query, "interface")
	if s := take(query, "source"); s != "" {
		ip, err := netip.ParseAddr(s)
		if err != nil || ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("source %q: it must be the IP address of the sender", clip(s))
		}
		a.Source = ip.Unmap()
	}
	if host, err := netip.ParseAddr(a.Host); err == nil {
		return a.checkHost(host.Unmap())
	}
	return nil // a name
}

// checkHost looks at a host that is an IP address.
func (a *Address) checkHost(host netip.Addr) error {
	if host.Zone() != "" && host.IsMulticast() && a.Interface == "" {
		a.Interface = host.Zone()
	}
	if a.Source.IsValid() && host != netip.IPv6Unspecified() && a.Source.Is4() != host.Is4() {
		return fmt.Errorf("source %q: it must be of the same kind (IPv4 or IPv6) as the host %q", a.Source, a.Host)
	}
	return nil
}

func (a *Address) parseUnix(u *url.URL, query url.Values) error {
	if u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasSuffix(u.Path, "/") {
		return errors.New("three slashes and the absolute path of a socket must follow the scheme, as in :///run/socket.sock")
	}
	if len(u.Path) > maxSocketPath || strings.ContainsRune(u.Path, 0) {
		return fmt.Errorf("the path of a socket has at most %d bytes, none of them zero", maxSocketPath)
	}
	a.Path = u.Path
	switch t := take(query, "type"); t {
	case "", "stream":
		a.Network = Unix
	case "datagram":
		a.Network = Unixgram
	default:
		return fmt.Errorf("type %q: it must be stream or datagram", clip(t))
	}
	return nil
}

// String returns the address as logs show it.
func (a Address) String() string {
	if a.Network == UDP {
		return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
	}
	return a.Path
}

// Next returns the UDP address with the next higher port, where RTCP is sent
// (RFC 3550 section 11). ok is false if there is none.
func (a Address) Next() (next Address, ok bool) {
	if a.Network != UDP || a.Port == 65535 {
		return Address{}, false
	}
	a.Port++
	a.Unknown = nil
	return a, true
}

// take removes a parameter.
func take(q url.Values, key string) string {
	v := q.Get(key)
	delete(q, key)
	return v
}

// clip bounds what errors quote.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// show returns what errors may quote of a URL: neither credentials nor parameters.
func show(u *url.URL) string {
	return clip((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
}

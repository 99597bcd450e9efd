package httpserver

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

type infoKey struct{}

// info is how the client sees the server.
type info struct {
	by     *guard // who has found this out
	client netip.Addr
	https  bool
	host   string
	prefix string
}

// ClientAddr returns the address of the client: of the connection or, behind a
// trusted proxy, that of X-Forwarded-For. It is not valid if it is unknown.
func ClientAddr(r *http.Request) netip.Addr { return infoOf(r).client }

// IsHTTPS tells whether the client uses HTTPS, be it that of a trusted proxy.
func IsHTTPS(r *http.Request) bool { return infoOf(r).https }

// Prefix returns the path below which the endpoint serves, without a slash at
// the end: "" for a [Listen]. It was removed from the URL of the request, and
// belongs in front of paths in answers.
func Prefix(r *http.Request) string { return infoOf(r).prefix }

// BaseURL returns the URL of the endpoint as the client sees it, without a slash
// at the end, such as "https://example.com/video".
func BaseURL(r *http.Request) string {
	i := infoOf(r)
	if i.https {
		return "https://" + i.host + i.prefix
	}
	return "http://" + i.host + i.prefix
}

func infoOf(r *http.Request) *info {
	if i, ok := r.Context().Value(infoKey{}).(*info); ok {
		return i
	}
	return (&guard{}).inspect(r)
}

// inspect believes the headers of trusted proxies.
func (g *guard) inspect(r *http.Request) *info {
	i := &info{by: g, client: parseAddr(r.RemoteAddr), https: r.TLS != nil, host: r.Host, prefix: g.prefix}
	if !g.trusts(i.client) {
		return i
	}
	if p, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ","); p != "" {
		i.https = strings.EqualFold(strings.TrimSpace(p), "https")
	}
	if h, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ","); validHost(strings.TrimSpace(h)) {
		i.host = strings.TrimSpace(h)
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) { // the nearest proxy is the last
		a := parseAddr(strings.TrimSpace(hop))
		if !a.IsValid() {
			break
		}
		i.client = a
		if !g.trusts(a) {
			break
		}
	}
	return i
}

func (g *guard) trusts(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(g.trustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// unmapped turns networks of IPv4 addresses in the form of IPv6 into what they
// stand for, as parseAddr does with addresses.
func unmapped(networks []netip.Prefix) []netip.Prefix {
	out := slices.Clone(networks)
	for i, n := range out {
		if a := n.Addr(); a.Is4In6() && n.Bits() >= 96 {
			out[i] = netip.PrefixFrom(a.Unmap(), n.Bits()-96)
		}
	}
	return out
}

// parseAddr reads an address with or without a port.
func parseAddr(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// validHost accepts what can stand between "//" and "/" in a URL.
func validHost(h string) bool {
	if h == "" || len(h) > 255 {
		return false
	}
	return !strings.ContainsFunc(h, func(c rune) bool {
		return !('A' <= c && c <= 'Z' || c < 0x80 && isHostByte(byte(c)) || strings.ContainsRune("_:[]", c))
	})
}

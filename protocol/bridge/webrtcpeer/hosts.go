package webrtcpeer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// hostsAge is how long the addresses of a host name are used.
	hostsAge = 30 * time.Second
	// hostsTimeout is how long an offer waits for the addresses of host names.
	hostsTimeout = 2 * time.Second
	// maxHostAddresses is how many addresses are offered.
	maxHostAddresses = 64
)

// hosts are the additional hosts.
type hosts struct {
	static []netip.Addr
	names  []string
	log    *slog.Logger

	ctx    context.Context //nolint:containedctx // ends lookups with the engine
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	asked  time.Time
	asking bool
	found  map[string][]netip.Addr
}

func newHosts(cfg EngineConfig) *hosts {
	h := &hosts{log: cfg.Log, found: map[string][]netip.Addr{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	for _, s := range cfg.AdditionalHosts {
		if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			h.static = append(h.static, ip.Unmap())
		} else if s != "" {
			h.names = append(h.names, s)
		}
	}
	return h
}

// close stops lookups.
func (h *hosts) close() {
	h.cancel()
	h.mu.Lock() // no further ones
	h.asking = true
	h.mu.Unlock()
	h.wg.Wait()
}

// addresses returns the addresses of all additional hosts. It waits for the first
// lookup of names; later ones are done in the background. Names that cannot be
// resolved keep the addresses that they had.
func (h *hosts) addresses() []netip.Addr {
	list := slices.Clone(h.static)
	if len(h.names) == 0 {
		return list
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.asked.IsZero():
		h.asked = time.Now()
		h.merge(h.lookup())
	case !h.asking && time.Since(h.asked) > hostsAge:
		h.asked, h.asking = time.Now(), true
		h.wg.Go(func() {
			found := h.lookup()
			h.mu.Lock()
			defer h.mu.Unlock()
			h.merge(found)
			h.asking = h.ctx.Err() != nil
		})
	}
	for _, name := range h.names {
		for _, ip := range h.found[name] {
			list = append(list, ip.Unmap())
		}
	}
	return list
}

// lookup resolves all names.
func (h *hosts) lookup() map[string][]netip.Addr {
	ctx, cancel := context.WithTimeout(h.ctx, hostsTimeout)
	defer cancel()
	found := map[string][]netip.Addr{}
	for _, name := range h.names {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		if err == nil {
			found[name] = ips
		} else if h.ctx.Err() == nil {
			h.log.Warn("additional host cannot be resolved", "host", name, "error", err)
		}
	}
	return found
}

func (h *hosts) merge(found map[string][]netip.Addr) { maps.Copy(h.found, found) }

// hostAddresses returns the addresses that are offered for a port that listens at
// local.
func (e *Engine) hostAddresses(local netip.Addr) []netip.Addr {
	var list, loopback []netip.Addr
	switch {
	case e.cfg.NoInterfaces:
	case !local.IsUnspecified():
		list = append(list, local.Unmap())
	default:
		for _, a := range e.net.addresses() {
			named := slices.Contains(e.cfg.Interfaces, a.iface)
			switch {
			case len(e.cfg.Interfaces) > 0 && !named, local.Is4() && a.ip.Is6():
			case a.ip.IsLoopback() && !named:
				loopback = append(loopback, a.ip)
			default:
				list = append(list, a.ip)
			}
		}
	}
	list = append(list, e.hosts.addresses()...)
	if len(list) == 0 {
		list = loopback
	}
	slices.SortFunc(list, netip.Addr.Compare)
	list = slices.Compact(list)
	return list[:min(len(list), maxHostAddresses)]
}

// Preferences of candidates, RFC 8445 section 5.1.2 and RFC 6544 section 4.2: UDP
// before TCP.
const (
	typePreferenceHost    = 126
	typePreferenceHostTCP = 90
	tcpPassive            = 4 << 13 // direction preference of passive host candidates
	localPreference       = 0xffff
)

// hostCandidates returns the candidates of the shared ports, without "a=".
func (e *Engine) hostCandidates() []string {
	var list []string
	add := func(addr net.Addr, protocol, suffix string, typ, pref uint32) {
		ap, err := netip.ParseAddrPort(addr.String())
		if err != nil {
			return
		}
		for i, ip := range e.hostAddresses(ap.Addr()) {
			priority := typ<<24 | (pref-uint32(i))<<8 | 255
			list = append(list, fmt.Sprintf("candidate:%s%d 1 %s %d %s %d typ host%s",
				protocol, i+1, protocol, priority, ip, ap.Port(), suffix))
		}
	}
	if e.cfg.UDP != nil {
		add(e.cfg.UDP.LocalAddr(), "udp", "", typePreferenceHost, localPreference)
	}
	if e.cfg.TCP != nil {
		add(e.cfg.TCP.Addr(), "tcp", " tcptype passive", typePreferenceHostTCP, tcpPassive|0x1fff)
	}
	return list
}

// withHostCandidates replaces the host candidates that the library put into a
// description by the ones that are to be offered.
func (e *Engine) withHostCandidates(desc string) string {
	extra := e.extraCandidates(desc)
	if !e.server() && len(extra) == 0 {
		return desc
	}
	var b strings.Builder
	done := false
	for line := range strings.Lines(desc) {
		candidate := strings.HasPrefix(line, "a=candidate:")
		if !done && (candidate || strings.HasPrefix(line, "a=end-of-candidates")) {
			done = true
			for _, c := range extra {
				b.WriteString("a=" + c + "\r\n")
			}
		}
		if candidate && e.server() && strings.Contains(line, " typ host") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// extraCandidates returns what is added to a description: the shared ports, or,
// where every peer has sockets of its own, the additional hosts in front of these.
func (e *Engine) extraCandidates(desc string) []string {
	if e.server() {
		return e.hostCandidates()
	}
	var list []string
	ports := map[string]bool{}
	for line := range strings.Lines(desc) {
		f := strings.Fields(strings.TrimPrefix(line, "a=candidate:"))
		if len(f) < 8 || f[1] != "1" || f[7] != "host" || f[2] != "udp" || ports[f[5]] || !strings.HasPrefix(line, "a=c") {
			continue
		}
		ports[f[5]] = true
		for i, ip := range e.hosts.addresses() {
			list = append(list, fmt.Sprintf("candidate:x%d%s 1 udp %s %s %s typ host", i, f[5], f[3], ip, f[5]))
		}
	}
	return list[:min(len(list), maxHostAddresses)]
}

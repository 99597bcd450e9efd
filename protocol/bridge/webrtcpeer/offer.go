package webrtcpeer

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/sdp/v3"
)

// Limits of session descriptions. Browsers make 6 KiB per media section.
const (
	maxSDPSize       = 256 << 10 // bytes
	maxSections      = 32
	maxAttributes    = 8192 // of all sections
	maxCandidates    = 256  // of a peer, in all
	maxFormats       = 128  // of a section
	maxRIDs          = 8    // simulcast layers of a section
	maxTracks        = 64   // of a publisher
	maxCandidateSize = 512  // bytes
)

func badOffer(format string, args ...any) error {
	return &reasonError{ErrBadOffer, "session description: " + fmt.Sprintf(format, args...)}
}

// parseDescription parses an offer or answer, checks it against the limits, and
// leaves out candidates that cannot be used: mDNS names, which only the browser
// itself can resolve, and other host names.
func parseDescription(text string) (*sdp.SessionDescription, error) {
	if len(text) > maxSDPSize {
		return nil, badOffer("%d bytes; at most %d are accepted", len(text), maxSDPSize)
	}
	if strings.TrimSpace(text) == "" {
		return nil, badOffer("it is empty")
	}
	desc := &sdp.SessionDescription{}
	err := guard(ErrBadOffer, func() error { return desc.UnmarshalString(text) })
	if err != nil {
		return nil, badOffer("it cannot be parsed: %.200v", err)
	}
	return desc, checkDescription(desc)
}

func checkDescription(desc *sdp.SessionDescription) error {
	n := len(desc.MediaDescriptions)
	if n == 0 || n > maxSections {
		return badOffer("%d media sections; 1 to %d are accepted", n, maxSections)
	}
	attributes, candidates := len(desc.Attributes), 0
	mids := map[string]bool{}
	for i, m := range desc.MediaDescriptions {
		if attributes += len(m.Attributes); attributes > maxAttributes {
			return badOffer("more than %d attributes", maxAttributes)
		}
		if len(m.MediaName.Formats) > maxFormats {
			return badOffer("media section %d has %d formats; at most %d are accepted", i+1, len(m.MediaName.Formats), maxFormats)
		}
		mid, _ := m.Attribute(sdp.AttrKeyMID)
		if mids[mid] || mid == "" && live(m) {
			return badOffer("media section %d has no mid attribute of its own", i+1)
		}
		mids[mid] = mid != ""
		rids := 0
		kept := m.Attributes[:0]
		for _, a := range m.Attributes {
			switch a.Key {
			case "rid":
				rids++
			case sdp.AttrKeyCandidate:
				if candidates++; candidates > maxCandidates {
					return badOffer("more than %d candidates", maxCandidates)
				}
				if !usableCandidate(a.Value) {
					continue
				}
			}
			kept = append(kept, a)
		}
		m.Attributes = kept
		if rids > maxRIDs {
			return badOffer("media section %d has %d simulcast layers; at most %d are accepted", i+1, rids, maxRIDs)
		}
	}
	for _, key := range []string{"ice-ufrag", "ice-pwd", "fingerprint"} {
		if anyAttribute(desc, key) == "" {
			return badOffer("attribute %s is missing", key)
		}
	}
	return nil
}

// anyAttribute returns an attribute of the session or of the first section that
// has it.
func anyAttribute(desc *sdp.SessionDescription, key string) string {
	if v, ok := desc.Attribute(key); ok {
		return v
	}
	for _, m := range desc.MediaDescriptions {
		if v, ok := m.Attribute(key); ok {
			return v
		}
	}
	return ""
}

// usableCandidate tells whether a candidate, without its prefix, is well-formed and has
// an address to which packets can be sent: RFC 8839 section 5.1.
func usableCandidate(value string) bool {
	if len(value) > maxCandidateSize {
		return false
	}
	f := strings.Fields(value)
	if len(f) < 8 || f[6] != "typ" {
		return false
	}
	ip, err := netip.ParseAddr(f[4])
	if err != nil || ip.IsUnspecified() || ip.IsMulticast() {
		return false
	}
	return nil == guard(ErrBadOffer, func() error {
		_, err := ice.UnmarshalCandidate(value)
		return err
	})
}

// countCandidates returns the number of candidates of a description.
func countCandidates(desc *sdp.SessionDescription) int {
	n := 0
	for _, m := range desc.MediaDescriptions {
		for _, a := range m.Attributes {
			if a.Key == sdp.AttrKeyCandidate {
				n++
			}
		}
	}
	return n
}

// direction is what the remote side does with a section.
func direction(desc *sdp.SessionDescription, m *sdp.MediaDescription) string {
	for _, attrs := range [][]sdp.Attribute{m.Attributes, desc.Attributes} {
		for _, a := range attrs {
			switch a.Key {
			case sdp.AttrKeySendOnly, sdp.AttrKeyRecvOnly, sdp.AttrKeySendRecv, sdp.AttrKeyInactive:
				return a.Key
			}
		}
	}
	return sdp.AttrKeySendRecv // RFC 8866 section 6.7
}

// live tells whether a section is in use: not rejected, or bundled.
func live(m *sdp.MediaDescription) bool {
	_, bundleOnly := m.Attribute("bundle-only")
	return m.MediaName.Port.Value != 0 || bundleOnly
}

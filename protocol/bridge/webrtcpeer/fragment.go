package webrtcpeer

import (
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// Limits of trickle fragments.
const (
	maxFragmentSize       = 64 << 10 // bytes
	maxFragmentCandidates = 100
)

// fragment is the content of application/trickle-ice-sdpfrag, RFC 8840 section 9.
type fragment struct {
	ufrag, pwd string
	candidates []fragmentCandidate
	end        bool // no further candidates
}

type fragmentCandidate struct {
	mid   string
	value string // with the prefix "candidate:"
}

func badFragment(format string, args ...any) error {
	return &reasonError{ErrBadFragment, "trickle fragment: " + fmt.Sprintf(format, args...)}
}

// parseFragment parses a fragment. Candidates that cannot be used are left out.
func parseFragment(text string) (*fragment, error) {
	if len(text) > maxFragmentSize {
		return nil, badFragment("%d bytes; at most %d are accepted", len(text), maxFragmentSize)
	}
	f := &fragment{}
	mid, count := "", 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n ")
		if line == "" {
			continue
		}
		if len(line) < 2 || line[1] != '=' {
			return nil, badFragment("line %.40q is not of the form type=value", line)
		}
		key, value, _ := strings.Cut(line[2:], ":")
		if line[0] != 'a' {
			continue
		}
		switch key {
		case "ice-ufrag":
			f.ufrag = value
		case "ice-pwd":
			f.pwd = value
		case "mid":
			mid = value
		case "end-of-candidates":
			f.end = true
		case "candidate":
			if count++; count > maxFragmentCandidates {
				return nil, badFragment("more than %d candidates", maxFragmentCandidates)
			}
			if usableCandidate(value) {
				f.candidates = append(f.candidates, fragmentCandidate{mid, "candidate:" + value})
			}
		}
	}
	if f.ufrag == "" && f.pwd == "" && count == 0 && !f.end {
		return nil, badFragment("it has neither candidates nor ICE credentials")
	}
	// RFC 8839 section 5.4
	if len(f.ufrag) > 256 || len(f.pwd) > 256 {
		return nil, badFragment("ICE credentials are longer than 256 characters")
	}
	return f, nil
}

// String returns the fragment as RFC 8840 shows it.
func (f *fragment) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", f.ufrag, f.pwd)
	mid := ""
	for _, c := range f.candidates {
		if c.mid != mid {
			mid = c.mid
			fmt.Fprintf(&b, "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:%s\r\n", mid)
		}
		fmt.Fprintf(&b, "a=%s\r\n", c.value)
	}
	if f.end {
		b.WriteString("a=end-of-candidates\r\n")
	}
	return b.String()
}

// AddCandidates takes candidates that the remote side found later (RFC 8840).
func (p *Peer) AddCandidates(text string) error {
	f, err := parseFragment(text)
	if err != nil {
		return err
	}
	p.signal.Lock()
	defer p.signal.Unlock()
	if !p.received.known {
		return badFragment("there is no session description yet")
	}
	if f.ufrag != "" && f.ufrag != p.received.ufrag {
		return badFragment("ice-ufrag is not that of the session; an ICE restart needs ice-pwd too")
	}
	return p.addCandidates(f)
}

// addCandidates needs Peer.signal.
func (p *Peer) addCandidates(f *fragment) error {
	if p.received.candidates += len(f.candidates); p.received.candidates > maxCandidates {
		return badFragment("more than %d candidates", maxCandidates)
	}
	for _, c := range f.candidates {
		init := webrtc.ICECandidateInit{Candidate: c.value, UsernameFragment: &p.received.ufrag}
		if c.mid != "" {
			init.SDPMid = &c.mid
		}
		err := guard(ErrBadFragment, func() error { return p.pc.AddICECandidate(init) })
		if err != nil && p.Err() == nil {
			p.log.Debug("candidate ignored", "candidate", c.value, "error", err)
		}
	}
	return nil
}

package rtsp

import (
	"bytes"
	"strconv"
	"strings"
)

// acceptMode0 declares H264 of packetization-mode 0, which the library refuses,
// as mode 1, of which it is a subset (RFC 6184 section 5.4).
func acceptMode0(sdp []byte) []byte {
	if !bytes.Contains(bytes.ToLower(sdp), []byte("h264/")) {
		return sdp
	}
	lines := strings.Split(string(sdp), "\n")
	out := make([]string, 0, len(lines)+8)
	for len(lines) > 0 {
		// attributes of a media section end with the next one
		end := 1
		for end < len(lines) && !strings.HasPrefix(lines[end], "m=") {
			end++
		}
		out = append(out, withMode1(lines[:end])...)
		lines = lines[end:]
	}
	return []byte(strings.Join(out, "\n"))
}

// withMode1 rewrites a media section.
func withMode1(lines []string) []string {
	pending := map[string]bool{} // payload types of H264, true until the mode is seen to
	for _, l := range lines {
		pt, codec := formatAttribute(l, "a=rtpmap:")
		if strings.HasPrefix(strings.ToLower(codec), "h264/") {
			pending[pt] = true
		}
	}
	if len(pending) == 0 {
		return lines
	}
	out := make([]string, 0, len(lines)+len(pending))
	for _, l := range lines {
		// of several parameter lines the library takes the first
		if pt, params := formatAttribute(l, "a=fmtp:"); params != "" && pending[pt] {
			pending[pt] = false
			l = "a=fmtp:" + pt + " " + modeAtLeast1(params) + lineEnd(l)
		}
		out = append(out, l)
	}
	// next to what they belong to, as the last line may be empty
	for i := 0; i < len(out); i++ {
		pt, codec := formatAttribute(out[i], "a=rtpmap:")
		if codec != "" && pending[pt] {
			pending[pt] = false
			out[i] += "\na=fmtp:" + pt + " packetization-mode=1" + lineEnd(out[i])
		}
	}
	return out
}

func lineEnd(l string) string {
	if strings.HasSuffix(l, "\r") {
		return "\r"
	}
	return ""
}

// formatAttribute splits an attribute of a payload type; the value is empty if
// the line is something else.
func formatAttribute(line, prefix string) (payloadType, value string) {
	rest, ok := strings.CutPrefix(line, prefix)
	if !ok {
		return "", ""
	}
	payloadType, value, _ = strings.Cut(strings.TrimSpace(rest), " ")
	return payloadType, value
}

// modeAtLeast1 replaces mode 0, which is also what no mode means.
func modeAtLeast1(params string) string {
	const key = "packetization-mode"
	var out []string
	found := false
	for p := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), key) {
			if n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 31); err == nil && n == 0 {
				continue
			}
			found = true
		}
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	if !found {
		out = append(out, key+"=1")
	}
	return strings.Join(out, "; ")
}

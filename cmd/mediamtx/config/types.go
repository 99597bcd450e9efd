package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Errors of the UnmarshalText methods below complete the sentence "KEY "VALUE":
// ...", so they begin with "must be".

// Duration is a span of time, written as "10s", "1h30m", "1d", "1d12h".
type Duration time.Duration

const day = 24 * time.Hour

// String prints whole days as "1d" and the rest as Go does: "1d12h0m0s".
func (d Duration) String() string {
	t := time.Duration(d)
	days := t / day
	if days == 0 {
		return t.String()
	}
	rest := (t % day).Abs()
	if rest == 0 {
		return strconv.FormatInt(int64(days), 10) + "d"
	}
	return strconv.FormatInt(int64(days), 10) + "d" + rest.String()
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	t, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(t)
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	bad := errors.New(`must be a duration such as "10s", "1h30m" or "1d12h"`)
	rest, negative := strings.CutPrefix(s, "-")
	if rest == "" || rest[0] == '-' || rest[0] == '+' {
		return 0, bad
	}
	var total time.Duration
	if n, after, ok := strings.Cut(rest, "d"); ok {
		days, err := strconv.ParseUint(n, 10, 32)
		if err != nil || days > uint64(math.MaxInt64/day) {
			return 0, bad
		}
		total, rest = time.Duration(days)*day, after
	}
	if rest != "" {
		t, err := time.ParseDuration(rest)
		if err != nil || t < 0 || total > math.MaxInt64-t {
			return 0, bad
		}
		total += t
	}
	if negative {
		total = -total
	}
	return total, nil
}

// Size is a number of bytes, written as "50M", "512K", "1G"; units are powers
// of 1024.
type Size uint64

var sizeUnits = []struct {
	suffix string
	shift  uint
}{{"T", 40}, {"G", 30}, {"M", 20}, {"K", 10}}

// String prints the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%(1<<u.shift) == 0 {
			return strconv.FormatUint(uint64(s>>u.shift), 10) + u.suffix
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	bad := errors.New(`must be a size such as "50M", "512K" or "1G"`)
	t := strings.TrimSuffix(strings.ToUpper(string(text)), "B")
	shift := uint(0)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(t, u.suffix); ok {
			t, shift = n, u.shift
			break
		}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(t), 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		return bad
	}
	*s = Size(n << shift)
	return nil
}

// IPNetwork is a network, or an address as a network of one: "10.0.0.0/8",
// "127.0.0.1/32".
type IPNetwork struct{ netip.Prefix }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *IPNetwork) UnmarshalText(text []byte) error {
	if a, err := netip.ParseAddr(string(text)); err == nil && a.Zone() == "" {
		n.Prefix = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil {
		return errors.New(`must be an IP address or a network such as "192.168.0.0/16"`)
	}
	n.Prefix = p.Masked()
	return nil
}

// PortRange is the first and the last of a range of ports.
type PortRange [2]int

// Gains are the gains of the red and the blue channel.
type Gains [2]float64

// LogLevel is the least severe level that is printed.
type LogLevel string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *LogLevel) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v LogLevel) Values() []string {
	return []string{"error", "warn", "info", "debug"}
}

// LogDestination is where messages go.
type LogDestination string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *LogDestination) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v LogDestination) Values() []string {
	return []string{"stdout", "file", "syslog"}
}

// AuthMethod tells who knows the users.
type AuthMethod string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *AuthMethod) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v AuthMethod) Values() []string {
	return []string{"internal", "http", "jwt"}
}

// Action is what a permission allows.
type Action string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Action) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v Action) Values() []string {
	return []string{"publish", "read", "playback", "api", "metrics", "pprof"}
}

// Encryption tells whether a server encrypts. Booleans are accepted too: yes
// means strict.
type Encryption string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Encryption) UnmarshalText(b []byte) error {
	if yes, err := parseBool(string(b)); err == nil {
		*v = "no"
		if yes {
			*v = "strict"
		}
		return nil
	}
	return oneOf(v, b, v.Values()...)
}

// Values are those that are shown.
func (v Encryption) Values() []string { return []string{"no", "optional", "strict"} }

// Transport carries RTP between the server and its clients.
type Transport string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Transport) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v Transport) Values() []string {
	return []string{"udp", "multicast", "tcp"}
}

// SourceTransport carries RTP from a source.
type SourceTransport string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *SourceTransport) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v SourceTransport) Values() []string {
	return []string{"automatic", "udp", "multicast", "tcp"}
}

// RangeType is the unit of a start position.
type RangeType string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *RangeType) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v RangeType) Values() []string {
	return []string{"", "clock", "npt", "smpte"}
}

// RTSPAuthMethod is a way to send credentials over RTSP.
type RTSPAuthMethod string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *RTSPAuthMethod) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v RTSPAuthMethod) Values() []string {
	return []string{"basic", "digest"}
}

// HLSVariant is a flavour of HLS.
type HLSVariant string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *HLSVariant) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v HLSVariant) Values() []string {
	return []string{"mpegts", "fmp4", "lowLatency"}
}

// RecordFormat is the container of recordings.
type RecordFormat string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *RecordFormat) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v RecordFormat) Values() []string {
	return []string{"fmp4", "mpegts"}
}

// OfflineCodec is the codec of a track that is always available.
type OfflineCodec string

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *OfflineCodec) UnmarshalText(b []byte) error { return oneOf(v, b, v.Values()...) }

// Values are those that are accepted.
func (v OfflineCodec) Values() []string {
	return []string{"AV1", "VP9", "H265", "H264", "MPEG4Audio", "Opus", "G711", "LPCM"}
}

// oneOf sets v to a text that is among the accepted ones.
func oneOf[T ~string](v *T, text []byte, accepted ...string) error {
	if !slices.Contains(accepted, string(text)) {
		return fmt.Errorf("must be %s", alternatives(accepted))
	}
	*v = T(text)
	return nil
}

// alternatives prints "a, b or c".
func alternatives(l []string) string {
	l = slices.Clone(l)
	if i := slices.Index(l, ""); i >= 0 {
		l[i] = "empty"
	}
	if len(l) < 2 {
		return strings.Join(l, "")
	}
	return strings.Join(l[:len(l)-1], ", ") + " or " + l[len(l)-1]
}

// parseBool accepts the booleans of YAML 1.1.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		return true, nil
	case "false", "no", "off":
		return false, nil
	}
	return false, errors.New("must be yes or no")
}

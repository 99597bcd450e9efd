package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/org/mtx/router/hook"
)

// checkValue applies the rule of a tag "check" to a value. As with
// UnmarshalText, errors complete the sentence "KEY "VALUE": ...".
func checkValue(rule string, v reflect.Value) error {
	name, arg, _ := strings.Cut(rule, "=")
	switch name {
	case "":
		return nil
	case "positive":
		if !v.CanUint() && number(v) <= 0 || v.CanUint() && v.Uint() == 0 {
			return errors.New("must be greater than zero")
		}
	case "notNegative":
		if number(v) < 0 {
			return errors.New("must not be negative")
		}
	case "cacheSize":
		if n := v.Uint(); n < 64<<10 || n > 1<<30 {
			return errors.New("must be between 64K and 1G")
		}
	case "notEmpty":
		if v.String() == "" {
			return errors.New("must not be empty")
		}
	case "range":
		low, high, _ := strings.Cut(arg, " ")
		l, _ := strconv.ParseFloat(low, 64)
		h, _ := strconv.ParseFloat(high, 64)
		if n := number(v); n < l || n > h {
			return fmt.Errorf("must be between %s and %s", low, high)
		}
	case "oneof":
		var s string
		return oneOf(&s, []byte(v.String()), strings.Fields(arg)...)
	case "port":
		if n := v.Int(); n < 1 || n > 65535 {
			return errors.New("must be a port between 1 and 65535")
		}
	case "portRange":
		r := v.Interface().(PortRange)
		if r[0] < 1 || r[1] > 65535 || r[0]+1 >= r[1] {
			return errors.New("must be two ports between 1 and 65535, the second greater than the first by two or more")
		}
	case "queueSize":
		if n := v.Int(); n < 1 || n > 65536 || n&(n-1) != 0 {
			return errors.New("must be a power of two between 1 and 65536")
		}
	case "payloadSize":
		if n := v.Int(); n < 300 || n > 1472 {
			return errors.New("must be between 300 and 1472")
		}
	default:
		return checkText(name, v.String())
	}
	return nil
}

func number(v reflect.Value) float64 {
	if v.CanFloat() {
		return v.Float()
	}
	if v.CanUint() {
		return float64(v.Uint())
	}
	return float64(v.Int())
}

func checkText(rule, s string) error {
	switch rule {
	case "address":
		return checkAddress(s)
	case "optionalAddress":
		if s != "" {
			return checkAddress(s)
		}
	case "httpURL":
		if s == "" {
			return nil
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New(`must be empty or a URL that begins with "http://" or "https://"`)
		}
	case "fingerprint":
		if b, err := hex.DecodeString(strings.ReplaceAll(s, ":", "")); s != "" && (err != nil || len(b) != 32) {
			return errors.New("must be empty or a SHA-256 hash of 64 hexadecimal digits")
		}
	case "multicastRange":
		p, err := netip.ParsePrefix(s)
		if err != nil || !p.Addr().Is4() || !p.Addr().IsMulticast() || p.Bits() < 4 {
			return errors.New(`must be a network of IPv4 multicast addresses such as "224.1.0.0/16"`)
		}
	case "passphrase":
		if s != "" && (len(s) < 10 || len(s) > 79) {
			return errors.New("must be empty or have from 10 to 79 characters")
		}
	case "scale":
		if n, err := strconv.ParseFloat(s, 64); s != "" && (err != nil || n == 0 || n != n || n > 1000 || n < -1000) {
			return errors.New(`must be empty or a number between -1000 and 1000 other than zero, such as "2.0"`)
		}
	case "recordPath":
		return checkRecordPath(s)
	case "command":
		return hook.ValidateLine(s)
	default:
		return fmt.Errorf("must not be here (unknown rule %q)", rule)
	}
	return nil
}

// checkAddress accepts what servers listen on: ":8554", "127.0.0.1:8554",
// "[::1]:8554", "localhost:8554".
func checkAddress(s string) error {
	bad := errors.New(`must be an address with a port of at most 65535 such as ":8554" or "127.0.0.1:8554"`)
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, " /@") {
		return bad
	}
	if _, ok := parsePort(port); !ok {
		return bad
	}
	return nil
}

// parsePort accepts zero too: the system chooses the port, which tests and
// embedded servers rely on.
func parsePort(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil
}

// checkRecordPath requires what makes the names of segments unique.
func checkRecordPath(s string) error {
	if !strings.Contains(s, "%path") {
		return errors.New("must contain %path")
	}
	if strings.Contains(s, "%s") {
		return nil
	}
	for _, v := range []string{"%Y", "%m", "%d", "%H", "%M", "%S"} {
		if !strings.Contains(s, v) {
			return errors.New("must contain either %s or all of %Y %m %d %H %M %S")
		}
	}
	return nil
}

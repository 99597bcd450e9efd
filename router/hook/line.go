package hook

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kballard/go-shellquote"
)

// shells leave their arguments alone: they replace variables by themselves, and
// what they put in is not parsed again.
var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox"}

var errNoProgram = errors.New("the command names no program")

// ValidateLine tells why a command line cannot be run; nil if it can, or if it
// is empty.
func ValidateLine(line string) error {
	if line == "" {
		return nil
	}
	_, err := split(line)
	return err
}

func split(line string) ([]string, error) {
	if strings.ContainsRune(line, 0) {
		return nil, errors.New("a command cannot contain a zero byte")
	}
	parts, err := shellquote.Split(line)
	switch {
	case errors.Is(err, shellquote.UnterminatedSingleQuoteError), errors.Is(err, shellquote.UnterminatedDoubleQuoteError):
		return nil, errors.New("a quote in the command is not closed")
	case err != nil:
		return nil, errors.New("the command ends with a backslash that stands before nothing")
	case len(parts) == 0 || parts[0] == "":
		return nil, errNoProgram
	}
	return parts, nil
}

// arguments splits a command line and replaces variables, but not in what a
// shell will read.
func arguments(line string, lookup func(string) string) ([]string, error) {
	parts, err := split(line)
	if err != nil {
		return nil, err
	}
	for i, p := range parts {
		parts[i] = expand(p, lookup)
		if slices.Contains(shells, strings.TrimSuffix(path.Base(parts[i]), ".exe")) {
			break
		}
	}
	if parts[0] == "" {
		return nil, errNoProgram
	}
	return parts, nil
}

// program is what can be logged of a command line: the rest may hold passwords.
func program(line string) string {
	parts, err := split(line)
	if err != nil {
		return ""
	}
	return parts[0]
}

// expand replaces $NAME and ${NAME}. Any other dollar sign stands for itself.
// What was put in is not looked at again.
func expand(s string, lookup func(string) string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			out.WriteString(s)
			return out.String()
		}
		out.WriteString(s[:i])
		s = s[i+1:]
		braced := strings.HasPrefix(s, "{")
		name := s[nameStart(braced):]
		name = name[:nameLen(name)]
		switch {
		case name == "", braced && !strings.HasPrefix(s[1+len(name):], "}"):
			out.WriteByte('$')
		case braced:
			out.WriteString(lookup(name))
			s = s[len(name)+2:]
		default:
			out.WriteString(lookup(name))
			s = s[len(name):]
		}
	}
}

func nameStart(braced bool) int {
	if braced {
		return 1
	}
	return 0
}

// nameLen is the length of the name of a variable at the beginning of s.
func nameLen(s string) int {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}

// maxQuery bounds an encoded query, in bytes. Linux starts no program with a
// variable, or an argument, of 128 KiB, and no client shall keep a command from
// being run.
const maxQuery = 96 << 10

// encodeQuery percent-encodes what has a meaning to anything but a URL. What is
// too long is cut.
func encodeQuery(q string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for _, c := range []byte(q) {
		if out.Len() > maxQuery-len("%00") {
			break
		}
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-._~=&%+/:@,?", c) >= 0:
			out.WriteByte(c)
		default:
			out.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return out.String()
}

// itoa keeps the lines above short.
func itoa(n int) string { return strconv.Itoa(n) }

package record

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/org/mtx/router"
)

// Format is a container format of segments.
type Format string

// Formats.
const (
	FMP4   Format = "fmp4"   // fragmented MP4 (ISO 14496-12)
	MPEGTS Format = "mpegts" // MPEG transport stream (ISO 13818-1)
)

// Valid tells whether the format is known.
func (f Format) Valid() bool { return f == FMP4 || f == MPEGTS }

// Extension returns ".mp4" or ".ts".
func (f Format) Extension() string {
	if f == MPEGTS {
		return ".ts"
	}
	return ".mp4"
}

// DefaultPattern is the usual text of a [Pattern].
const DefaultPattern = "./recordings/%path/%Y-%m-%d_%H-%M-%S-%f"

// Pattern tells where the segments of paths are stored: the name of a file with
// variables, to which the extension of the format is added. The variables are
//
//	%path                 name of the path; it may contain slashes
//	%Y %m %d              year (4 digits), month, day
//	%H %M %S              hours, minutes, seconds
//	%f                    microseconds (6 digits)
//	%z                    offset from UTC, e.g. +0200
//	%s                    seconds since 1970
//
// Times are the start of the segment, in local time. Other text stands for
// itself. Patterns are comparable; the zero value is not usable.
type Pattern struct {
	text   string // clean, with the separators of the system
	format Format
}

// Variables of a pattern, without the percent sign, with the width of their
// values; zero if it varies.
var variables = [...]struct {
	name  string
	width int
}{
	{"path", 0}, {"s", 0}, {"Y", 4}, {"m", 2}, {"d", 2}, {"H", 2}, {"M", 2}, {"S", 2}, {"f", 6}, {"z", 5},
}

// maxPatternSize bounds the length of patterns, in bytes.
const maxPatternSize = 4096

// ParsePattern checks the text of a pattern. It must contain %path, so that
// paths do not share files, and either %s or all of %Y %m %d %H %M %S.
func ParsePattern(text string, f Format) (Pattern, error) {
	fail := func(why string) (Pattern, error) {
		return Pattern{}, fmt.Errorf("record path %q %s", text, why)
	}
	switch {
	case !f.Valid():
		return Pattern{}, fmt.Errorf("record format %q must be %q or %q", string(f), FMP4, MPEGTS)
	case text == "":
		return Pattern{}, errors.New("the record path is empty")
	case len(text) > maxPatternSize:
		return fail(fmt.Sprintf("must not be longer than %d bytes", maxPatternSize))
	case strings.ContainsRune(text, 0):
		return fail("must not contain a zero byte")
	}
	has := map[string]bool{}
	for rest := text; rest != ""; {
		var name string
		name, _, rest = nextVariable(rest)
		has[name] = true
	}
	if !has["path"] {
		return fail("must contain %path")
	}
	if !has["s"] && (!has["Y"] || !has["m"] || !has["d"] || !has["H"] || !has["M"] || !has["S"]) {
		return fail("must contain either %s or all of %Y %m %d %H %M %S")
	}
	return Pattern{text: filepath.Clean(text), format: f}, nil
}

// nextVariable splits the text at its first character: it returns the name of
// the variable that it begins with, or an empty name and a piece of literal text.
func nextVariable(text string) (name, literal, rest string) {
	if text[0] == '%' {
		for _, v := range variables {
			if strings.HasPrefix(text[1:], v.name) {
				return v.name, "", text[1+len(v.name):]
			}
		}
	}
	if i := strings.IndexByte(text[1:], '%'); i >= 0 {
		return "", text[:i+1], text[i+1:]
	}
	return "", text, ""
}

// Format returns the format of the segments.
func (p Pattern) Format() Format { return p.format }

// String returns the text of the pattern, without extension.
func (p Pattern) String() string { return p.text }

// Name returns the name of the segment of a path that begins at start. It is
// empty if the name of the path is not valid, so that no name leads out of the
// folder of the recordings.
func (p Pattern) Name(path string, start time.Time) string {
	if router.ValidatePathName(path) != nil || p.text == "" {
		return ""
	}
	start = start.Local()
	var b strings.Builder
	for rest := p.text; rest != ""; {
		var name, literal string
		name, literal, rest = nextVariable(rest)
		if name == "" {
			b.WriteString(literal)
			continue
		}
		b.WriteString(value(name, path, start))
	}
	return b.String() + p.format.Extension()
}

func value(name, path string, t time.Time) string {
	switch name {
	case "path":
		return filepath.FromSlash(path)
	case "s":
		return strconv.FormatInt(t.Unix(), 10)
	case "Y":
		return fmt.Sprintf("%04d", t.Year())
	case "f":
		return fmt.Sprintf("%06d", t.Nanosecond()/1000)
	}
	return t.Format(map[string]string{"m": "01", "d": "02", "H": "15", "M": "04", "S": "05", "z": "-0700"}[name])
}

// Root returns the folder that all segments of all paths are in.
func (p Pattern) Root() string { return root(p.text) }

// root returns the folder of what stands in front of the first variable.
func root(text string) string {
	fixed := ""
	for rest := text; rest != ""; {
		var name, literal string
		if name, literal, rest = nextVariable(rest); name != "" {
			break
		}
		fixed += literal
	}
	dir, _ := filepath.Split(fixed)
	return filepath.Clean(dir)
}

// rootOf returns the folder that all segments of a path are in. Names of paths
// have no percent sign.
func (p Pattern) rootOf(path string) string {
	var b strings.Builder
	for rest := p.text; rest != ""; {
		var name, literal string
		name, literal, rest = nextVariable(rest)
		switch name {
		case "":
			b.WriteString(literal)
		case "path":
			b.WriteString(filepath.FromSlash(path))
		default:
			b.WriteString("%" + name)
		}
	}
	return root(b.String())
}

// Match is the opposite of Name: it returns the path and the start of a segment.
// It is not ok if the name is not one that the pattern makes. Without %s or %z,
// the hour that is repeated when summer time ends is taken for its first
// occurrence.
func (p Pattern) Match(name string) (path string, start time.Time, ok bool) {
	name, ok = strings.CutSuffix(filepath.Clean(name), p.format.Extension())
	if !ok || p.text == "" {
		return "", time.Time{}, false
	}
	m := matcher{attempts: maxAttempts}
	if !m.match(p.text, name) {
		return "", time.Time{}, false
	}
	path = filepath.ToSlash(m.path)
	if start, ok = m.fields.time(); !ok || router.ValidatePathName(path) != nil {
		return "", time.Time{}, false
	}
	return path, start, true
}

// maxAttempts bounds the work for one name.
const maxAttempts = 10000

type matcher struct {
	path     string
	hasPath  bool
	fields   fields
	attempts int
}

// match fits the rest of a name to the rest of the pattern. What varies in
// length is tried from the longest to the shortest.
func (m *matcher) match(text, name string) bool {
	for text != "" {
		v, literal, rest := nextVariable(text)
		switch {
		case v == "":
			var ok bool
			if name, ok = strings.CutPrefix(name, literal); !ok {
				return false
			}
		case v == "path" && m.hasPath:
			var ok bool
			if name, ok = strings.CutPrefix(name, m.path); !ok {
				return false
			}
		case v == "path":
			return m.try(rest, name, len(name), func(s string) bool {
				m.path, m.hasPath = s, true
				return true
			})
		case v == "s":
			return m.try(rest, name, digits(name), func(s string) bool { return m.fields.set(v, s) })
		default:
			n := width(v)
			if len(name) < n || !m.fields.set(v, name[:n]) {
				return false
			}
			name = name[n:]
		}
		text = rest
	}
	return name == ""
}

func (m *matcher) try(text, name string, longest int, set func(string) bool) bool {
	for n := longest; n > 0; n-- {
		saved := *m
		m.attempts--
		if m.attempts > 0 && set(name[:n]) && m.match(text, name[n:]) {
			return true
		}
		saved.attempts = m.attempts
		*m = saved
	}
	return false
}

func width(name string) int {
	for _, v := range variables {
		if v.name == name {
			return v.width
		}
	}
	return 0
}

// digits returns how many decimal digits s begins with, as many as fit into an
// int64.
func digits(s string) int {
	n := 0
	for n < len(s) && n < 18 && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// fields are the values of the variables of time.
type fields struct {
	has    [len(variables)]bool
	values [len(variables)]int64
}

// set parses a value. It is not ok if the same variable has another value
// elsewhere in the name.
func (f *fields) set(name, s string) bool {
	var n int64
	switch {
	case name == "z":
		t, err := time.Parse("-0700", s)
		if err != nil {
			return false
		}
		_, offset := t.Zone()
		n = int64(offset)
	case digits(s) != len(s):
		return false
	default:
		n, _ = strconv.ParseInt(s, 10, 64)
	}
	for i, v := range variables {
		if v.name == name {
			if f.has[i] && f.values[i] != n {
				return false
			}
			f.has[i], f.values[i] = true, n
		}
	}
	return true
}

func (f *fields) get(name string) (n int64, has bool) {
	for i, v := range variables {
		if v.name == name {
			return f.values[i], f.has[i]
		}
	}
	return 0, false
}

func (f *fields) time() (time.Time, bool) {
	micros, _ := f.get("f")
	nanos := micros * int64(time.Microsecond)
	if s, ok := f.get("s"); ok {
		return time.Unix(s, nanos), true
	}
	n := func(name string) int {
		v, _ := f.get(name)
		return int(v)
	}
	zone := time.Local
	if offset, ok := f.get("z"); ok {
		zone = time.FixedZone("", int(offset))
	}
	t := time.Date(n("Y"), time.Month(n("m")), n("d"), n("H"), n("M"), n("S"), int(nanos), zone)
	// dates such as the 31st of February are accepted by time.Date
	ok := t.Month() == time.Month(n("m")) && t.Day() == n("d") && n("H") < 24 && n("M") < 60 && n("S") < 60
	return t.Local(), ok
}

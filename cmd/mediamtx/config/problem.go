package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxProblems is how many problems are reported at once.
const maxProblems = 5

// maxProblemSize bounds the text of a problem, in bytes: names in files can be
// long.
const maxProblemSize = 800

// sep joins the parts of a key. No name of a path can hold it.
const sep = "\x00"

// keyPath locates a value: {"paths", "cam", "source"}.
type keyPath []string

func (p keyPath) with(parts ...string) keyPath { return append(slices.Clip(p), parts...) }

func (p keyPath) id() string { return strings.Join(p, sep) }

// String prints the place as users would name it: `path "cam": source`,
// `pathDefaults: source`, `authInternalUsers[0].user`.
func (p keyPath) String() string {
	prefix := ""
	switch {
	case len(p) >= 2 && p[0] == "paths":
		prefix, p = fmt.Sprintf("path %s", quote(p[1])), p[2:]
	case len(p) >= 2 && p[0] == "pathDefaults":
		prefix, p = "pathDefaults", p[1:]
	}
	var b strings.Builder
	b.WriteString(prefix)
	for i, part := range p {
		switch _, err := strconv.Atoi(part); {
		case err == nil && i > 0:
			fmt.Fprintf(&b, "[%s]", part)
		case i > 0:
			b.WriteString("." + part)
		case prefix != "":
			b.WriteString(": " + part)
		default:
			b.WriteString(part)
		}
	}
	return b.String()
}

// origin tells where a value was written.
type origin struct {
	where string // file name, "environment variable MTX_X", "option rtspAddress"
	line  int    // in a file, from 1

	// container marks the origin of a map or list of which only a part was
	// written there. It does not replace another.
	container bool
}

func (o origin) String() string {
	if o.line > 0 {
		return o.where + ":" + strconv.Itoa(o.line)
	}
	return o.where
}

// problem is something that is wrong with a document, as one sentence.
type problem struct {
	at   origin
	text string
}

func (p problem) String() string {
	if s := p.at.String(); s != "" {
		return s + ": " + p.text
	}
	return p.text
}

// Error lists what is wrong with a document.
type Error struct {
	// Problems, one sentence each, in the order of the file.
	Problems []string
}

// Error returns the first problems, one per line.
func (e *Error) Error() string {
	if n := len(e.Problems); n > maxProblems {
		return strings.Join(e.Problems[:maxProblems], "\n") + fmt.Sprintf("\nand %d more problems", n-maxProblems)
	}
	return strings.Join(e.Problems, "\n")
}

// problems collects what is wrong.
type problems []problem

func (l *problems) add(at origin, format string, a ...any) {
	*l = append(*l, problem{at, shorten(fmt.Sprintf(format, a...), maxProblemSize)})
}

// err returns the problems sorted by place, without repetitions.
func (l problems) err() error {
	if len(l) == 0 {
		return nil
	}
	slices.SortStableFunc(l, func(a, b problem) int { return a.at.line - b.at.line })
	e := &Error{}
	seen := map[string]bool{}
	for _, p := range l {
		if s := p.String(); !seen[s] {
			seen[s] = true
			e.Problems = append(e.Problems, s)
		}
	}
	return e
}

// quote prints a value inside a message: short, on one line.
func quote(s string) string {
	return strconv.Quote(shorten(s, 100))
}

// shorten cuts a text at the end of a character.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// redactURL removes user, password and query from something that should be a
// URL, without parsing it: it may not be one.
func redactURL(s string) string {
	s, _, _ = strings.Cut(s, "?")
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		scheme, _, ok := strings.Cut(s, "://")
		if !ok {
			return "***@" + s[i+1:]
		}
		s = scheme + "://***@" + s[i+1:]
	}
	return s
}

// nearest returns the known word that was probably meant, empty if none is
// close.
func nearest(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	best, bestDistance := "", 3
	if len(word) < 6 {
		bestDistance = 2
	}
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// redactCommand leaves the program of a command line: arguments may hold
// passwords.
func redactCommand(s string) string {
	name, args, _ := strings.Cut(s, " ")
	if args != "" {
		return name + " ..."
	}
	return name
}

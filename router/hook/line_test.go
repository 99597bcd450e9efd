package hook

import (
	"slices"
	"strings"
	"testing"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	vars := map[string]string{
		"MTX_PATH": "a b;$(reboot)", "G1": "one", "G10": "ten", "EMPTY": "", "PROG": "ffmpeg", "SHELL": "/bin/sh",
	}
	for _, c := range []struct {
		line string
		want []string
	}{
		{"ffmpeg -i $MTX_PATH -y", []string{"ffmpeg", "-i", "a b;$(reboot)", "-y"}},
		{`ffmpeg "-i=${MTX_PATH}x" '$G1'`, []string{"ffmpeg", "-i=a b;$(reboot)x", "one"}},
		{"x $G1 $G10 ${G1}0", []string{"x", "one", "ten", "one0"}},
		{"x $UNKNOWN $EMPTY", []string{"x", "", ""}},
		{"$PROG -v", []string{"ffmpeg", "-v"}},
		{"x $ $$ $1 ${ ${G1 a$", []string{"x", "$", "$$", "$1", "${", "${G1", "a$"}},
		{`x a\ b "c d" 'e f'`, []string{"x", "a b", "c d", "e f"}},
		{`sh -c 'echo $MTX_PATH'`, []string{"sh", "-c", "echo $MTX_PATH"}},
		{`$SHELL -c "echo ${MTX_PATH}"`, []string{"/bin/sh", "-c", "echo ${MTX_PATH}"}},
		{`nice -n $G1 /usr/bin/bash -c 'x $G1'`, []string{"nice", "-n", "one", "/usr/bin/bash", "-c", "x $G1"}},
	} {
		got, err := arguments(c.line, func(n string) string { return vars[n] })
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.line, got, err, c.want)
		}
	}
}

func TestLinesThatCannotWork(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`ffmpeg "secret`:    "a quote in the command is not closed",
		`ffmpeg 'secret`:    "a quote in the command is not closed",
		`ffmpeg secret\`:    "the command ends with a backslash that stands before nothing",
		"  ":                "the command names no program",
		`"" x`:              "the command names no program",
		"secret\x00":        "a command cannot contain a zero byte",
		"ffmpeg -i \"$x' y": "a quote in the command is not closed",
	} {
		err := ValidateLine(line)
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", line, err, want)
		}
	}
	if err := ValidateLine(""); err != nil {
		t.Error(err)
	}
}

func TestEncodeQuery(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                      "",
		"a=b&c=d%20e":           "a=b&c=d%20e",
		"a=`x`&b=$(y)":          "a=%60x%60&b=%24%28y%29",
		"a='\"\\ \n;|<>{}#\x00": "a=%27%22%5C%20%0A%3B%7C%3C%3E%7B%7D%23%00",
		"ü":                     "%C3%BC",
	} {
		if got := encodeQuery(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// What clients send never becomes more than a part of one argument.
func FuzzArguments(f *testing.F) {
	f.Add("a b", "x $V y", "c")
	f.Add("'\"$(x)`", "prog ${V}", "$V")
	f.Fuzz(func(t *testing.T, value, line, other string) {
		harmless := func(string) string { return "v" }
		want, err := arguments(line, harmless)
		if err != nil {
			return
		}
		got, err := arguments(line, func(n string) string {
			if n == "V" {
				return value
			}
			return other
		})
		if err != nil || strings.ContainsRune(line, '$') && strings.HasPrefix(line, "$") {
			return // the program itself is a variable
		}
		if len(got) != len(want) {
			t.Errorf("%q: %q makes %q of %q", line, value, got, want)
		}
		if strings.ContainsFunc(encodeQuery(value), func(r rune) bool { return strings.ContainsRune("'\"`$();|<> \n\\", r) }) {
			t.Errorf("%q is encoded as %q", value, encodeQuery(value))
		}
	})
}

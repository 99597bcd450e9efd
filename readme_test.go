package mtx_test

import (
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents are what users read.
var documents = []string{"README.md", "CHANGELOG.md", "docs/architecture.md", "docs/operate.md", "docs/raspberry-pi.md", "docs/recording.md"}

// Programs in documents compile as they are.
func TestProgramsInDocuments(t *testing.T) {
	t.Parallel()
	found := false
	for _, name := range documents {
		for i, block := range blocks(t, name, "go") {
			if !strings.HasPrefix(block, "package ") {
				continue // a fragment
			}
			found = true
			file := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			// a file outside of the module is compiled as a part of this one
			cmd := exec.Command("go", "vet", file)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s, Go block %d: %v\n%s", name, i+1, err, out)
			}
			if f, err := format.Source([]byte(block)); err != nil || string(f) != block {
				t.Errorf("%s, Go block %d is not formatted: %v", name, i+1, err)
			}
		}
	}
	if !found {
		t.Error("no program was found")
	}
}

// Configurations in documents are accepted by the command.
func TestConfigurationsInDocuments(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "mediamtx.exe")
	if out, err := exec.Command("go", "build", "-o", program, "./cmd/mediamtx").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files := map[string]string{"mediamtx.yml": read(t, "mediamtx.yml")}
	for _, name := range documents {
		for i, block := range blocks(t, name, "yaml") {
			if !strings.HasPrefix(block, "scrape_configs:") { // of another program
				files[fmt.Sprintf("%s, YAML block %d", name, i+1)] = block
			}
		}
	}
	if len(files) == 1 {
		t.Error("no configuration was found")
	}
	for name, text := range files {
		file := filepath.Join(t.TempDir(), "mediamtx.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(program, "--check", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// Commands in documents are targets of the Makefile, and links lead somewhere.
func TestReferencesInDocuments(t *testing.T) {
	t.Parallel()
	makefile := read(t, "Makefile")
	target := regexp.MustCompile("(?m)(?:^|`)make ([a-z0-9]+)(?:`|[ \t]*#|$)")
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	count := 0
	for _, name := range documents {
		text := read(t, name)
		for _, m := range target.FindAllStringSubmatch(text, -1) {
			count++
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: there is no target %q in the Makefile", name, m[1])
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			count++
			to := filepath.Join(filepath.Dir(name), m[1])
			if m[1] == "" {
				to = name
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if m[2] != "" && !slices.Contains(anchors(t, to), m[2]) {
				t.Errorf("%s: %s has no heading #%s", name, to, m[2])
			}
		}
	}
	if count == 0 {
		t.Error("no references were found")
	}
}

// anchors returns what the headings of a document are called in links.
func anchors(t *testing.T, name string) []string {
	t.Helper()
	var out []string
	for _, m := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(read(t, name), -1) {
		plain := regexp.MustCompile("[^a-z0-9 _-]").ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, strings.ReplaceAll(plain, " ", "-"))
	}
	return out
}

// blocks returns the blocks of code of a document that are in a language.
func blocks(t *testing.T, name, language string) []string {
	t.Helper()
	var out []string
	rest := "\n" + read(t, name)
	for {
		_, after, ok := strings.Cut(rest, "\n```"+language+"\n")
		if !ok {
			return out
		}
		block, after, ok := strings.Cut(after, "\n```")
		if !ok {
			t.Fatalf("%s: a block does not end", name)
		}
		out = append(out, block+"\n")
		rest = after
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

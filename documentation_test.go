package mtx_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every package that others can import has a comment that teaches it, and an
// example that compiles.
func TestPackagesAreTaught(t *testing.T) {
	t.Parallel()
	comment, example := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"cmd", "examples", "internal", "testdata", "dist"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		if !strings.HasSuffix(name, "_test.go") {
			comment[dir] = comment[dir] || f.Doc != nil
			return nil
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Example") {
				example[dir] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(comment) < 20 {
		t.Fatalf("only %d packages were found", len(comment))
	}
	for dir, ok := range comment {
		if !ok {
			t.Errorf("%s: the package has no comment", dir)
		}
		if !example[dir] {
			t.Errorf("%s: the package has no example", dir)
		}
	}
}

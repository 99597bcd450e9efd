package mtx_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// Several routers live in one process, so libraries have no variables that change:
// what a package declares is initialized, is nothing that only state needs, and is
// not assigned to.
func TestPackagesHaveNoState(t *testing.T) {
	t.Parallel()
	for _, files := range libraries(t) {
		for _, v := range stateOf(files) {
			t.Errorf("%s: a package has no state", v)
		}
	}
}

func TestStateIsFound(t *testing.T) {
	t.Parallel()
	const code = `package x
import ("embed"; "errors"; "sync"; "sync/atomic")
//go:embed a
var file string
var ErrX = errors.New("x")
var table = map[string]int{"a": 1}
var once = sync.OnceValue(func() int { return 1 })
var pool = sync.Pool{}
var counter atomic.Int64
var mu = &sync.Mutex{}
var seen = make(map[string]bool)
var empty []int
var list = []int{1}
var point = struct{ x int }{1}
var lookup = map[string]int{}
func f() { list[0] = 2; point.x++; delete(lookup, "a"); table := map[int]int{}; table[1] = 2 }`
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, "x.go", code, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range stateOf([]sourceFile{{"x.go", "x", syntax, fset}}) {
		got = append(got, v[strings.LastIndex(v, " ")+1:])
	}
	if want := []string{"counter", "mu", "seen", "empty", "list", "point", "lookup"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What starts goroutines is tested for those that it leaves, unless it is a part of
// tests itself.
func TestGoroutinesAreLookedFor(t *testing.T) {
	t.Parallel()
	for dir, files := range libraries(t) {
		if starts := slices.ContainsFunc(files, startsGoroutines); !starts || looksForLeaks(t, dir) {
			continue
		}
		t.Errorf("%s starts goroutines, and its tests do not look for those that it leaves: see goleak", dir)
	}
}

// libraries returns the files of the packages that are no programs, by folder.
func libraries(t *testing.T) map[string][]sourceFile {
	t.Helper()
	out := map[string][]sourceFile{}
	for _, f := range sourceFiles(t) {
		if !below(f.pkg, "cmd") && !below(f.pkg, "examples") {
			out[f.pkg] = append(out[f.pkg], f)
		}
	}
	return out
}

func startsGoroutines(f sourceFile) bool {
	if _, ok := f.imports()["testing"]; ok {
		return false
	}
	found := false
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		_, ok := n.(*ast.GoStmt)
		found = found || ok
		return !found
	})
	return found
}

func looksForLeaks(t *testing.T, dir string) bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return strings.HasSuffix(e.Name(), "_test.go") && strings.Contains(read(t, path.Join(dir, e.Name())), "goleak.")
	})
}

// stateOf returns the places of the variables of a package that are state, each
// with its name at the end.
func stateOf(files []sourceFile) []string {
	vars := map[string]string{} // their places
	var out []string
	for _, f := range files {
		for _, d := range f.syntax.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				embedded := g.Doc != nil && strings.Contains(g.Doc.List[len(g.Doc.List)-1].Text, "go:embed")
				for i, name := range v.Names {
					place := f.fset.Position(name.Pos()).String() + ": " + name.Name
					switch {
					case name.Name == "_" || embedded:
					case i >= len(v.Values) || holdsState(v.Values[i]):
						out = append(out, place)
					default:
						vars[name.Name] = place
					}
				}
			}
		}
	}
	changed := map[string]bool{}
	for _, f := range files {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				own := declared(fn)
				for _, name := range assigned(fn) {
					changed[name] = changed[name] || vars[name] != "" && !own[name]
				}
			}
		}
	}
	names := slices.SortedFunc(maps.Keys(vars), func(a, b string) int { return strings.Compare(vars[a], vars[b]) })
	for _, n := range names {
		if changed[n] {
			out = append(out, vars[n])
		}
	}
	return out
}

// holdsState tells whether a value is of use only if it changes. Pools of memory
// have no content that matters, and what is computed once is a constant.
func holdsState(value ast.Expr) bool {
	if a, ok := value.(*ast.UnaryExpr); ok {
		value = a.X
	}
	switch v := value.(type) {
	case *ast.CompositeLit:
		s, ok := v.Type.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		p, ok := s.X.(*ast.Ident)
		return ok && (p.Name == "sync" && s.Sel.Name != "Pool" || p.Name == "atomic")
	case *ast.CallExpr:
		f, ok := v.Fun.(*ast.Ident)
		return ok && (f.Name == "make" || f.Name == "new")
	}
	return false
}

// assigned returns the names of the variables that a function changes, or of which
// it changes a part.
func assigned(fn *ast.FuncDecl) []string {
	var out []string
	add := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
			case *ast.SelectorExpr:
				e = x.X
			case *ast.StarExpr:
				e = x.X
			case *ast.ParenExpr:
				e = x.X
			case *ast.Ident:
				out = append(out, x.Name)
				return
			default:
				return
			}
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.IncDecStmt:
			add(n.X)
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") {
				add(n.Args[0])
			}
		}
		return true
	})
	return out
}

// declared returns the names that a function declares, anywhere.
func declared(fn *ast.FuncDecl) map[string]bool {
	out := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				out[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				out[name.Name] = true
			}
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					out[id.Name] = true
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					out[id.Name] = true
				}
			}
		}
		return true
	})
	return out
}

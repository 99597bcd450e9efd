package mtx_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/org/mtx"

// mayImport says which packages of this module a package may import. The longest
// prefix of the folder of a package is its rule; what has no rule must get one
// here first. "x/..." means x and the packages below it.
//
// A package may also import the internal packages of a folder that it is in,
// unless there is a rule for them here.
var mayImport = map[string][]string{
	".": {"router"}, // package mtx

	"router/media":      {},
	"router":            {"router/media"},
	"router/hook":       {"router", "router/media"},
	"router/routertest": {"router", "router/media"},

	"protocol/httpserver": {"protocol/internal/tlscert"}, // certificates are reloaded in one way
	"protocol/bridge":     {"router/media"},
	"protocol/internal":   {},
	// clients that a source and a forwarder share; they cannot import each other
	"protocol/bridge/srtclient": {"router/media", "protocol/internal/srtcore"},
	// peer connections of WebRTC, for the server, for sources and for forwarders
	"protocol/bridge/webrtcpeer":  {"router/media", "protocol/bridge/...", "protocol/internal/egress", "protocol/internal/rtcegress"},
	"protocol/internal/rtcegress": {"protocol/internal/egress"},
	"protocol/bridge/whipclient":  {"router/media", "protocol/bridge/..."},
	// the SRT core sends through the fan-out that all protocols share
	"protocol/internal/srtcore": {"protocol/internal/egress"},
	"protocol":                  {"router", "router/media", "protocol/httpserver", "protocol/bridge/...", "protocol/internal/..."},
	"source":                    {"router", "router/media", "protocol/httpserver", "protocol/bridge/..."},
	"source/internal/pulltest":  {"router", "router/media", "router/routertest"}, // for tests
	"record":                    {"router", "router/media", "protocol/httpserver", "protocol/bridge/..."},
	"rpicam":                    {"router", "router/media", "protocol/httpserver", "protocol/bridge/..."},

	"standby":            {"router", "router/media"},
	"auth":               {"router"},
	"playback":           {"router", "router/media", "record", "protocol/httpserver", "protocol/bridge/..."},
	"controlapi":         {"router", "router/media", "router/hook", "record", "protocol/httpserver"},
	"controlapi/metrics": {"router", "controlapi", "record", "protocol/httpserver"},
	"controlapi/pprof":   {"router", "controlapi", "protocol/httpserver"},

	"cmd":      {"./..."},
	"examples": {"./..."},
}

// programs are the folders whose packages are programs.
var programs = []string{"cmd", "examples"}

// forbidden packages do something in programs that only import them.
var forbidden = []string{"net/http/pprof", "expvar", "flag"}

// calls are functions and variables that belong to the program, not to a library,
// and the folders whose packages may use them.
var calls = []struct {
	pkg     string
	names   []string
	allowed []string
	why     string
}{
	{"os", []string{"Exit"}, programs, "ends the host program"},
	{"log", []string{"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"}, programs, "ends the host program"},
	{"log", []string{"Print", "Printf", "Println", "Default", "New", "SetOutput"}, programs, "the logger is given"},
	{"log/slog", []string{"Default", "SetDefault", "Info", "Warn", "Error", "Debug"}, programs, "the logger is given"},
	{"log/slog", []string{"NewTextHandler", "NewJSONHandler"}, append(programs, "router/routertest", "source/internal/pulltest"), "the logger is given"},
	{"fmt", []string{"Print", "Printf", "Println"}, programs, "the output belongs to the host program"},
	{"os", []string{"Args", "Stdin", "Stdout", "Stderr"}, programs, "belongs to the host program"},
	{"os", []string{"Chdir", "Setenv", "Unsetenv", "Clearenv"}, programs, "changes the host program"},
	{"os/signal", []string{"Notify", "NotifyContext", "Ignore", "Reset"}, programs, "signals belong to the host program"},
	{"os", []string{"Getenv", "LookupEnv", "ExpandEnv"}, append(programs, "protocol/internal/e2e"), "reads what the caller did not give"},
	{"os", []string{"Environ"}, append(programs, "router/hook", "protocol/internal/e2e"), "reads what the caller did not give"}, // commands inherit it
	{"net/http", []string{"DefaultServeMux", "Handle", "HandleFunc", "ListenAndServe", "ListenAndServeTLS"}, programs, "belongs to the host program"},
	{"net/http", []string{"DefaultClient", "Get", "Head", "Post", "PostForm"}, programs, "has no time limit and is shared with the host program"},
	{"github.com/prometheus/client_golang/prometheus", []string{"DefaultRegisterer", "DefaultGatherer", "Register", "MustRegister"}, programs, "the registerer is given"},
	{"runtime/debug", []string{"SetGCPercent", "SetMemoryLimit", "SetMaxThreads", "SetMaxStack"}, programs, "changes the host program"},
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, f := range sourceFiles(t) {
		if _, ok := ruleFor(f.pkg); !ok {
			t.Errorf("%s: there is no rule for %s in imports_test.go", f.name, f.pkg)
			continue
		}
		for to := range f.imports() {
			dep, ok := strings.CutPrefix(to, module)
			if !ok || dep != "" && dep[0] != '/' {
				continue
			}
			if dep = strings.TrimPrefix(dep, "/"); dep == "" {
				dep = "."
			}
			if !allowed(f.pkg, dep) {
				t.Errorf("%s: %s must not import %s", f.name, f.pkg, dep)
			}
		}
	}
}

func TestLibrariesLeaveTheProgramAlone(t *testing.T) {
	t.Parallel()
	for _, f := range sourceFiles(t) {
		for _, p := range forbidden {
			if _, ok := f.imports()[p]; ok && !below(f.pkg, "cmd") && !below(f.pkg, "examples") {
				t.Errorf("%s imports %s, which is for programs", f.name, p)
			}
		}
		for _, c := range calls {
			if slices.ContainsFunc(c.allowed, func(dir string) bool { return below(f.pkg, dir) }) {
				continue
			}
			for _, use := range f.uses(c.pkg, c.names) {
				t.Errorf("%s: %s", use, c.why)
			}
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init runs in programs that only import the package", f.fset.Position(fn.Pos()))
			}
		}
	}
}

// The tests above pass silently while nothing is wrong; this one shows that they
// can fail.
func TestImportRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{".", "router", true},
		{".", "router/media", false},
		{".", "protocol/rtsp", false},
		{"router", "router/media", true},
		{"router", "router/internal/queue", true},
		{"router", "protocol/rtsp", false},
		{"router", "protocol/bridge/rtpbridge", false},
		{"router", ".", false},
		{"router/media", "router", false},
		{"router/media/x", "router", false},
		{"protocol/rtsp", "router", true},
		{"protocol/rtsp", "protocol/bridge/rtpbridge", true},
		{"protocol/rtsp", "protocol/internal/egress", true},
		{"protocol/rtsp", "protocol/rtsp/internal/x", true},
		{"protocol/rtsp", "protocol/hls", false},
		{"protocol/rtsp", "source/rtsp", false},
		{"protocol/rtsp", "auth", false},
		{"protocol/internal/egress", "router", false},
		{"protocol/internal/egress", "router/media", false},
		{"protocol/internal/egress", "protocol/internal/other", false},
		{"protocol/bridge/rtpbridge", "router/media", true},
		{"protocol/bridge/rtpbridge", "router", false},
		{"protocol/bridge/rtpbridge", "protocol/internal/egress", false},
		{"protocol/httpserver", "router", false},
		{"source/rtsp", "protocol/bridge/rtpbridge", true},
		{"source/rtsp", "protocol/rtsp", false},
		{"source/rtsp", "source/hls", false},
		{"playback", "record", true},
		{"record", "playback", false},
		{"auth", "router/media", false},
		{"cmd/mediamtx/app", "source/rtsp", true},
		{"examples/embed", ".", true},
		{"helpers", "router", false},
		{"routers", "router/media", false},
	} {
		if got := allowed(c.from, c.to); got != c.want {
			t.Errorf("%s imports %s: got %v", c.from, c.to, got)
		}
	}
}

func TestForbiddenCallsAreFound(t *testing.T) {
	t.Parallel()
	const code = `package x
import ("os"; l "log"; . "os/signal")
func f() { os.Exit(1); os.Open("x"); l.Fatalf("x"); g := os.Exit; g(2); Notify(nil); var log T; log.Fatal() }`
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, "x.go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	f := sourceFile{"x.go", "x", syntax, fset}
	for _, c := range []struct {
		pkg, name string
		want      int
	}{
		{"os", "Exit", 2}, {"log", "Fatalf", 1}, {"log", "Fatal", 0}, {"os/signal", "Notify", 1}, {"os", "Getenv", 0},
	} {
		if got := f.uses(c.pkg, []string{c.name}); len(got) != c.want {
			t.Errorf("%s.%s: got %q, want %d uses", c.pkg, c.name, got, c.want)
		}
	}
}

// sourceFile is a file of Go code that is no test.
type sourceFile struct {
	name   string // with slashes, from the root of the module
	pkg    string // its folder; "." for the root
	syntax *ast.File
	fset   *token.FileSet
}

// sourceFiles reads every file of the module, whatever its build constraints.
func sourceFiles(t *testing.T) []sourceFile {
	t.Helper()
	var out []sourceFile
	fset := token.NewFileSet()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil || name == ".":
			return err
		case d.IsDir() && (base == "testdata" || base[0] == '.' || base[0] == '_'):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution|parser.ParseComments)
		out = append(out, sourceFile{name, path.Dir(name), f, fset})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("no source files were found")
	}
	return out
}

// imports returns the paths of the imports and the names that they have in the
// file.
func (f sourceFile) imports() map[string]string {
	out := map[string]string{}
	for _, i := range f.syntax.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue // the parser accepts valid paths only
		}
		out[p] = path.Base(p)
		if i.Name != nil {
			out[p] = i.Name.Name
		}
	}
	return out
}

// uses returns where functions of a package are mentioned.
func (f sourceFile) uses(pkg string, names []string) []string {
	local, ok := f.imports()[pkg]
	if !ok {
		return nil
	}
	var out []string
	found := func(n ast.Node, name string) {
		if slices.Contains(names, name) {
			out = append(out, f.fset.Position(n.Pos()).String()+": "+pkg+"."+name)
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == local {
				found(n, n.Sel.Name)
			}
		case *ast.Ident:
			if local == "." {
				found(n, n.Name)
			}
		}
		return true
	})
	return out
}

// below tells whether pkg is dir or inside of it.
func below(pkg, dir string) bool {
	return dir == "." || pkg == dir || strings.HasPrefix(pkg, dir+"/")
}

// ruleFor returns the key of the rule for a package.
func ruleFor(pkg string) (string, bool) {
	for p := pkg; ; p = path.Dir(p) {
		if _, ok := mayImport[p]; ok && (p != "." || pkg == ".") {
			return p, true
		}
		if p == "." {
			return "", false
		}
	}
}

// allowed tells whether a package may import another one of this module.
func allowed(from, to string) bool {
	rule, ok := ruleFor(from)
	if !ok {
		return false
	}
	if i := strings.Index(to+"/", "/internal/"); i >= 0 && below(from, to[:i]) {
		if _, ok := mayImport[to[:i]+"/internal"]; !ok {
			return true
		}
	}
	return slices.ContainsFunc(mayImport[rule], func(a string) bool {
		if dir, ok := strings.CutSuffix(a, "/..."); ok {
			return below(to, dir)
		}
		return to == a
	})
}

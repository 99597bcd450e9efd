package config

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/knadh/koanf/v2"
	"golang.org/x/crypto/nacl/secretbox"
)

// Info is what is worth saying about a document that was loaded.
type Info struct {
	// File is the file that was read, empty if there was none: the document then
	// accepts any path.
	File string

	// Digest is the SHA-256 of the file, which tells whether it has changed since.
	Digest [sha256.Size]byte

	// Warnings are sentences about deprecated keys.
	Warnings []string

	// Idle are the paths that edits removed, and that nothing else has either: there
	// is no reason to remember them (see [Edits.Without]).
	Idle []string
}

// SearchPaths are the files that are looked for, in order, if none is named.
func SearchPaths() []string {
	var out []string
	for _, dir := range []string{"", "/usr/local/etc", "/usr/etc", "/etc/mediamtx"} {
		for _, name := range []string{"rtsp-simple-server.yml", "mediamtx.yml"} {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out
}

// Load reads, joins and checks the layers of a document: the file, the
// environment ("NAME=value" as os.Environ returns it), and overrides by key
// (flags). A file that is named must exist; without a name those of
// [SearchPaths] are tried, and if there is none the document accepts any path.
//
// The error, if about the content, is an [*Error].
func Load(file string, env []string, overrides map[string]any) (*Document, *Info, error) {
	s, err := Read(file, env, overrides)
	if err != nil {
		return nil, nil, err
	}
	return s.Document(nil)
}

// Sources are the layers of a document as they were when they were read.
type Sources struct {
	// File is the file that was read, empty if there was none.
	File string
	// Digest is its SHA-256.
	Digest [sha256.Size]byte

	data      []byte
	env       []string
	overrides map[string]any
}

// Read reads the file of a document, as [Load] does.
func Read(file string, env []string, overrides map[string]any) (*Sources, error) {
	data, file, err := readFile(file)
	if err != nil {
		return nil, err
	}
	s := &Sources{File: file, Digest: sha256.Sum256(data), env: env, overrides: overrides}
	if file == "" {
		data = []byte("paths: {all_others: {}}\n")
	} else if data, err = decrypt(file, data, confKey(env)); err != nil {
		return nil, err
	}
	s.data = data
	return s, nil
}

// Document joins and checks the layers, and edits on top of them. Edits may be
// nil.
func (s *Sources) Document(edits *Edits) (*Document, *Info, error) {
	name := s.File
	if name == "" {
		name = "built-in configuration"
	}
	doc, info, err := parseWith(name, s.data, s.env, s.overrides, edits)
	if err != nil {
		return nil, nil, err
	}
	info.File, info.Digest = s.File, s.Digest
	return doc, info, nil
}

// Parse is [Load] for the content of a file. The name appears in errors.
func Parse(name string, data []byte, env []string, overrides map[string]any) (*Document, *Info, error) {
	return parseWith(name, data, env, overrides, nil)
}

func parseWith(name string, data []byte, env []string, overrides map[string]any, edits *Edits) (*Document, *Info, error) {
	l := loader{koanf: koanf.New(sep), origins: map[string]origin{}, warned: map[string]bool{}}
	if err := l.join(&layer{tree: toTree(reflect.ValueOf(Default()).Elem()).(map[string]any)}); err != nil {
		return nil, nil, err
	}
	steps := []func() (*layer, error){
		func() (*layer, error) { return readYAML(name, data) },
		func() (*layer, error) { return readEnv(env, l.koanf.Raw()) },
		func() (*layer, error) { return readOverrides(overrides) },
	}
	if edits != nil {
		steps = append(steps, func() (*layer, error) {
			for _, n := range l.hide(edits.Hidden) {
				if _, ok := edits.Paths[n]; !ok {
					l.idle = append(l.idle, n)
				}
			}
			return edits.layer(), nil
		})
	}
	for _, read := range steps {
		from, err := read()
		if err != nil {
			return nil, nil, err
		}
		t := translator{from, &l.problems, l.warned, &l.warnings}
		t.translate()
		if err := l.join(from); err != nil {
			return nil, nil, err
		}
	}
	d := decoder{l.origins, &l.problems}
	doc := d.document(l.koanf.Raw())
	if len(l.problems) == 0 {
		v := validator{decoder: &d, doc: doc}
		v.document()
	}
	if err := l.problems.err(); err != nil {
		return nil, nil, err
	}
	return doc, &Info{Warnings: l.warnings, Idle: l.idle}, nil
}

// loader joins layers.
type loader struct {
	koanf    *koanf.Koanf
	origins  map[string]origin
	problems problems
	warned   map[string]bool
	warnings []string
	idle     []string
}

func (l *loader) join(from *layer) error {
	// What is replaced as a whole, such as a list, takes its parts along.
	maps.DeleteFunc(l.origins, func(k string, _ origin) bool {
		for i := strings.LastIndex(k, sep); i >= 0; i = strings.LastIndex(k[:i], sep) {
			if o, ok := from.origins[k[:i]]; ok && !o.container {
				return true
			}
		}
		return false
	})
	for k, o := range from.origins {
		if _, ok := l.origins[k]; !ok || !o.container {
			l.origins[k] = o
		}
	}
	if err := l.koanf.Load(treeProvider(from.tree), nil); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

// reset replaces what was joined so far.
func (l *loader) reset(tree map[string]any) {
	l.koanf = koanf.New(sep)
	_ = l.koanf.Load(treeProvider(tree), nil) // trees always load
}

// treeProvider hands a tree to koanf.
type treeProvider map[string]any

// Read implements koanf.Provider.
func (t treeProvider) Read() (map[string]any, error) { return t, nil }

// ReadBytes implements koanf.Provider.
func (t treeProvider) ReadBytes() ([]byte, error) {
	return nil, errors.New("a tree has no bytes")
}

// readOverrides turns values by key into a layer.
func readOverrides(values map[string]any) (*layer, error) {
	l := newLayer()
	for k, v := range values {
		l.tree[k] = overrideTree(v)
		l.origins[k] = origin{where: "option " + k}
	}
	return l, nil
}

func overrideTree(v any) any {
	rv := reflect.ValueOf(v)
	if rv.IsValid() && rv.Kind() == reflect.Slice {
		l := make([]any, rv.Len())
		for i := range l {
			l[i] = overrideTree(rv.Index(i).Interface())
		}
		return l
	}
	return fmt.Sprint(v)
}

// readFile reads the file, or the first that exists of those searched for. The
// name is empty if there is none.
func readFile(file string) ([]byte, string, error) {
	if file != "" {
		data, err := readLimited(file)
		return data, file, err
	}
	for _, f := range SearchPaths() {
		data, err := readLimited(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return data, f, err
	}
	return nil, "", nil
}

func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("configuration file %s: %w", quote(file), fs.ErrNotExist)
		}
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 2*maxFileSize))
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	return data, nil
}

// confKey returns the key of an encrypted file, empty if it is not encrypted.
func confKey(env []string) string {
	key := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "MTX_CONFKEY="); ok {
			return v
		}
		if v, ok := strings.CutPrefix(e, "RTSP_CONFKEY="); ok {
			key = v
		}
	}
	return key
}

// decrypt opens a file that is the base64 of a 24-byte nonce and a NaCl
// secretbox. The key is padded with zeros to 32 bytes.
func decrypt(file string, data []byte, key string) ([]byte, error) {
	if key == "" {
		return data, nil
	}
	fail := func(msg string) ([]byte, error) {
		return nil, &Error{Problems: []string{file + ": " + msg}}
	}
	if len(key) > 32 {
		return fail("MTX_CONFKEY must be at most 32 bytes long")
	}
	box, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(box) < 24+secretbox.Overhead {
		return fail("MTX_CONFKEY is set, but the file is not encrypted (it must be base64 of a nonce and a secretbox)")
	}
	var k [32]byte
	copy(k[:], key)
	plain, ok := secretbox.Open(nil, box[24:], (*[24]byte)(box), &k)
	if !ok {
		return fail("the file cannot be decrypted with MTX_CONFKEY")
	}
	return plain, nil
}

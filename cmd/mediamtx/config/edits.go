package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Edits are changes that are made to a configuration while the server runs, on
// top of the file, the environment and the flags. Trees are those of [FromJSON].
// The zero value is ready.
type Edits struct {
	// Global and PathDefaults are keys that were set.
	Global       map[string]any `yaml:"global,omitempty"`
	PathDefaults map[string]any `yaml:"pathDefaults,omitempty"`

	// Paths are keys of paths that were set.
	Paths map[string]map[string]any `yaml:"paths,omitempty"`

	// Hidden are the paths of which the layers below do not count: they were
	// removed, or replaced by what is in Paths.
	Hidden []string `yaml:"hidden,omitempty"`
}

// Clone returns a copy that can be changed.
func (e *Edits) Clone() *Edits {
	out := &Edits{
		Global: cloneTree(e.Global), PathDefaults: cloneTree(e.PathDefaults),
		Paths: make(map[string]map[string]any, len(e.Paths)), Hidden: slices.Clone(e.Hidden),
	}
	for n, p := range e.Paths {
		out.Paths[n] = cloneTree(p)
	}
	return out
}

// cloneTree copies the first level; what is below is replaced and not changed.
func cloneTree(t map[string]any) map[string]any {
	if t == nil {
		return map[string]any{}
	}
	return maps.Clone(t)
}

// SetPath sets keys of a path, which exists from then on.
func (e *Edits) SetPath(name string, tree map[string]any) {
	p := cloneTree(e.Paths[name])
	maps.Copy(p, tree)
	e.Paths[name] = p
}

// ReplacePath makes a path consist of these keys only.
func (e *Edits) ReplacePath(name string, tree map[string]any) {
	e.RemovePath(name)
	e.Paths[name] = cloneTree(tree)
}

// RemovePath removes a path.
func (e *Edits) RemovePath(name string) {
	delete(e.Paths, name)
	if !slices.Contains(e.Hidden, name) {
		e.Hidden = append(e.Hidden, name)
	}
}

// Marshal returns the edits as YAML, to be read back by [ParseEdits].
func (e *Edits) Marshal() ([]byte, error) { return yaml.Marshal(e) }

// ParseEdits reads what Marshal wrote.
func ParseEdits(data []byte) (*Edits, error) {
	var e Edits
	if err := yaml.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	return e.Clone(), nil
}

// layer returns the edits as the last layer of a document.
func (e *Edits) layer() *layer {
	l := newLayer()
	maps.Copy(l.tree, e.Global)
	if len(e.PathDefaults) > 0 {
		l.tree["pathDefaults"] = e.PathDefaults
	}
	if len(e.Paths) > 0 {
		paths := map[string]any{}
		for n, p := range e.Paths {
			paths[n] = p
		}
		l.tree["paths"] = paths
	}
	l.mark(l.tree, nil)
	return l
}

// mark notes that all values below were written here.
func (l *layer) mark(v any, at keyPath) {
	m, ok := v.(map[string]any)
	if len(at) > 0 {
		l.origins[at.id()] = origin{container: ok}
	}
	for k, v := range m {
		l.mark(v, at.with(k))
	}
}

// Without returns a copy that no longer hides some paths.
func (e *Edits) Without(hidden []string) *Edits {
	out := e.Clone()
	out.Hidden = slices.DeleteFunc(out.Hidden, func(n string) bool { return slices.Contains(hidden, n) })
	return out
}

// hide removes the paths that do not count from what was joined so far, and
// returns those that were not there.
func (l *loader) hide(names []string) (missing []string) {
	if len(names) == 0 {
		return nil
	}
	raw := l.koanf.Raw()
	paths, _ := raw["paths"].(map[string]any)
	hidden := map[string]bool{}
	for _, n := range names {
		if _, ok := paths[n]; !ok {
			missing = append(missing, n)
			continue
		}
		delete(paths, n)
		hidden[n] = true
	}
	if len(hidden) == 0 {
		return missing
	}
	maps.DeleteFunc(l.origins, func(k string, _ origin) bool {
		rest, ok := strings.CutPrefix(k, "paths"+sep)
		name, _, _ := strings.Cut(rest, sep)
		return ok && hidden[name]
	})
	l.reset(raw)
	return missing
}

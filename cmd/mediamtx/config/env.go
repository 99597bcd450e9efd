package config

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// envPrefixes, in the order in which they are applied.
var envPrefixes = []string{"RTSP_", "MTX_"}

// maxListPosition bounds the positions of lists in names of variables.
const maxListPosition = 1000

// readEnv turns the environment into a layer. Base is the tree of the layers
// below, which lists are changed by position in.
func readEnv(env []string, base map[string]any) (*layer, error) {
	r := &envReader{layer: newLayer()}
	for _, prefix := range envPrefixes {
		vars := map[string]string{}
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && rest != "CONFKEY" {
				vars[rest] = strings.ToValidUTF8(value, "\uFFFD")
			}
		}
		r.prefix = prefix
		// Sorted, so that the outcome does not depend on the order of the
		// environment, and shorter names (whole lists) come before longer ones
		// (their elements); positions are put in numerical order.
		for _, name := range slices.SortedFunc(maps.Keys(vars), compareEnvNames) {
			r.variable(name, vars[name], base)
		}
	}
	return r.layer, r.problems.err()
}

func compareEnvNames(a, b string) int {
	as, bs := strings.Split(a, "_"), strings.Split(b, "_")
	return slices.CompareFunc(as, bs, func(x, y string) int {
		nx, errX := strconv.Atoi(x)
		ny, errY := strconv.Atoi(y)
		if errX == nil && errY == nil && nx != ny {
			return nx - ny
		}
		return strings.Compare(x, y)
	})
}

type envReader struct {
	layer    *layer
	prefix   string
	problems problems
}

// variable sets what one variable names, or nothing if it names nothing.
func (r *envReader) variable(name, value string, base map[string]any) {
	target := resolveEnv(typeOf[Document](), nil, name)
	if target == nil {
		return
	}
	at := origin{where: "environment variable " + r.prefix + name}
	var v any = value
	switch target.typ.Kind() {
	case reflect.Map, reflect.Struct:
		if !isText(target.typ) {
			if value != "" || len(target.path) != 2 || target.path[0] != "paths" {
				r.problems.add(at, "this names a group of keys, so it cannot have a value")
				return
			}
			v = map[string]any{} // MTX_PATHS_CAM= makes a path of defaults
		}
	case reflect.Slice, reflect.Array:
		elem := target.typ.Elem()
		list := []any{}
		if value != "" {
			if elem.Kind() == reflect.Struct && !isText(elem) {
				r.problems.add(at, "this list is set by position: %s%s_0_%s", r.prefix, name, strings.ToUpper(schemaOf(elem).fields[0].key))
				return
			}
			for e := range strings.SplitSeq(value, ",") {
				list = append(list, strings.TrimSpace(e))
			}
		}
		v = list
	}
	if !put(r.layer.tree, base, target.path, v) {
		r.problems.add(at, "this position is behind the end of the list")
		return
	}
	r.layer.origins[target.path.id()] = at
	at.container = true
	for p := target.path[:len(target.path)-1]; len(p) > 0; p = p[:len(p)-1] {
		if _, ok := r.layer.origins[p.id()]; !ok {
			r.layer.origins[p.id()] = at
		}
	}
}

// isText tells whether values of a type are a single text.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(typeOf[interface{ UnmarshalText([]byte) error }]())
}

// envTarget is what a variable names.
type envTarget struct {
	path keyPath
	typ  reflect.Type
}

// resolveEnv finds what the rest of a name means below a value of type t; nil
// if nothing.
func resolveEnv(t reflect.Type, at keyPath, rest string) *envTarget {
	switch {
	case rest == "":
		return &envTarget{at, t}
	case isText(t):
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		first, after, more := strings.Cut(rest, "_")
		key, typ := envKey(t, at, first)
		if key == "" || more && after == "" {
			return nil
		}
		return resolveEnv(typ, at.with(key), after)
	case reflect.Map:
		return resolveEnvPath(t.Elem(), at, rest)
	case reflect.Slice:
		first, after, more := strings.Cut(rest, "_")
		n, err := strconv.Atoi(first)
		if err != nil || n < 0 || n > maxListPosition || strconv.Itoa(n) != first || more && after == "" {
			return nil
		}
		return resolveEnv(t.Elem(), at.with(first), after)
	}
	return nil
}

// envKey finds the key of a struct, deprecated or not, that a name in capitals
// stands for.
func envKey(t reflect.Type, at keyPath, upper string) (string, reflect.Type) {
	for _, f := range schemaOf(t).fields {
		if strings.ToUpper(f.key) == upper { //nolint:gocritic // variables in lower case are other ones
			return f.key, f.typ
		}
	}
	for _, k := range deprecatedIn(at) {
		if strings.ToUpper(k.key) == upper { //nolint:gocritic // see above
			return k.key, k.typ
		}
	}
	return "", nil
}

// resolveEnvPath splits "FRONT_DOOR_SOURCE" into a path and the rest: keys hold
// no underscore, so the first split that leaves a key is the one.
func resolveEnvPath(t reflect.Type, at keyPath, rest string) *envTarget {
	if rest != strings.ToUpper(rest) {
		return nil
	}
	for i := 1; i < len(rest)-1; i++ {
		if rest[i] != '_' {
			continue
		}
		if target := resolveEnv(t, at.with(strings.ToLower(rest[:i])), rest[i+1:]); target != nil {
			return target
		}
	}
	if strings.Contains(rest, "_") {
		return nil
	}
	return &envTarget{at.with(strings.ToLower(rest)), t}
}

// put sets the value at a place of a tree. Lists on the way are copied from
// base first, and can grow by one.
func put(tree map[string]any, base any, p keyPath, v any) bool {
	below, _ := base.(map[string]any)
	key := p[0]
	if len(p) == 1 {
		tree[key] = v
		return true
	}
	if _, err := strconv.Atoi(p[1]); err == nil && !isPathsKey(p) {
		list, ok := tree[key].([]any)
		if !ok {
			list = cloneList(below[key])
		}
		if list, ok = putIn(list, p[1:], v); ok {
			tree[key] = list
		}
		return ok
	}
	child, ok := tree[key].(map[string]any)
	if !ok {
		child = map[string]any{}
		tree[key] = child
	}
	return put(child, below[key], p[1:], v)
}

// isPathsKey tells whether the next part is the name of a path, which may be a
// number.
func isPathsKey(p keyPath) bool { return p[0] == "paths" }

func putIn(list []any, p keyPath, v any) ([]any, bool) {
	n, _ := strconv.Atoi(p[0])
	if n > len(list) {
		return list, false
	}
	if n == len(list) {
		list = append(list, nil)
	}
	if len(p) == 1 {
		list[n] = v
		return list, true
	}
	m, ok := list[n].(map[string]any)
	if !ok {
		m = map[string]any{}
		list[n] = m
	}
	return list, put(m, m, p[1:], v)
}

func cloneList(raw any) []any {
	l, _ := raw.([]any)
	out := make([]any, len(l))
	for i, e := range l {
		if m, ok := e.(map[string]any); ok {
			e = maps.Clone(m)
		}
		out[i] = e
	}
	return out
}

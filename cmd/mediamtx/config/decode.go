package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decoder fills the document from a tree of map[string]any, []any and string.
type decoder struct {
	origins  map[string]origin // by keyPath.id
	problems *problems
}

// at returns where a value was written; for values of a path that were
// inherited, the place in pathDefaults.
func (d *decoder) at(p keyPath) origin {
	for ; len(p) > 0; p = p[:len(p)-1] {
		if o, ok := d.origins[p.id()]; ok {
			return o
		}
	}
	return origin{}
}

func (d *decoder) bad(p keyPath, f *field, value string, msg string) {
	shown := " " + quote(value)
	if f != nil {
		switch {
		case f.secret == "true":
			shown = ""
		case f.secret == "url", f.check == "httpURL":
			shown = " " + quote(redactURL(value))
		case f.secret == "command":
			shown = " " + quote(redactCommand(value))
		}
	}
	d.problems.add(d.at(p), "%s%s: %s", p, shown, msg)
}

// value decodes raw into v. The field carries the rules of values; it is that
// of the enclosing key for elements of lists.
func (d *decoder) value(v reflect.Value, raw any, p keyPath, f *field) {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(p, f, raw, func(s string) error { return u.UnmarshalText([]byte(s)) })
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(v, raw, p)
	case reflect.Slice:
		d.slice(v, raw, p, f)
	case reflect.Array:
		d.array(v, raw, p, f)
	default:
		d.text(p, f, raw, func(s string) error { return setScalar(v, s) })
	}
}

// text decodes a scalar.
func (d *decoder) text(p keyPath, f *field, raw any, set func(string) error) {
	s, ok := raw.(string)
	if !ok {
		d.problems.add(d.at(p), "%s: must be a single value, not a %s", p, kindOf(raw))
		return
	}
	if err := set(s); err != nil {
		d.bad(p, f, s, err.Error())
	}
}

func setScalar(v reflect.Value, s string) error {
	switch v.Kind() {
	case reflect.String:
		if strings.ContainsRune(s, 0) {
			return errors.New("must not contain a NUL character")
		}
		v.SetString(s)
	case reflect.Bool:
		b, err := parseBool(s)
		if err != nil {
			return err
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n > math.MaxInt32 || n < math.MinInt32 {
			return errors.New("must be an integer of at most 32 bits")
		}
		v.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return errors.New("must be a number")
		}
		v.SetFloat(n)
	default:
		return fmt.Errorf("must not be here (%s)", v.Type())
	}
	return nil
}

func (d *decoder) structure(v reflect.Value, raw any, p keyPath) {
	m, ok := raw.(map[string]any)
	if !ok {
		d.problems.add(d.at(p), "%s: must be a map of keys and values, not a %s", p, kindOf(raw))
		return
	}
	s := schemaOf(v.Type())
	for _, key := range slices.Sorted(maps.Keys(m)) {
		f := s.byKey[key]
		if f == nil {
			d.unknown(p, key, s)
			continue
		}
		if key == "paths" && len(p) == 0 {
			continue // decoded after pathDefaults
		}
		d.value(v.FieldByIndex(f.index), m[key], p.with(key), f)
	}
}

// unknown reports a key that no struct has.
func (d *decoder) unknown(p keyPath, key string, s *schema) {
	known := s.keys()
	for _, k := range deprecatedIn(p) {
		known = append(known, k.key)
	}
	msg := "unknown key " + quote(key)
	if n := nearest(key, known); n != "" {
		msg += fmt.Sprintf(", did you mean %q?", n)
	} else if len(p) == 0 && schemaOf(reflect.TypeFor[Path]()).byKey[key] != nil {
		msg += `, it belongs in "pathDefaults" or in a path`
	}
	if prefix := p.String(); prefix != "" {
		msg = prefix + ": " + msg
	}
	d.problems.add(d.at(p.with(key)), "%s", msg)
}

func (d *decoder) slice(v reflect.Value, raw any, p keyPath, f *field) {
	l, ok := raw.([]any)
	if !ok {
		d.problems.add(d.at(p), "%s: must be a list, not a %s", p, kindOf(raw))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(l), len(l))
	for i, e := range l {
		initSlices(out.Index(i))
		d.value(out.Index(i), e, p.with(strconv.Itoa(i)), f)
	}
	v.Set(out)
}

func (d *decoder) array(v reflect.Value, raw any, p keyPath, f *field) {
	l, ok := raw.([]any)
	if !ok || len(l) != v.Len() {
		d.problems.add(d.at(p), "%s: must be a list of %d numbers", p, v.Len())
		return
	}
	for i, e := range l {
		d.value(v.Index(i), e, p.with(strconv.Itoa(i)), f)
	}
}

// initSlices makes the lists of a new element empty: they are never nil, so
// that they print as [].
func initSlices(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for _, f := range schemaOf(v.Type()).fields {
		if fv := v.FieldByIndex(f.index); fv.Kind() == reflect.Slice {
			fv.Set(reflect.MakeSlice(fv.Type(), 0, 0))
		}
	}
}

// document decodes a whole tree over the defaults.
func (d *decoder) document(tree map[string]any) *Document {
	doc := Default()
	d.structure(reflect.ValueOf(doc).Elem(), tree, nil)
	raw, ok := tree["paths"]
	if !ok {
		return doc
	}
	paths, ok := raw.(map[string]any)
	if !ok {
		d.problems.add(d.at(keyPath{"paths"}), "paths: must be a map of names and paths, not a %s", kindOf(raw))
		return doc
	}
	for name, rawPath := range paths {
		p := doc.PathDefaults
		p.Name = name
		at := keyPath{"paths", name}
		d.structure(reflect.ValueOf(&p).Elem(), rawPath, at)
		if p.Name != name {
			d.problems.add(d.at(at.with("name")), "%s: name %s: must be that of the path, or be left out", at, quote(p.Name))
		}
		doc.Paths[name] = p
	}
	return doc
}

func kindOf(raw any) string {
	switch raw.(type) {
	case map[string]any:
		return "map"
	case []any:
		return "list"
	default:
		return "single value"
	}
}

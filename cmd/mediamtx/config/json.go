package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
)

// Section is a part of a document, for [FromJSON].
type Section string

// Sections.
const (
	SectionGlobal Section = "global"
	SectionPath   Section = "path" // also pathDefaults
)

func (s Section) typ() reflect.Type {
	if s == SectionGlobal {
		return typeOf[Global]()
	}
	return typeOf[Path]()
}

// FromJSON turns a JSON object with keys of a section into a tree for [Edits].
// Values must have the types that the Control API shows; whether they make sense
// is found out when the document is loaded.
func FromJSON(s Section, data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Errorf("the body must be a JSON object, not %s", e.Value)
		}
		return nil, errors.New("the body is not valid JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body must hold one JSON object and nothing else")
	}
	if m == nil {
		return nil, errors.New("the body must be a JSON object, not null")
	}
	if k, ok := duplicateKey(json.NewDecoder(bytes.NewReader(data))); ok {
		return nil, fmt.Errorf("%s: is set twice", quote(k))
	}
	for _, k := range []string{"pathDefaults", "paths"} {
		if _, ok := m[k]; ok && s == SectionGlobal {
			return nil, fmt.Errorf("%s: is not a global key, and has endpoints of its own", k)
		}
	}
	v, err := jsonTree(s.typ(), m, nil)
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil
}

// duplicateKey returns a key that an object of the next value, which is valid, has
// more than once.
func duplicateKey(d *json.Decoder) (key string, found bool) {
	open, _ := d.Token()
	if open != json.Delim('{') && open != json.Delim('[') {
		return "", false
	}
	seen := map[string]bool{}
	for d.More() {
		if open == json.Delim('{') {
			t, _ := d.Token()
			k, _ := t.(string)
			if seen[k] {
				return k, true
			}
			seen[k] = true
		}
		if k, ok := duplicateKey(d); ok {
			return k, true
		}
	}
	_, _ = d.Token() // the end
	return "", false
}

// jsonTree checks the type of a value and writes it in the form of layers.
func jsonTree(t reflect.Type, v any, at keyPath) (any, error) {
	want := jsonKind(t)
	bad := func() (any, error) { return nil, fmt.Errorf("%s: must be %s", at, want) }
	switch v := v.(type) {
	case map[string]any:
		if want != "an object" {
			return bad()
		}
		return jsonObject(t, v, at)
	case []any:
		if want != "a list" {
			return bad()
		}
		l := make([]any, len(v))
		for i, e := range v {
			var err error
			if l[i], err = jsonTree(t.Elem(), e, at.with(strconv.Itoa(i))); err != nil {
				return nil, err
			}
		}
		return l, nil
	case json.Number:
		if want != "a number" {
			return bad()
		}
		return v.String(), nil
	case bool:
		if want != "true or false" && t != typeOf[Encryption]() {
			return bad()
		}
		return strconv.FormatBool(v), nil
	case string:
		if want != "a string" {
			return bad()
		}
		return v, nil
	default: // null
		return bad()
	}
}

func jsonObject(t reflect.Type, m map[string]any, at keyPath) (any, error) {
	out := make(map[string]any, len(m))
	s := schemaOf(t)
	for k, v := range m {
		if v == nil && isDeprecated(t, k) {
			continue // it is not set, as the description of the API says
		}
		typ := typeOf[any]() // unknown and deprecated keys are told by the decoder
		if f := s.byKey[k]; f != nil {
			typ = f.typ
		}
		if typ == typeOf[any]() {
			out[k] = looseTree(v)
			continue
		}
		var err error
		if out[k], err = jsonTree(typ, v, at.with(k)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// isDeprecated tells whether a key belonged to a type in old releases.
func isDeprecated(t reflect.Type, key string) bool {
	var keys []deprecatedKey
	switch t {
	case typeOf[Global]():
		keys = deprecatedGlobal()
	case typeOf[Path]():
		keys = deprecatedPath()
	}
	return slices.ContainsFunc(keys, func(k deprecatedKey) bool { return k.key == key })
}

// looseTree writes a value of any type in the form of layers.
func looseTree(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = looseTree(e)
		}
		return v
	case []any:
		for i, e := range v {
			v[i] = looseTree(e)
		}
		return v
	case string:
		return v
	case nil:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

// jsonKind names the kind of JSON that values of a type are.
func jsonKind(t reflect.Type) string {
	if t.Implements(typeOf[encoding.TextMarshaler]()) || isText(t) {
		return "a string"
	}
	switch t.Kind() {
	case reflect.Struct:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64, reflect.Uint:
		return "a number"
	default:
		return "a string"
	}
}

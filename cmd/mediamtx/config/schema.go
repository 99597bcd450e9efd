package config

import (
	"encoding"
	"reflect"
	"strconv"
	"sync"
)

// field is a key of a struct of the document.
type field struct {
	key    string
	index  []int
	typ    reflect.Type
	check  string // name of the rule of checks.go
	secret string // "true": never shown; "url": shown without credentials; "command": shown without arguments
	later  bool
}

// schema is the keys of a struct, in order.
type schema struct {
	fields []field
	byKey  map[string]*field
}

// schemaOf reads the tags of a struct. The result is cached: a document has
// four types, a server thousands of paths.
func schemaOf(t reflect.Type) *schema {
	if s, ok := schemas.Load(t); ok {
		return s.(*schema)
	}
	s := &schema{byKey: map[string]*field{}}
	for _, f := range reflect.VisibleFields(t) {
		key := f.Tag.Get("koanf")
		if key == "" {
			continue
		}
		s.fields = append(s.fields, field{
			key: key, index: f.Index, typ: f.Type, check: f.Tag.Get("check"),
			secret: f.Tag.Get("secret"), later: f.Tag.Get("later") != "",
		})
	}
	for i := range s.fields {
		s.byKey[s.fields[i].key] = &s.fields[i]
	}
	schemas.Store(t, s)
	return s
}

// schemas is a cache; its content depends on types only.
var schemas sync.Map

func (s *schema) keys() []string {
	out := make([]string, len(s.fields))
	for i, f := range s.fields {
		out[i] = f.key
	}
	return out
}

// toTree turns a value of the document into the form in which layers are joined:
// map[string]any, []any and string.
func toTree(v reflect.Value) any {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err != nil {
			return ""
		}
		return string(b)
	}
	switch v.Kind() {
	case reflect.Struct:
		m := map[string]any{}
		for _, f := range schemaOf(v.Type()).fields {
			m[f.key] = toTree(v.FieldByIndex(f.index))
		}
		return m
	case reflect.Map:
		m := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			m[it.Key().String()] = toTree(it.Value())
		}
		return m
	case reflect.Slice, reflect.Array:
		l := make([]any, v.Len())
		for i := range l {
			l[i] = toTree(v.Index(i))
		}
		return l
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	default:
		return v.String()
	}
}

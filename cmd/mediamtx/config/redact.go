package config

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// Redacted stands for a secret where a document is shown.
const Redacted = "***"

// Shown returns a copy of the document without passwords, keys and tokens.
func (d *Document) Shown() *Document {
	out := *d
	redact(reflect.ValueOf(&out.Global).Elem())
	redact(reflect.ValueOf(&out.PathDefaults).Elem())
	out.Paths = maps.Clone(d.Paths)
	for n, p := range out.Paths {
		redact(reflect.ValueOf(&p).Elem())
		out.Paths[n] = p
	}
	return &out
}

// redact hides the secrets of a struct. Lists are copied before.
func redact(s reflect.Value) {
	for _, f := range schemaOf(s.Type()).fields {
		v := s.FieldByIndex(f.index)
		switch {
		case v.Kind() == reflect.String:
			v.SetString(redactValue(&f, v.String()))
		case v.Kind() == reflect.Slice && v.Len() > 0:
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(c, v)
			v.Set(c)
			for i := range c.Len() {
				switch e := c.Index(i); e.Kind() {
				case reflect.Struct:
					if !isText(e.Type()) {
						redact(e)
					}
				case reflect.String:
					e.SetString(redactValue(&f, e.String()))
				}
			}
		}
	}
}

// redactValue returns what can be shown of the value of a key.
func redactValue(f *field, s string) string {
	switch {
	case f.key == "user" && !isHashed(s): // the name of an internal user
		return s
	case f.secret == "true" && s != "":
		return Redacted
	case f.key == "source" || f.key == "forward" || f.secret == "url" || f.check == "httpURL":
		return redactPassword(s)
	}
	return s
}

// redactPassword hides the password and the tokens of a URL, and keeps the rest.
func redactPassword(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= len(authority) { // a password with a slash in it
		authority = rest[:i]
	}
	tail := rest[len(authority):]
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		if user, _, ok := strings.Cut(authority[:i], ":"); ok {
			authority = user + ":" + Redacted + authority[i:]
		}
	}
	return scheme + "://" + authority + redactQuery(tail)
}

// secretParameters are parameters of URLs that hold secrets.
var secretParameters = []string{"pass", "password", "passphrase", "jwt", "token", "secret", "key", "streamid"}

func redactQuery(s string) string {
	path, query, ok := strings.Cut(s, "?")
	if !ok {
		return s
	}
	parts := strings.Split(query, "&")
	for i, p := range parts {
		name, value, _ := strings.Cut(p, "=")
		if n, err := url.QueryUnescape(name); err == nil && value != "" && slices.Contains(secretParameters, strings.ToLower(n)) {
			if !strings.EqualFold(n, "streamid") || strings.Count(value, ":") > 1 || strings.Contains(value, "s=") {
				parts[i] = name + "=" + Redacted
			}
		}
	}
	return path + "?" + strings.Join(parts, "&")
}

// Restore puts secrets back into a tree that was made of a document as it is
// shown: a value that is what would be shown of the present one stands for that.
// Elements of lists are recognised by what is not secret about them.
func (s Section) Restore(tree map[string]any, present any) {
	restoreStruct(tree, reflect.Indirect(reflect.ValueOf(present)))
}

func restoreStruct(tree map[string]any, present reflect.Value) {
	schema := schemaOf(present.Type())
	for k, v := range tree {
		f := schema.byKey[k]
		if f == nil {
			continue
		}
		old := present.FieldByIndex(f.index)
		switch v := v.(type) {
		case string:
			if old.Kind() == reflect.String && v == redactValue(f, old.String()) {
				tree[k] = old.String()
			}
		case []any:
			if old.Kind() == reflect.Slice {
				restoreList(f, v, old)
			}
		}
	}
}

func restoreList(f *field, list []any, old reflect.Value) {
	for i, e := range list {
		// that of the same position is the first choice: others may look like it
		for n := -1; n < old.Len(); n++ {
			at := n
			if n < 0 {
				at = min(i, old.Len()-1)
			}
			if at >= 0 && restoreElement(f, list, i, e, old.Index(at)) {
				break
			}
		}
	}
}

// restoreElement tells whether the element is the one that it looks like.
func restoreElement(f *field, list []any, i int, e any, old reflect.Value) bool {
	switch e := e.(type) {
	case string:
		if old.Kind() == reflect.String && e == redactValue(f, old.String()) {
			list[i] = old.String()
			return true
		}
	case map[string]any:
		if old.Kind() == reflect.Struct && !isText(old.Type()) && looksLike(e, old) {
			restoreStruct(e, old)
			return true
		}
	}
	return false
}

// looksLike tells whether an element of a list is the one that a tree shows: all
// its texts are those that would be shown.
func looksLike(tree map[string]any, present reflect.Value) bool {
	for _, f := range schemaOf(present.Type()).fields {
		v := present.FieldByIndex(f.index)
		s, ok := tree[f.key].(string)
		if ok && v.Kind() == reflect.String && s != redactValue(&f, v.String()) {
			return false
		}
	}
	return true
}

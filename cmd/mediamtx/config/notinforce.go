package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// NotInForce lists the keys that were set to something other than their default
// but whose function is not part of this version: each in the form in which
// errors name keys. What concerns many paths in the same way is listed once if
// pathDefaults says it.
func (d *Document) NotInForce() []string {
	def := Default()
	out := laterKeys(reflect.ValueOf(&d.Global).Elem(), reflect.ValueOf(&def.Global).Elem(), nil)
	if !d.MoQ { // and so it is
		out = slices.DeleteFunc(out, func(k string) bool { return strings.HasPrefix(k, "moq") })
	}
	at := keyPath{"pathDefaults"}
	out = append(out, laterKeys(reflect.ValueOf(&d.PathDefaults).Elem(), reflect.ValueOf(&def.PathDefaults).Elem(), at)...)
	out = append(out, laterURLs(&d.PathDefaults, &def.PathDefaults, at)...)
	for _, name := range d.pathNames() {
		p, at := d.Paths[name], keyPath{"paths", name}
		out = append(out, laterKeys(reflect.ValueOf(&p).Elem(), reflect.ValueOf(&d.PathDefaults).Elem(), at)...)
		out = append(out, laterURLs(&p, &d.PathDefaults, at)...)
	}
	return out
}

// laterKeys returns the keys of a struct that are marked and differ from base.
func laterKeys(v, base reflect.Value, at keyPath) []string {
	var out []string
	for _, f := range schemaOf(v.Type()).fields {
		if f.later && !reflect.DeepEqual(v.FieldByIndex(f.index).Interface(), base.FieldByIndex(f.index).Interface()) {
			out = append(out, at.with(f.key).String())
		}
	}
	return out
}

// laterURLs returns the sources and destinations of a path that this version
// cannot reach.
func laterURLs(p, base *Path, at keyPath) []string {
	var out []string
	for i, s := range p.Sources {
		if f := sourceFamily(s); !f.inForce() && !slices.Equal(p.Sources, base.Sources) {
			out = append(out, at.with("sources", strconv.Itoa(i)).String()+" ("+string(f)+")")
		}
	}
	if f := sourceFamily(p.Source); f != "" && !f.inForce() && p.Source != base.Source {
		out = append(out, at.with("source").String()+" ("+string(f)+")")
	}
	if slices.Equal(p.Forward, base.Forward) {
		return out
	}
	for i, dest := range p.Forward {
		if forwardFamily(dest) == "" {
			out = append(out, at.with("forward", strconv.Itoa(i)).String())
		}
	}
	return out
}

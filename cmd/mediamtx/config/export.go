package config

import (
	"reflect"
	"slices"

	"github.com/goccy/go-yaml"
)

// Export returns the document as YAML, without secrets. Keys that have their
// defaults are left out, those of paths that are as in pathDefaults too.
func (d *Document) Export() ([]byte, error) {
	def := Default()
	shown := d.Shown()
	global := exported(reflect.ValueOf(shown.Global), reflect.ValueOf(def.Global))
	if p := exported(reflect.ValueOf(shown.PathDefaults), reflect.ValueOf(def.PathDefaults)); len(p) > 0 {
		global = append(global, yaml.MapItem{Key: "pathDefaults", Value: p})
	}
	paths := yaml.MapSlice{}
	base := shown.PathDefaults
	for _, n := range d.pathNames() {
		base.Name = n
		p := exported(reflect.ValueOf(shown.Paths[n]), reflect.ValueOf(base))
		if p == nil {
			p = yaml.MapSlice{}
		}
		paths = append(paths, yaml.MapItem{Key: n, Value: p})
	}
	return yaml.Marshal(append(global, yaml.MapItem{Key: "paths", Value: paths}))
}

// newerNames are keys that repeat the value of another.
var newerNames = []string{"runOnAvailable", "runOnAvailableRestart", "runOnUnavailable"}

// exported returns the keys whose values differ from those of base.
func exported(v, base reflect.Value) yaml.MapSlice {
	var out yaml.MapSlice
	for _, f := range schemaOf(v.Type()).fields {
		fv := v.FieldByIndex(f.index)
		if slices.Contains(newerNames, f.key) || reflect.DeepEqual(fv.Interface(), base.FieldByIndex(f.index).Interface()) {
			continue
		}
		out = append(out, yaml.MapItem{Key: f.key, Value: plain(fv)})
	}
	return out
}

// plain turns a value into what YAML shows in its natural way.
func plain(v reflect.Value) any {
	switch tree := toTree(v); v.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.Int:
		if _, ok := tree.(string); ok && !isText(v.Type()) {
			return v.Int()
		}
		return tree
	default:
		return tree
	}
}

package config

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of a file, against files that were made to exhaust the server.
const (
	maxFileSize = 4 << 20
	maxNodes    = 500_000 // after the expansion of aliases
	maxDepth    = 32
)

// layer is what one place says: a tree of map[string]any, []any and string, and
// where each value was written.
type layer struct {
	tree    map[string]any
	origins map[string]origin // by keyPath.id
}

func newLayer() *layer {
	return &layer{tree: map[string]any{}, origins: map[string]origin{}}
}

// readYAML turns a file into a layer. Nulls are dropped: a key without a value
// is one that was not set.
func readYAML(file string, data []byte) (l *layer, err error) {
	r := &yamlReader{file: file, layer: newLayer(), anchors: map[string]ast.Node{}}
	// The parser is not ours, and files come from anywhere.
	defer func() {
		if p := recover(); p != nil {
			r.problems.add(origin{where: file}, "the file is not valid YAML")
			l, err = r.layer, r.problems.err()
		}
	}()
	root, err := r.parse(data)
	if err != nil {
		return r.layer, err
	}
	if root != nil {
		if m, ok := r.node(root, nil).(map[string]any); ok {
			r.layer.tree = m
		} else if len(r.problems) == 0 {
			r.bad(root, "the file must hold a map of keys and values")
		}
	}
	return r.layer, r.problems.err()
}

type yamlReader struct {
	file     string
	layer    *layer
	anchors  map[string]ast.Node
	open     []ast.Node // aliases being expanded
	nodes    int
	problems problems
}

func (r *yamlReader) bad(n ast.Node, format string, a ...any) {
	r.problems.add(r.origin(n), format, a...)
}

func (r *yamlReader) origin(n ast.Node) origin {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return origin{where: r.file, line: t.Position.Line}
	}
	return origin{where: r.file}
}

// parse returns the root of the only document of a file, nil if it is empty.
func (r *yamlReader) parse(data []byte) (ast.Node, error) {
	fail := func(line int, format string, a ...any) (ast.Node, error) {
		r.problems.add(origin{where: r.file, line: line}, format, a...)
		return nil, r.problems.err()
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	switch {
	case len(data) > maxFileSize:
		return fail(0, "the file is larger than %d MiB", maxFileSize>>20)
	case !utf8.Valid(data):
		return fail(0, "the file is not UTF-8 text")
	}
	tokens := lexer.Tokenize(string(data))
	if line := tooDeep(tokens); line > 0 {
		return fail(line, "the file is nested deeper than %d levels", maxDepth)
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line, msg := 0, "syntax error"
		if e, ok := errors.AsType[yaml.Error](err); ok {
			msg = e.GetMessage()
			if t := e.GetToken(); t != nil && t.Position != nil {
				line = t.Position.Line
			}
		}
		return fail(line, "the file is not valid YAML: %s", strings.ReplaceAll(msg, "\n", " "))
	}
	var root ast.Node
	for _, d := range f.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		if root != nil {
			return fail(r.origin(d.Body).line, "the file must hold one YAML document only")
		}
		root = d.Body
	}
	if root != nil && root.Type() == ast.NullType {
		root = nil
	}
	return root, nil
}

// tooDeep returns the line at which nesting passes the limit, before the parser
// recurses into it.
func tooDeep(tokens token.Tokens) int {
	flow, line, marks := 0, 0, 0
	var indents []int
	for _, t := range tokens {
		if t.Position.Line != line {
			line, marks = t.Position.Line, 0
			indents = slices.DeleteFunc(indents, func(c int) bool { return c >= t.Position.Column })
			indents = append(indents, t.Position.Column)
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType, token.MappingValueType:
			marks++
		}
		if flow > maxDepth || flow <= 0 && marks > maxDepth || len(indents) > maxDepth {
			return line
		}
	}
	return 0
}

// node converts a node. It returns nil for nulls, and for what it reported.
func (r *yamlReader) node(n ast.Node, p keyPath) any {
	if r.nodes++; r.nodes > maxNodes || len(p) > maxDepth {
		if r.nodes < 2*maxNodes { // once
			r.nodes = 2 * maxNodes
			r.bad(n, "the file holds too many values")
		}
		return nil
	}
	if _, ok := r.layer.origins[p.id()]; !ok && len(p) > 0 {
		r.layer.origins[p.id()] = r.origin(n)
	}
	switch n := n.(type) {
	case *ast.NullNode, *ast.CommentGroupNode, nil:
		return nil
	case *ast.MappingNode:
		return r.mapping(n.Values, p)
	case *ast.MappingValueNode:
		return r.mapping([]*ast.MappingValueNode{n}, p)
	case *ast.SequenceNode:
		return r.sequence(n, p)
	case *ast.AnchorNode:
		r.anchors[n.Name.String()] = n.Value
		return r.node(n.Value, p)
	case *ast.AliasNode:
		return r.alias(n, p)
	case *ast.TagNode:
		return r.node(n.Value, p)
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value // as it was written: passwords may be digits
	}
	r.bad(n, "%s: this kind of YAML value cannot be used here", p)
	return nil
}

func (r *yamlReader) mapping(values []*ast.MappingValueNode, p keyPath) any {
	out := map[string]any{}
	seen := map[string]int{}
	for _, v := range values {
		if _, ok := v.Key.(*ast.MergeKeyNode); ok {
			r.merge(out, v, p)
			continue
		}
		key, ok := r.key(v.Key)
		if !ok {
			continue
		}
		line := r.origin(v.Key).line
		if first := seen[key]; first > 0 {
			r.bad(v.Key, "%s: this key was already set in line %d", p.with(key), first)
			continue
		}
		seen[key] = line
		at := p.with(key)
		r.layer.origins[at.id()] = origin{where: r.file, line: line}
		if value := r.node(v.Value, at); value != nil {
			out[key] = value
		} else if len(p) == 1 && p[0] == "paths" {
			out[key] = map[string]any{} // "cam:" is a path with nothing but defaults
		} else {
			delete(out, key) // null undoes what a merge brought
		}
	}
	return out
}

func (r *yamlReader) key(n ast.MapKeyNode) (string, bool) {
	var key string
	switch n := n.(type) {
	case *ast.StringNode:
		key = n.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		key = n.GetToken().Value
	default:
		r.bad(n, "a key must be a single word")
		return "", false
	}
	if strings.Contains(key, sep) || key == "" {
		r.bad(n, "%s: this cannot be a key", quote(key))
		return "", false
	}
	return key, true
}

// merge adds the keys of "<<: *anchor" that are not set yet.
func (r *yamlReader) merge(out map[string]any, v *ast.MappingValueNode, p keyPath) {
	sources := []ast.Node{v.Value}
	if l, ok := v.Value.(*ast.SequenceNode); ok {
		sources = l.Values
	}
	for _, s := range sources {
		m, ok := r.node(s, p).(map[string]any)
		if !ok {
			r.bad(v, "<<: must refer to a map")
			return
		}
		for k, e := range m {
			if _, set := out[k]; !set {
				out[k] = e
			}
		}
	}
}

func (r *yamlReader) sequence(n *ast.SequenceNode, p keyPath) any {
	out := make([]any, 0, len(n.Values))
	for i, e := range n.Values {
		v := r.node(e, p.with(strconv.Itoa(i)))
		if v == nil {
			if e.Type() == ast.NullType {
				r.bad(e, "%s: an element of a list cannot be empty", p)
			}
			continue
		}
		out = append(out, v)
	}
	return out
}

func (r *yamlReader) alias(n *ast.AliasNode, p keyPath) any {
	name := n.Value.String()
	target, ok := r.anchors[name]
	if !ok {
		r.bad(n, "the anchor %s is not defined above", quote(name))
		return nil
	}
	if slices.Contains(r.open, target) {
		r.bad(n, "the anchor %s contains itself", quote(name))
		return nil
	}
	r.open = append(r.open, target)
	defer func() { r.open = r.open[:len(r.open)-1] }()
	return r.node(target, p)
}

package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/uuid"
)

// contract is the description of the API that tools for MediaMTX know, or ours.
type contract struct {
	Paths      map[string]map[string]any
	Components struct{ Schemas map[string]*shape }
}

// shape is a schema.
type shape struct {
	Ref        string `yaml:"$ref"`
	Type       string
	Format     string
	Nullable   bool
	Deprecated bool
	Enum       []any
	Items      *shape
	Properties map[string]*shape
	AllOf      []*shape `yaml:"allOf"`
	OneOf      []*shape `yaml:"oneOf"`
}

func parseContract(t *testing.T, data []byte) *contract {
	t.Helper()
	var c contract
	if err := yaml.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

func theContract(t *testing.T) *contract {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "contract.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := parseContract(t, data)
	for schema, values := range newerValues() {
		for _, v := range values {
			c.Components.Schemas[schema].Enum = append(c.Components.Schemas[schema].Enum, v)
		}
	}
	return c
}

// newerValues are values that we show and the contract does not list: the codecs
// under the names of newer releases, and peers that only we have.
func newerValues() map[string][]string {
	return map[string][]string{
		"PathTrackCodec": {"FLAC", "M-JPEG", "MPEG-1/2 Audio", "MPEG-1/2 Video"},
		"PathSourceType": {"command", "program"},
		"PathReaderType": {"program"},
	}
}

// resolve follows references.
func (c *contract) resolve(s *shape) *shape {
	for s != nil && (s.Ref != "" || len(s.AllOf) == 1) {
		name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
		if s.Ref == "" {
			name = strings.TrimPrefix(s.AllOf[0].Ref, "#/components/schemas/")
		}
		next := c.Components.Schemas[name]
		if next == nil {
			return nil
		}
		r := *next
		r.Nullable, r.Deprecated = r.Nullable || s.Nullable, r.Deprecated || s.Deprecated
		s = &r
	}
	return s
}

// answer is the schema of the answer with status 200 to an operation.
func (c *contract) answer(path, method string) (*shape, error) {
	op, ok := c.Paths[path][strings.ToLower(method)]
	if !ok {
		return nil, fmt.Errorf("the contract has no %s %s", method, path)
	}
	b, err := yaml.Marshal(op)
	if err != nil {
		return nil, err
	}
	var o struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema *shape }
		}
	}
	if err := yaml.Unmarshal(b, &o); err != nil {
		return nil, err
	}
	return o.Responses["200"].Content["application/json"].Schema, nil
}

// check returns what is wrong with the JSON of an answer. Properties that are
// deprecated and can be null may be missing, all others must be there.
func (c *contract) check(s *shape, body []byte) []string {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return []string{"not JSON: " + err.Error()}
	}
	return c.value(s, v, "$")
}

func (c *contract) value(s *shape, v any, at string) []string {
	s = c.resolve(s)
	bad := func(format string, a ...any) []string { return []string{at + ": " + fmt.Sprintf(format, a...)} }
	switch {
	case s == nil:
		return bad("no schema")
	case v == nil && s.Nullable:
		return nil
	case v == nil:
		return bad("is null")
	case len(s.OneOf) > 0:
		for _, o := range s.OneOf {
			if len(c.value(o, v, at)) == 0 {
				return nil
			}
		}
		return bad("%v has none of the forms", v)
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, v):
		return bad("%v is not among %v", v, s.Enum)
	}
	switch x := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			return bad("an object, not %s", s.Type)
		}
		return c.object(s, x, at)
	case []any:
		if s.Type != "array" {
			return bad("a list, not %s", s.Type)
		}
		var out []string
		for i, e := range x {
			out = append(out, c.value(s.Items, e, at+"["+strconv.Itoa(i)+"]")...)
		}
		return out
	case json.Number:
		return c.number(s, x, at)
	case string:
		if s.Type != "string" {
			return bad("a text, not %s", s.Type)
		}
		if _, err := uuid.Parse(x); s.Format == "uuid" && err != nil {
			return bad("%q is no UUID", x)
		}
	case bool:
		if s.Type != "boolean" {
			return bad("a boolean, not %s", s.Type)
		}
	}
	return nil
}

func (c *contract) number(s *shape, n json.Number, at string) []string {
	switch {
	case s.Type == "number":
		return nil
	case s.Type != "integer":
		return []string{at + ": a number, not " + s.Type}
	}
	_, err := strconv.ParseInt(n.String(), 10, 64)
	if s.Format == "uint64" {
		_, err = strconv.ParseUint(n.String(), 10, 64)
	}
	if err != nil {
		return []string{at + ": " + err.Error()}
	}
	return nil
}

func (c *contract) object(s *shape, m map[string]any, at string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := c.resolve(s.Properties[name])
		v, ok := m[name]
		switch {
		case ok:
			out = append(out, c.value(s.Properties[name], v, at+"."+name)...)
		case !p.Nullable || !p.Deprecated:
			out = append(out, at+"."+name+": is missing")
		}
		if text, ok := v.(string); ok && (name == "created" || name == "started" || name == "start" || strings.HasSuffix(name, "Time")) && at != "$" {
			if _, err := time.Parse(time.RFC3339, text); err != nil {
				out = append(out, at+"."+name+": "+err.Error())
			}
		}
	}
	return out
}

// The check above can fail.
func TestContractCheck(t *testing.T) {
	t.Parallel()
	c := theContract(t)
	for body, want := range map[string]string{
		`{}`: "$.itemCount: is missing",
		`{"itemCount":1.5,"pageCount":1,"items":[]}`:                                           "$.itemCount:",
		`{"itemCount":1,"pageCount":1,"items":null}`:                                           "$.items: is null",
		`{"itemCount":1,"pageCount":"1","items":[]}`:                                           "$.pageCount: a text",
		`{"itemCount":1,"pageCount":1,"items":[{"id":"zz"}]}`:                                  `$.items[0].id: "zz" is no UUID`,
		`{"itemCount":1,"pageCount":1,"items":[{"state":"zz"}]}`:                               "$.items[0].state: zz is not among",
		`{"itemCount":1,"pageCount":1,"items":[{"created":"yesterday"}]}`:                      "$.items[0].created: parsing",
		`{"itemCount":1,"pageCount":1,"items":[{"bytesSent":-1}]}`:                             "$.items[0].bytesSent:",
		`{"itemCount":1,"pageCount":1,"items":[{"conns":[null]}]}`:                             "$.items[0].conns[0]: is null",
		`{"itemCount":1,"pageCount":1,"items":[{"transport":7}]}`:                              "$.items[0].transport: a number",
		`{"itemCount":1,"pageCount":1,"items":[{"conns":["` + uuid.NewString() + `", "zz"]}]}`: "$.items[0].conns[1]:",
	} {
		got := strings.Join(c.check(&shape{Ref: "#/components/schemas/RTSPSessionList"}, []byte(body)), "\n")
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s", body, got)
		}
	}
}

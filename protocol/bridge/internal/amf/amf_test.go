package amf

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bluenviron/gortmplib/pkg/amf0"
)

// What gortmplib encodes is decoded as it was.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	in := amf0.Data{
		"onMetaData", float64(2.5), true, nil,
		amf0.Object{{Key: "a", Value: "b"}, {Key: "nested", Value: amf0.Object{{Key: "x", Value: float64(1)}}}},
		amf0.ECMAArray{{Key: "list", Value: amf0.StrictArray{"av01", float64(3)}}},
	}
	b, err := in.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	out, err := Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("got %#v, want %#v", out, in)
	}
}

func TestOtherTypes(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		name string
		in   []byte
		want any
	}{
		{"date", append([]byte{markerDate}, make([]byte, 10)...), float64(0)},
		{"long string", []byte{markerLongString, 0, 0, 0, 2, 'h', 'i'}, "hi"},
		{"XML", []byte{markerXML, 0, 0, 0, 1, 'x'}, "x"},
		{"typed object", []byte{markerTypedObject, 0, 1, 'C', 0, 1, 'k', markerNull, 0, 0, 9}, amf0.Object{{Key: "k"}}},
		{"unsupported", []byte{markerUnsupported}, nil},
		{"reference", []byte{markerReference, 0, 1}, nil},
	} {
		out, err := Unmarshal(ca.in)
		if err != nil || len(out) != 1 || !reflect.DeepEqual(out[0], ca.want) {
			t.Errorf("%s: %#v, %v", ca.name, out, err)
		}
	}
}

func TestBombs(t *testing.T) {
	t.Parallel()
	nested := bytes.Repeat([]byte{markerStrictArray, 0, 0, 0, 1}, 1<<20)
	objects := []byte(strings.Repeat("\x03\x00\x01a", 1<<20))
	for _, ca := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nested arrays", nested, errDeep},
		{"nested objects", objects, errDeep},
		{"huge count", []byte{markerStrictArray, 0xff, 0xff, 0xff, 0xff, markerNull}, errShort},
		{"many values", bytes.Repeat([]byte{markerNull}, 1<<20), errMany},
		{"long string", []byte{markerLongString, 0xff, 0xff, 0xff, 0xff, 'a'}, errShort},
		{"no end", []byte{markerObject, 0, 0, 1}, errNoEnd},
		{"cut off", []byte{markerNumber, 1, 2}, errShort},
		{"marker", []byte{0x7f}, errMarker},
	} {
		if _, err := Unmarshal(ca.in); !errors.Is(err, ca.want) {
			t.Errorf("%s: %v, want %v", ca.name, err, ca.want)
		}
	}
}

// What could be read in front of the damage is kept.
func TestPartial(t *testing.T) {
	t.Parallel()
	out, err := Unmarshal([]byte{markerString, 0, 1, 'a', markerNumber})
	if err == nil || len(out) != 1 || out[0] != "a" {
		t.Errorf("%v, %v", out, err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte{markerString, 0, 1, 'a', markerNumber, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{markerObject, 0, 1, 'k', markerStrictArray, 0, 0, 0, 1, markerNull, 0, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := Unmarshal(b)
		if err != nil {
			return
		}
		if _, err := out.Marshal(); err != nil {
			t.Errorf("what was decoded cannot be encoded: %v", err)
		}
	})
}

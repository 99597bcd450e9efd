// Package amf decodes AMF 0 (Action Message Format) from peers that are not
// trusted. It yields the types of gortmplib, which encodes them.
//
// gortmplib's own decoder follows nested values as deep as they go, which an
// attacker can make deeper than any stack, and it stops at types that some
// encoders put into their metadata.
package amf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/bluenviron/gortmplib/pkg/amf0"
)

const (
	// maxDepth is how deep values may be nested. Real ones stay below 5.
	maxDepth = 16
	// maxValues is how many values a message may hold. Real ones stay below 200.
	maxValues = 10000
)

// Markers of AMF 0, section 2.1 of its specification.
const (
	markerNumber      = 0x00
	markerBoolean     = 0x01
	markerString      = 0x02
	markerObject      = 0x03
	markerNull        = 0x05
	markerUndefined   = 0x06
	markerReference   = 0x07
	markerECMAArray   = 0x08
	markerObjectEnd   = 0x09
	markerStrictArray = 0x0a
	markerDate        = 0x0b
	markerLongString  = 0x0c
	markerUnsupported = 0x0d
	markerXML         = 0x0f
	markerTypedObject = 0x10
)

var (
	errShort  = errors.New("AMF data is cut off")
	errDeep   = fmt.Errorf("AMF values are nested more than %d times", maxDepth)
	errMany   = fmt.Errorf("AMF message has more than %d values", maxValues)
	errNoEnd  = errors.New("AMF object has no end")
	errMarker = errors.New("AMF marker is unknown")
)

// Unmarshal decodes all values of b. On error it returns those before the one
// that is damaged.
func Unmarshal(b []byte) (amf0.Data, error) {
	d := decoder{b: b}
	var out amf0.Data
	for len(d.b) > 0 {
		v, err := d.value(0)
		if err != nil {
			return out, err
		}
		out = append(out, v)
	}
	return out, nil
}

type decoder struct {
	b      []byte
	values int
}

func (d *decoder) take(n int) ([]byte, error) {
	if n < 0 || len(d.b) < n {
		return nil, errShort
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p, nil
}

func (d *decoder) text(sizeLen int) (string, error) {
	p, err := d.take(sizeLen)
	if err != nil {
		return "", err
	}
	n := uint64(0)
	for _, c := range p {
		n = n<<8 | uint64(c)
	}
	if n > uint64(len(d.b)) {
		return "", errShort
	}
	p, err = d.take(int(n))
	return string(p), err
}

func (d *decoder) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	if d.values++; d.values > maxValues {
		return nil, errMany
	}
	m, err := d.take(1)
	if err != nil {
		return nil, err
	}
	switch m[0] {
	case markerNumber:
		return d.number()
	case markerBoolean:
		p, err := d.take(1)
		if err != nil {
			return nil, err
		}
		return p[0] != 0, nil
	case markerString:
		return d.text(2)
	case markerLongString, markerXML:
		return d.text(4)
	case markerNull, markerUnsupported:
		return nil, nil
	case markerUndefined:
		return amf0.Undefined{}, nil
	case markerReference:
		_, err := d.take(2)
		return nil, err
	case markerDate:
		v, err := d.number()
		if err == nil {
			_, err = d.take(2) // time zone, not used
		}
		return v, err
	case markerObject:
		return d.object(depth)
	case markerTypedObject:
		if _, err := d.text(2); err != nil { // class name
			return nil, err
		}
		return d.object(depth)
	case markerECMAArray:
		if _, err := d.take(4); err != nil { // an approximate count
			return nil, err
		}
		o, err := d.object(depth)
		return amf0.ECMAArray(o), err
	case markerStrictArray:
		return d.array(depth)
	}
	return nil, fmt.Errorf("%w: 0x%02x", errMarker, m[0])
}

func (d *decoder) number() (float64, error) {
	p, err := d.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(p)), nil
}

func (d *decoder) object(depth int) (amf0.Object, error) {
	out := amf0.Object{}
	for {
		key, err := d.text(2)
		if err != nil {
			return nil, err
		}
		if key == "" {
			end, err := d.take(1)
			if err == nil && end[0] != markerObjectEnd {
				err = errNoEnd
			}
			return out, err
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, amf0.ObjectEntry{Key: key, Value: v})
	}
}

func (d *decoder) array(depth int) (amf0.StrictArray, error) {
	p, err := d.take(4)
	if err != nil {
		return nil, err
	}
	count := binary.BigEndian.Uint32(p)
	if uint64(count) > uint64(len(d.b)) { // a value takes a byte at least
		return nil, errShort
	}
	out := amf0.StrictArray{}
	for range count {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// AsObject returns the entries of an object or of an ECMA array.
func AsObject(v any) (amf0.Object, bool) {
	switch v := v.(type) {
	case amf0.Object:
		return v, true
	case amf0.ECMAArray:
		return amf0.Object(v), true
	}
	return nil, false
}

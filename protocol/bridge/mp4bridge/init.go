package mp4bridge

import (
	"fmt"
	"reflect"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

// Equal tells whether two descriptions of a codec are the same.
func Equal(a, b codecs.Codec) bool { return a == b || reflect.DeepEqual(a, b) }

// MarshalInit returns the header of a fragmented file, "ftyp" and "moov". It fails if
// the parameters of a codec make no sense.
func MarshalInit(tracks []*fmp4.InitTrack) (b []byte, err error) {
	defer func() {
		if v := recover(); v != nil { // parameter sets come from the network
			err = fmt.Errorf("%v", v)
		}
	}()
	var buf seekablebuffer.Buffer
	if err := (fmp4.Init{Tracks: tracks}).Marshal(&buf); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

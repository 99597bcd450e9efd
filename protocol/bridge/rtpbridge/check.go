package rtpbridge

import (
	"fmt"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/sdpunmarshaler"
)

// CheckSDP tells whether a session description from the network can be parsed.
// The RTSP library parses descriptions on goroutines of its own, where a panic
// of a codec parser would end the program: what reaches it must have passed
// here. (An MPEG-4 video configuration that ends in 00 00 01 is an example.)
func CheckSDP(body []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("invalid session description: %v", v)
		}
	}()
	ssd, err := sdpunmarshaler.Unmarshal(body)
	if err != nil {
		return fmt.Errorf("invalid session description: %w", err)
	}
	var desc description.Session
	if err := desc.Unmarshal2(ssd); err != nil {
		return fmt.Errorf("invalid session description: %w", err)
	}
	return nil
}

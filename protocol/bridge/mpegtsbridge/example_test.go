package mpegtsbridge_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router/media"
)

func ExampleDemuxer() {
	var stream io.Reader = strings.NewReader("") // a file, a socket...

	d := mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			return func(track int, u *media.Unit) {
				fmt.Println(tracks[track].Codec.Name(), u.PTS)
			}, nil
		},
		Damaged: func(err error) { fmt.Println("dropped:", err) },
	})
	defer d.Close()

	if _, err := io.Copy(d, stream); err != nil {
		fmt.Println(err)
	}
	// Output:
}

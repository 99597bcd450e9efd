package rtmp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// Audio of layer II, which only its frames tell, is not announced: players would wait for
// it. Alone it is refused.
func TestLayerII(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	layer2 := append([]byte{0xff, 0xfd, 0x94, 0x64}, make([]byte, 380)...)
	for path, tracks := range map[string][]media.Track{
		"both": {{Codec: &media.MPEG1Audio{}}, routertest.SampleTracks()[0]}, "audio": {{Codec: &media.MPEG1Audio{}}},
	} {
		pub, err := r.Publish(t.Context(), path, tracks)
		if err != nil {
			t.Fatal(err)
		}
		quit, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for n := 0; ; n++ {
				pub.Write(0, &media.Unit{PTS: int64(n) * 3000, Payload: [][]byte{layer2}})
				if len(tracks) > 1 {
					pub.Write(1, routertest.SampleUnit(0, n))
				}
				select {
				case <-quit:
					return
				case <-time.After(5 * time.Millisecond): // the pace of the publisher
				}
			}
		}()
		t.Cleanup(func() {
			close(quit)
			<-done
			pub.Close()
		})
	}
	if _, err := dial(t, false, "rtmp://%s/audio", addr); err == nil || !strings.Contains(err.Error(), "no track") {
		t.Errorf("audio alone: %v", err)
	}
	rd := &gortmplib.Reader{Conn: mustDial(t, false, "rtmp://%s/both", addr)}
	if err := rd.Initialize(); err != nil {
		t.Fatal(err)
	}
	list := rd.Tracks()
	if len(list) != 1 {
		t.Fatalf("%d tracks", len(list))
	}
	if _, ok := list[0].Codec.(*codecs.H264); !ok {
		t.Errorf("track %+v", list[0].Codec)
	}
}

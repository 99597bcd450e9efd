package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/org/mtx/examples/internal/exampletest"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// asEncoder makes this program the encoder of its own tests.
const asEncoder = "encode"

func TestMain(m *testing.M) {
	if os.Args[len(os.Args)-1] == asEncoder {
		for n := 0; ; n++ {
			if _, err := os.Stdout.Write(annexB(n)); err != nil {
				return
			}
			time.Sleep(time.Second / 30)
		}
	}
	goleak.VerifyTestMain(m)
}

func encoder() *Encoder { return &Encoder{Command: []string{os.Args[0], asEncoder}, FPS: 30} }

// sample returns a unit of [routertest.SampleUnit] without zeros at the ends of its
// NALUs, which no NALU has.
func sample(n int) [][]byte {
	au := routertest.SampleUnit(0, n).Payload
	for i := range au {
		au[i] = bytes.TrimRight(au[i], "\x00")
	}
	return au
}

// annexB returns a sample behind an access unit delimiter.
func annexB(n int) []byte {
	out := []byte{0, 0, 0, 1, 9, 0xf0}
	for _, nalu := range sample(n) {
		out = append(append(out, 0, 0, 0, 1), nalu...)
	}
	return out
}

func TestConformance(t *testing.T) {
	t.Parallel()
	routertest.TestSource(t, func() router.Source { return encoder() }, nil)
}

func TestUnits(t *testing.T) {
	t.Parallel()
	stream := []byte{7, 7, 0}
	for n := range 3 {
		stream = append(stream, annexB(n)...)
	}
	for name, r := range map[string]io.Reader{
		"at once":      bytes.NewReader(stream),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
	} {
		u := newUnits(r)
		for n := range 2 { // nothing tells that the third is complete
			au, err := u.next()
			if want := sample(n); err != nil || !slices.EqualFunc(au, want, bytes.Equal) {
				t.Errorf("%s: unit %d is %x, %v, want %x", name, n, au, err, want)
			}
		}
		if _, err := u.next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v at the end", name, err)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	addr := exampletest.Start(t, func(ctx context.Context, addr string) error { return run(ctx, addr, encoder()) })
	exampletest.Play(t, "rtsp://"+addr+"/encoder", func(f format.Format, _ *rtp.Packet) bool {
		h, ok := f.(*format.H264)
		return ok && len(h.SPS) > 0 && len(h.PPS) > 0
	})
}

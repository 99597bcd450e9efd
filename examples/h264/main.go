// Command h264 publishes what an encoder writes: access units of H264. The encoder
// is a program of its own, here FFmpeg with a test picture, and runs only while
// somebody watches.
//
//	ffplay -rtsp_transport tcp rtsp://localhost:8554/encoder
package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router/media"
)

// Encoder is a source: a command that writes H264 to its standard output, in the
// byte stream format (H.264 annex B), with access unit delimiters and without
// B-frames.
type Encoder struct {
	Command []string
	FPS     int64 // pictures per second: the byte stream does not tell the time
}

// Type implements mtx.Source.
func (*Encoder) Type() string { return "encoder" }

// Run implements mtx.Source. It ends with the encoder, and the router calls it
// again after a pause.
func (e *Encoder) Run(ctx context.Context, run *mtx.SourceRun) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(ctx, e.Command[0], e.Command[1:]...)
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = e.publish(ctx, run, out)
	stop() // kills the encoder
	_ = cmd.Wait()
	return err
}

// publish reads access units and writes them to the path, from the first key frame
// on.
func (e *Encoder) publish(ctx context.Context, run *mtx.SourceRun, r io.Reader) error {
	units := newUnits(r)
	au, err := units.next()
	if err != nil {
		return err
	}
	// Scan finds the parameter sets, so that players know them in advance.
	codec, key := media.Scan(&media.H264{}, au)
	for !key {
		if au, err = units.next(); err != nil {
			return err
		}
		codec, key = media.Scan(codec, au)
	}
	pub, err := run.Publish(ctx, []media.Track{{Codec: codec}}, mtx.PublishOptions{})
	if err != nil {
		return err
	}
	defer pub.Close()
	for n := int64(0); err == nil; n++ {
		pub.Write(0, &media.Unit{PTS: n * int64(codec.ClockRate()) / e.FPS, Payload: au})
		select {
		case <-pub.Done(): // the path was removed
			return pub.Err()
		default:
			au, err = units.next()
		}
	}
	return err
}

// units splits a byte stream into access units.
type units struct {
	nalus *bufio.Scanner
	au    [][]byte // the one that has begun
}

func newUnits(r io.Reader) *units {
	u := &units{nalus: bufio.NewScanner(r)}
	u.nalus.Buffer(nil, 4<<20) // the largest NALU
	u.nalus.Split(splitNALU)
	return u
}

// next returns the NALUs of an access unit. It is known to be complete when the
// delimiter of the next one is there.
func (u *units) next() ([][]byte, error) {
	for u.nalus.Scan() {
		nalu := u.nalus.Bytes()
		if len(nalu) == 0 {
			continue
		}
		if h264.NALUType(nalu[0]&0x1f) != h264.NALUTypeAccessUnitDelimiter {
			u.au = append(u.au, bytes.Clone(nalu)) // the scanner uses its buffer again
			continue
		}
		if au := u.au; len(au) > 0 {
			u.au = nil // what was written belongs to all readers
			return au, nil
		}
	}
	if err := u.nalus.Err(); err != nil {
		return nil, err
	}
	return nil, io.EOF
}

// splitNALU is a [bufio.SplitFunc]: it returns what is between two start codes.
func splitNALU(data []byte, atEOF bool) (advance int, token []byte, err error) {
	startCode := []byte{0, 0, 1}
	begin := bytes.Index(data, startCode)
	if begin < 0 {
		if atEOF {
			return len(data), nil, nil
		}
		return max(0, len(data)-2), nil, nil
	}
	begin += len(startCode)
	length := bytes.Index(data[begin:], startCode)
	if length < 0 {
		if !atEOF {
			return 0, nil, nil // more is needed
		}
		length = len(data) - begin
	}
	return begin + length, bytes.TrimRight(data[begin:begin+length], "\x00"), nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":8554", &Encoder{FPS: 30, Command: []string{
		"ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=640x360:rate=30", "-pix_fmt", "yuv420p",
		"-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "60", "-x264-params", "aud=1", "-f", "h264", "-",
	}})
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string, encoder *Encoder) error {
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{&rtsp.Server{Addr: addr, Transports: []rtsp.Transport{rtsp.TCP}}},
		Paths: []mtx.PathConfig{{
			Name:     "encoder",
			Source:   encoder,
			OnDemand: mtx.OnDemand{Enabled: true, CloseAfter: 5 * time.Second},
		}},
	})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

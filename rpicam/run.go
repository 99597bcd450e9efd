package rpicam

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// lastWords is how long the pipes of a program that ended may take to run dry.
const lastWords = time.Second

var (
	errSecondary = errors.New("a secondary stream is not possible: rpicam-vid gives one stream per camera; " +
		"a smaller copy can be made from the primary stream with ffmpeg and runOnReady")

	// errEnded is not router.ErrStreamClosed: this is not the end of a stream that
	// was read.
	errEnded = errors.New("the publication was ended by the router")
)

// Run implements router.Source.
func (s Source) Run(ctx context.Context, run *router.SourceRun) error {
	return s.run(ctx, run, findEncoder(os.DirFS("/")), stampFile)
}

// CanUpdate implements router.HotSource: the program is started anew with the new
// settings, and the stream goes on, unless its codec is another one.
func (s Source) CanUpdate(next router.Source) bool {
	n, ok := next.(Source)
	return ok && !n.Secondary && (n.Codec == CodecMJPEG) == (s.Codec == CodecMJPEG) && n.Validate() == nil
}

// run runs the program, again whenever the settings change.
func (s Source) run(ctx context.Context, run *router.SourceRun, e encoder, stamps string) error {
	w := &publication{run: run, mjpeg: s.Codec == CodecMJPEG}
	defer w.close()
	for {
		err := s.runOnce(ctx, w, e, stamps)
		changed, ok := errors.AsType[*changedError](err)
		if !ok {
			return err
		}
		run.Log.Info("camera program is started again with other settings")
		s = changed.to
	}
}

// changedError says that there are other settings.
type changedError struct{ to Source }

func (*changedError) Error() string { return "there are other settings" }

func (s Source) runOnce(ctx context.Context, w *publication, e encoder, stamps string) error {
	run := w.run
	if s.Secondary {
		return errSecondary
	}
	if err := s.Validate(); err != nil {
		return err
	}
	program, err := find(s.Program)
	if err != nil {
		return err
	}
	known, err := ask(ctx, program)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	c := circumstances{program: path.Base(program), options: known, encoder: e, pts: stamps}
	if s.TextOverlay != "" {
		if !known.has("post-process-file") {
			run.Log.Warn("the text overlay is not possible: the camera program has no post-processing")
		} else if c.overlay, err = writeOverlay(s.TextOverlay); err != nil {
			return fmt.Errorf("the text overlay cannot be prepared: %w", err)
		} else {
			defer func() { _ = os.Remove(c.overlay) }()
		}
	}
	args, stamped, err := s.arguments(c)
	if err != nil {
		return err
	}
	run.Log.Debug("camera program starts", "program", program, "arguments", args)
	return s.drive(ctx, w, program, args, stamped)
}

// drive runs the program until it ends, or must be ended.
func (s Source) drive(ctx context.Context, w *publication, program string, args []string, stamped bool) error {
	run := w.run
	p, err := start(program, args, stamped, func(line string) {
		run.Log.Debug("camera program says", "line", line)
		if s.TextOverlay != "" && strings.Contains(line, stageMissing) {
			run.Log.Warn("the text overlay is not possible: the camera program lacks its stage annotate_cv " +
				"(on Raspberry Pi OS it is in the package rpicam-apps-opencv-postprocess)")
		}
	})
	if err != nil {
		return fmt.Errorf("%s cannot be started: %w", path.Base(program), err)
	}
	fault, read := w.read(ctx, p, s.interval(), stamped)
	defer func() {
		p.stop(run.Log)
		p.close()
		<-read // nothing is delivered after this
		p.messages.Wait()
	}()
	err = s.watch(ctx, p, w, fault)
	if !errors.Is(err, errProgramEnded) {
		return err
	}
	return s.epitaph(p, path.Base(program), read, fault)
}

var errProgramEnded = errors.New("the program ended")

// watch waits for the end, whatever it is.
func (s Source) watch(ctx context.Context, p *process, w *publication, fault <-chan error) error {
	timeout := s.timeout()
	tick := time.NewTicker(max(timeout/8, time.Millisecond))
	defer tick.Stop()
	seen, since := w.count.Load(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			return errProgramEnded
		case err := <-fault:
			return err
		case next := <-w.run.Updates:
			to, ok := next.(Source)
			if !ok {
				continue
			}
			if s = s.with(to.ReadTimeout); s != to {
				return &changedError{to}
			}
			timeout = s.timeout() // of which the program knows nothing
		case <-tick.C:
		}
		if n := w.count.Load(); n != seen {
			seen, since = n, time.Now()
		} else if time.Since(since) > timeout {
			return fmt.Errorf("the camera delivered no picture for %v%s", timeout, quoted(p.said.String()))
		}
	}
}

func (s Source) with(readTimeout time.Duration) Source {
	s.ReadTimeout = readTimeout
	return s
}

// epitaph tells why a program is gone.
func (s Source) epitaph(p *process, name string, read <-chan struct{}, fault <-chan error) error {
	p.killGroup() // others of its group may hold the pipes
	t := time.NewTimer(lastWords)
	defer t.Stop()
	said := make(chan struct{})
	go func() { p.messages.Wait(); close(said) }()
	for _, c := range []<-chan struct{}{read, said} {
		select {
		case <-c:
		case <-t.C:
			t.Reset(0)
		}
	}
	_ = p.pipe.Close()
	<-said
	select {
	case err := <-fault:
		return err
	default:
	}
	how := "it ended by itself"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("%s is gone: %s%s", name, how, quoted(p.said.String()))
}

// quoted is what a program said, as the end of a sentence.
func quoted(said string) string {
	if said == "" {
		return ""
	}
	return fmt.Sprintf("; it said %q", said)
}

// publication publishes the pictures of the program, also when it is started again.
type publication struct {
	run   *router.SourceRun
	mjpeg bool
	line  timeline
	pub   *router.Publisher // nil: no key frame has come
	count atomic.Int64      // of pictures
}

// read reads pictures and time stamps. The first fault is sent; done is closed
// when nothing is read anymore.
func (w *publication) read(ctx context.Context, p *process, interval time.Duration, stamped bool) (fault chan error, done chan struct{}) {
	w.line.interval = interval
	a := &assembler{now: time.Now, stamped: stamped, line: &w.line}
	a.deliver = func(pts int64, ntp time.Time, payload [][]byte) error { return w.deliver(ctx, pts, ntp, payload) }
	if w.mjpeg {
		a.split = newJPEGs(func(b []byte) { a.picture([][]byte{b}) })
	} else {
		a.split = newAnnexB(a.picture)
	}
	fault, done = make(chan error, 2), make(chan struct{})
	var readers sync.WaitGroup
	report := func(err error) {
		if err != nil {
			fault <- err
		}
	}
	readers.Go(func() {
		report(a.readPictures(p.pictures))
		_, _ = io.Copy(io.Discard, p.pictures) // until the program ends, which it must not be kept from
	})
	if stamped {
		readers.Go(func() { report(a.readStamps(p.stamps, p.pictures, w.run.Log)) })
	}
	go func() { readers.Wait(); close(done) }()
	return fault, done
}

// deliver publishes a picture.
func (w *publication) deliver(ctx context.Context, pts int64, ntp time.Time, payload [][]byte) error {
	if w.pub == nil {
		codec := w.codec(payload)
		if codec == nil {
			return nil
		}
		pub, err := w.run.Publish(ctx, []media.Track{{Codec: codec}}, router.PublishOptions{})
		if err != nil {
			return err
		}
		w.pub = pub
	}
	if w.pub.Err() != nil {
		return errEnded
	}
	w.pub.Write(0, &media.Unit{PTS: pts, NTP: ntp, Payload: payload})
	w.count.Add(1)
	return nil
}

// codec returns nil if the stream cannot begin with this picture.
func (w *publication) codec(payload [][]byte) media.Codec {
	if w.mjpeg {
		return &media.MJPEG{}
	}
	c := &media.H264{}
	for _, nalu := range payload {
		switch h264.NALUType(nalu[0] & 0x1F) {
		case h264.NALUTypeSPS:
			c.SPS = nalu
		case h264.NALUTypePPS:
			c.PPS = nalu
		}
	}
	if c.SPS == nil || c.PPS == nil || !h264.IsRandomAccess(payload) {
		return nil
	}
	return c
}

func (w *publication) close() {
	if w.pub != nil {
		w.pub.Close()
	}
}

package hls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gohlslib/v2"

	"github.com/org/mtx/protocol/bridge/hlsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

const (
	// maxBadUnits is how many units in a row may fail before a muxer is given up.
	maxBadUnits = 50

	// maxJump is how far time stamps may run away from the clock at once.
	maxJump = 10 * time.Second

	// maxDiskPause bounds the pause between attempts to write to a disk that is
	// full or gone.
	maxDiskPause = 16 * time.Second

	// warnPeriod is the shortest time between two warnings of the same kind.
	warnPeriod = 5 * time.Second
)

// instance is a set of gohlslib muxers for one stream with one set of codec
// parameters.
type instance struct {
	m       *muxer
	layout  hlsbridge.Layout
	muxers  []*gohlslib.Muxer
	tracks  map[int][]target // by index in the stream
	cut     time.Duration    // when the segment began, or the last key frame was asked for
	leading map[int]bool     // tracks whose units can complete parts and segments
	rates   map[int]*rate    // of audio that is not in the segments of the video
	stream  *router.Stream
	dir     string

	line   *timeline
	place  place
	prefix atomic.Pointer[string] // of the names of its files

	origin  time.Duration
	latest  time.Duration // time of the last unit, from origin
	started bool
	codecs  map[int]media.Codec // of video tracks, when they began
	clocks  map[int]clock
	bad     int
	warned  time.Time

	version atomic.Uint64 // changes whenever playlists may have changed

	waited  atomic.Bool // next is not nil
	cacheMu sync.Mutex
	next    chan struct{} // closed when version changes; nil if nobody waits
	answers map[string]*answer
	lists   map[string]edge // media playlists that were asked for
	blocked int             // answers that are being made for far requests
	swept   time.Time
	fetches sync.WaitGroup
	done    chan struct{}
	left    *rest // what viewers get when it is over
}

// target is where a track goes.
type target struct {
	muxer *gohlslib.Muxer
	track *hlsbridge.Track
}

// clock compares time stamps with the clock of the system.
type clock struct {
	pts  time.Duration
	when time.Time
}

func newInstance(m *muxer, stream *router.Stream) (*instance, error) {
	in := &instance{
		m: m, stream: stream, layout: hlsbridge.NewLayout(stream.Tracks(), m.Variant),
		tracks: map[int][]target{}, leading: map[int]bool{}, codecs: map[int]media.Codec{}, clocks: map[int]clock{},
		rates: map[int]*rate{}, lists: map[string]edge{}, answers: map[string]*answer{}, done: make(chan struct{}),
	}
	in.line = m.timeline(m.path)
	in.place = in.line.begin(shapeOf(stream.Tracks(), in.layout))
	variant, _ := m.Variant.Muxer()
	for n, tracks := range in.layout.Muxers {
		g := &gohlslib.Muxer{
			Tracks:             hlsbridge.Tracks(tracks),
			Variant:            variant,
			SegmentCount:       m.SegmentCount,
			SegmentMinDuration: m.SegmentDuration,
			PartMinDuration:    m.PartDuration,
			SegmentMaxSize:     m.SegmentMaxSize,
			OnEncodeError:      func(err error) { m.log.Debug("muxer", "warning", err) },
		}
		if m.Directory != "" && n == 0 {
			in.dir = filepath.Join(m.Directory, filepath.FromSlash(m.path))
			if err := os.MkdirAll(in.dir, 0o755); err != nil { //nolint:gosec // for other servers to read
				in.close()
				return nil, fmt.Errorf("HLS directory: %w", err)
			}
			g.Directory = in.dir
		}
		if err := g.Start(); err != nil {
			in.close()
			return nil, err
		}
		in.muxers = append(in.muxers, g)
		in.leading[tracks[0].Index] = true // video comes first
		for _, t := range tracks {
			in.tracks[t.Index] = append(in.tracks[t.Index], target{g, t})
			if m.Variant != MPEGTS && isVideo(stream, tracks[0]) && !isVideo(stream, t) {
				in.rates[t.Index] = &rate{}
			}
		}
	}
	return in, nil
}

func isVideo(s *router.Stream, t *hlsbridge.Track) bool {
	return s.Tracks()[t.Index].Codec.Kind() == media.Video
}

// indexes returns the tracks that are wanted.
func (in *instance) indexes() []int {
	var out []int
	for i := range in.tracks {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// close ends what waits, and removes what is left on disk.
func (in *instance) close() {
	prefix := ""
	if p := in.prefix.Load(); p != nil {
		prefix = *p
	}
	in.line.over(in.latest, prefix, in.left) // before anybody is told
	in.cacheMu.Lock()
	close(in.done)
	in.cacheMu.Unlock()
	for _, g := range in.muxers {
		g.Close()
	}
	in.fetches.Wait()
	in.cacheMu.Lock()
	in.answers = nil
	in.cacheMu.Unlock()
	if in.dir == "" {
		return
	}
	entries, _ := os.ReadDir(in.dir)
	for _, e := range entries {
		if ownFile.MatchString(e.Name()) {
			_ = os.Remove(filepath.Join(in.dir, e.Name()))
		}
	}
	_ = os.Remove(in.dir) // fails if there is something else in it: folders of other paths, recordings
}

// ownFile matches what the library writes into a directory.
var ownFile = regexp.MustCompile(`^(index|[a-z]+[0-9]*_stream)\.m3u8$|^[0-9a-f]{12}_[a-z]+[0-9]*_(init|(seg|part)[0-9]+)\.(mp4|ts)$`)

// feed writes the stream to the muxers until it ends, or they must be replaced.
func (in *instance) feed(ctx context.Context, sub *router.Subscription) error {
	for {
		track, u, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		if err := in.write(track, u); err != nil {
			return err
		}
	}
}

func (in *instance) write(track int, u *media.Unit) error {
	codec := in.stream.Tracks()[track].Codec
	pts := media.Duration(u.PTS, codec.ClockRate())
	if !in.started {
		in.started, in.origin = true, pts-in.line.start()
	}
	if err := in.check(track, codec, u, pts); err != nil {
		return err
	}
	in.latest = max(in.latest, pts-in.origin)
	in.keepCutting(track, codec, u, pts)
	if r := in.rates[track]; r != nil {
		r.add(u, pts, in.m.SegmentDuration, in.partDuration())
	}
	for _, t := range in.tracks[track] {
		if err := t.track.Write(t.muxer, codec, u, in.origin); err != nil {
			if err := in.failed(err); err != nil {
				return err
			}
			continue
		}
		in.bad = 0
	}
	if in.leading[track] && (u.RandomAccess || in.m.Variant == LowLatency) {
		in.version.Add(1)
		if in.waited.Load() {
			in.cacheMu.Lock()
			close(in.next)
			in.next = nil
			in.waited.Store(false)
			in.cacheMu.Unlock()
		}
	}
	return nil
}

// partDuration is how long fragments are, at least.
func (in *instance) partDuration() time.Duration {
	if in.m.Variant == LowLatency {
		return in.m.PartDuration
	}
	return in.m.SegmentDuration
}

// keepCutting asks publishers that send key frames only on demand, as browsers
// do, for one where a segment can end.
func (in *instance) keepCutting(track int, codec media.Codec, u *media.Unit, pts time.Duration) {
	switch {
	case !in.leading[track] || codec.Kind() != media.Video:
	case u.RandomAccess:
		in.cut = pts
	case pts-in.cut >= in.m.SegmentDuration:
		in.cut = pts // it is asked for again after as long
		in.stream.RequestKeyFrame()
	}
}

// nextVersion returns a channel that is closed when playlists may have changed.
func (in *instance) nextVersion() <-chan struct{} {
	in.cacheMu.Lock()
	defer in.cacheMu.Unlock()
	if in.next == nil {
		in.next = make(chan struct{})
		in.waited.Store(true)
	}
	return in.next
}

// check finds out whether the muxers can go on with a unit.
func (in *instance) check(track int, codec media.Codec, u *media.Unit, pts time.Duration) error {
	now := time.Now()
	if c, ok := in.clocks[track]; ok {
		if jump := pts - c.pts - now.Sub(c.when); jump > maxJump || jump < -maxJump {
			return fmt.Errorf("%w: time stamps jumped by %v", errRestart, jump.Round(time.Millisecond))
		}
	}
	in.clocks[track] = clock{pts, now}
	if codec.Kind() != media.Video || !u.RandomAccess {
		return nil
	}
	if old, ok := in.codecs[track]; ok && old != codec && changed(old, codec) {
		return fmt.Errorf("%w: the parameters of the codec changed", errRestart)
	}
	in.codecs[track] = codec
	return nil
}

// changed tells whether decoders must be told about new parameters out of band.
func changed(old, now media.Codec) bool {
	switch a := old.(type) {
	case *media.H264:
		b, ok := now.(*media.H264)
		return !ok || a.SPS != nil && !bytes.Equal(a.SPS, b.SPS)
	case *media.H265:
		b, ok := now.(*media.H265)
		return !ok || a.SPS != nil && !bytes.Equal(a.SPS, b.SPS)
	case *media.AV1:
		b, ok := now.(*media.AV1)
		return !ok || a.SequenceHeader != nil && !bytes.Equal(a.SequenceHeader, b.SequenceHeader)
	case *media.VP9:
		b, ok := now.(*media.VP9)
		return !ok || a.Width != 0 && *a != *b
	}
	return false
}

// failed judges an error of a muxer. After some of them a muxer stays broken.
func (in *instance) failed(err error) error {
	in.bad++
	if in.bad >= maxBadUnits || isDiskError(err) || strings.Contains(err.Error(), "maximum segment size") {
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	if time.Since(in.warned) >= warnPeriod {
		in.warned = time.Now()
		in.m.log.Warn("a unit was left out", "error", err)
	}
	return nil
}

var (
	// errNotFound: there is no such file, or not anymore.
	errNotFound = errors.New("no such file")

	// errGone: there was such a file before the stream started again.
	errGone = errors.New("the stream has started again")
)

package record

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// childArg makes the program of the tests a recorder that can be killed.
const childArg = "record-child"

// child records the path testPath, faster than in real time, for as long as it
// lives. After each bit it prints how many parts are on disk. Arguments are the
// pattern, the format and a file of MPEG-TS which is recorded over and over; if
// there is none, the sample tracks are.
func child(args []string) {
	if err := runChild(args[0], Format(args[1]), args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runChild(pattern string, format Format, file string) error {
	ctx := context.Background()
	sink := Sink{Pattern: pattern, Format: format, PartDuration: 100 * time.Millisecond, SegmentDuration: 2 * time.Second, State: &State{}}
	r, err := router.New(router.Config{
		QueueSize: 1 << 16,
		Paths:     []router.PathConfig{{Name: testPath, UseAbsoluteTimestamp: true, Sinks: []router.Sink{sink}}},
	})
	if err != nil {
		return err
	}
	if err := r.Start(ctx); err != nil {
		return err
	}
	tracks, units, err := childUnits(file)
	if err != nil {
		return err
	}
	pub, err := r.Publish(ctx, testPath, tracks)
	if err != nil {
		return err
	}
	for sink.State.Stats().Recorders == 0 {
		time.Sleep(time.Millisecond)
	}
	for shift := time.Duration(0); ; shift += materialDuration + time.Second { // audio is a little longer
		for i, u := range units {
			rate := tracks[u.track].Codec.ClockRate()
			v := *u.unit
			v.PTS += media.Ticks(shift, rate)
			v.NTP = epoch.Add(media.Duration(v.PTS, rate))
			pub.Write(u.track, &v)
			if i%10 == 0 {
				fmt.Println(sink.State.Stats().Parts)
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// materialUnit is a unit of a stream that lasts materialDuration.
type materialUnit struct {
	track int
	unit  *media.Unit
}

const materialDuration = 5 * time.Second

func childUnits(file string) (tracks []media.Track, units []materialUnit, err error) {
	if file == "" {
		for n := range 5 * gop {
			units = append(units, materialUnit{0, picture(n, 1000)}, materialUnit{1, sound(2 * n)}, materialUnit{1, sound(2*n + 1)})
		}
		return avTracks(), units, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	d := mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{Tracks: func(t []media.Track) (func(int, *media.Unit), error) {
		tracks = t
		return func(track int, u *media.Unit) { units = append(units, materialUnit{track, u}) }, nil
	}})
	_, err = d.Write(b)
	if err == nil {
		err = d.Close()
	}
	return tracks, units, err
}

// killRecorder runs a recorder, kills it at a random moment, and returns the
// segments and how many parts were safe before.
func killRecorder(t *testing.T, format Format, file string, rnd *rand.Rand) (segments []Segment, parts int) {
	t.Helper()
	pattern := filepath.Join(t.TempDir(), "%path", "%s-%f")
	cmd := exec.CommandContext(t.Context(), os.Args[0], childArg, pattern, string(format), file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var end <-chan time.Time
	killed := false
	for lines.Scan() {
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			parts = n
		}
		if parts > 0 && end == nil {
			end = time.After(time.Duration(rnd.IntN(300_000)) * time.Microsecond)
		}
		select {
		case <-end:
			if !killed {
				_, killed = cmd.Process.Kill(), true
			}
		default:
		}
	}
	_, _ = io.Copy(io.Discard, out)
	if cmd.Wait() == nil || !killed {
		t.Fatal("the recorder ended by itself")
	}
	segments, err = Find(t.Context(), nil, mustPattern(t, pattern, format), testPath)
	if err != nil {
		t.Fatal(err)
	}
	return segments, parts
}

// After a crash every segment can be read, and nothing is missing that was
// written.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := time.Now().UnixNano()
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	t.Logf("seed %d", seed)
	for i := range 20 {
		format := []Format{FMP4, MPEGTS}[i%2]
		list, safe := killRecorder(t, format, "", rnd)
		parts := 0
		for _, g := range list {
			b, err := os.ReadFile(g.Name)
			if err != nil {
				t.Fatal(err)
			}
			if format == MPEGTS {
				if first, last := transportTimes(t, g.Name); last[0] <= first[0] {
					t.Errorf("%s has no picture", g.Name)
				}
				continue
			}
			m, _ := parseMovie(t, b)
			parts += len(m.parts)
		}
		if len(list) == 0 || format == FMP4 && parts < safe {
			t.Errorf("%d segments with %d parts, %d were written", len(list), parts, safe)
		}
	}
}

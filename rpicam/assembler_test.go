package rpicam

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// assembled is an assembler with what it delivered, as time stamps in units of
// 10 ms.
func assembled(stamped bool) (*assembler, *[]int64) {
	out := &[]int64{}
	a := &assembler{
		now: time.Now, stamped: stamped, line: &timeline{interval: 10 * time.Millisecond},
		deliver: func(pts int64, _ time.Time, _ [][]byte) error { *out = append(*out, pts/900); return nil },
	}
	a.split = newAnnexB(a.picture)
	return a, out
}

// The order in which pictures and stamps are seen does not matter.
func TestAssembler(t *testing.T) {
	t.Parallel()
	for order, want := range map[string][]int64{
		"p s p s p s": {0, 1, 2}, // complete as soon as the stamp is there
		"p p s s p s": {0, 1, 2},
		"p p p s s s": {0, 1, 2},
		"p s p p s s": {0, 1, 2},
		"c s p s p s": {0, 1}, // a buffer of parameters has a stamp that is dropped
		"p s s p":     {0},    // so has nothing at all
		"p p p p":     nil,    // they wait for stamps
	} {
		a, out := assembled(true)
		n, stamps := 0, 0
		for _, step := range order {
			var err error
			switch step {
			case 'p':
				err = a.take(testAU(n))
				n++
			case 'c':
				err = a.take(slicesJoin(code, testSPS, code, testPPS))
			case 's':
				err = a.takeStamp(time.Duration(stamps) * 10 * time.Millisecond)
				stamps++
			}
			if err != nil {
				t.Fatalf("%s: %v", order, err)
			}
		}
		if !slices.Equal(*out, want) {
			t.Errorf("%s: %v, want %v", order, *out, want)
		}
	}
}

// A program that writes no stamps is believed not to, after a while.
func TestAssemblerWithoutStamps(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		every   time.Duration
		stamps  int // that come
		waiting int // pictures that wait when there is hope yet
	}{
		"never":    {100 * time.Millisecond, 0, int(maxFirstWait / (100 * time.Millisecond))},
		"no more":  {100 * time.Millisecond, 1, int(maxWait / (100 * time.Millisecond))},
		"pictures": {time.Millisecond, 1, maxWaiting - 1},
	} {
		a, out := assembled(true)
		now := time.Now()
		a.now = func() time.Time { return now }
		last := tc.stamps + tc.waiting
		for n := range last + 5 {
			if n == last && (len(*out) != tc.stamps || !a.stamped) {
				t.Errorf("%s: gave up after %d pictures", name, n)
			}
			now = now.Add(tc.every)
			if err := a.take(testAU(n)); err != nil {
				t.Fatal(err)
			}
			if n < tc.stamps {
				if err := a.takeStamp(0); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(*out) != last+4 || a.stamped || !slices.IsSorted(*out) {
			t.Errorf("%s: %d were delivered: %v", name, len(*out), *out)
		}
	}
}

func TestAssemblerStopsAtAnError(t *testing.T) {
	t.Parallel()
	a, _ := assembled(false)
	gone, calls := errors.New("gone"), 0
	a.deliver = func(int64, time.Time, [][]byte) error { calls++; return gone }
	if err := a.take(slicesJoin(testAU(0), testAU(1), testAU(2))); !errors.Is(err, gone) {
		t.Fatal(err)
	}
	if err := a.take(testAU(3)); !errors.Is(err, gone) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// Through pipes, each picture is delivered when its stamp is written, before the
// next one begins.
func TestStampEndsPicture(t *testing.T) {
	t.Parallel()
	var ends [4]*os.File
	for i := 0; i < len(ends); i += 2 {
		var err error
		if ends[i], ends[i+1], err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
	}
	pictures, camera, stamps, watch := ends[0], ends[1], ends[2], ends[3]
	a, _ := assembled(true)
	got := make(chan int64, 1)
	a.deliver = func(pts int64, _ time.Time, _ [][]byte) error { got <- pts / 900; return nil }
	var readers sync.WaitGroup
	readers.Go(func() { _ = a.readPictures(pictures) })
	readers.Go(func() { _ = a.readStamps(stamps, pictures, slog.New(slog.DiscardHandler)) })
	for n := range 200 {
		_, _ = camera.Write(testAU(n))
		_, _ = fmt.Fprintf(watch, "%d.000\n", 10*n)
		select {
		case pts := <-got:
			if pts != int64(n) {
				t.Fatalf("picture %d has time %d", n, pts)
			}
		case <-time.After(patience):
			t.Fatalf("picture %d waits", n)
		}
	}
	_, _ = camera.Close(), watch.Close()
	readers.Wait()
	_, _ = pictures.Close(), stamps.Close()
}

func TestSaying(t *testing.T) {
	t.Parallel()
	s := &saying{}
	for _, c := range []struct{ line, want string }{
		{"INFO ready", "INFO ready"},
		{"ERROR: *** no ***", "ERROR: *** no ***"},
		{"bye", "ERROR: *** no ***"},
	} {
		if s.add(c.line); s.String() != c.want {
			t.Errorf("after %q: %q", c.line, s)
		}
	}
	for range recent {
		s.add("fine again")
	}
	if s.String() != "fine again" {
		t.Errorf("an old error: %q", s)
	}
}

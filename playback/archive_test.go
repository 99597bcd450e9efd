package playback

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

func TestArchive(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	at := filmStart.Add(time.Minute)
	g.store("b/cam", at, []byte("2"))
	g.store("b/cam", filmStart, []byte("1"))
	g.store("a", filmStart, []byte("3"))
	arch := &Archive{Recordings: []Recording{{"all_others", g.pattern}}}
	list, err := arch.List(t.Context())
	if err != nil || len(list) != 2 || list[0].Path != "a" || list[1].Path != "b/cam" || len(list[1].Starts) != 2 || !list[1].Starts[0].Equal(filmStart) {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := arch.DeleteSegment(t.Context(), "b/cam", filmStart.Add(time.Second)); !errors.Is(err, ErrNoSegment) {
		t.Errorf("a segment that is not there: %v", err)
	}
	if err := arch.DeleteSegment(t.Context(), "../cam", filmStart); err == nil {
		t.Error("a path that leads elsewhere")
	}
	if err := arch.DeleteSegment(t.Context(), "b/cam", filmStart); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(g.pattern.Name("b/cam", filmStart)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
	got, err := arch.Get(t.Context(), "b/cam")
	if err != nil || len(got.Starts) != 1 || !got.Starts[0].Equal(at) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := arch.Get(t.Context(), "never"); err != nil || len(got.Starts) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	// a pattern that leads nowhere
	lost, err := record.ParsePattern(g.pattern.Name("a", filmStart)+"/%path/%s", record.FMP4)
	if err != nil {
		t.Fatal(err)
	}
	arch.Recordings = append(arch.Recordings, Recording{"lost", lost})
	if list, err := arch.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	none := &Archive{}
	if _, err := none.Get(t.Context(), "cam"); err == nil {
		t.Error("a path that is not configured")
	}
}

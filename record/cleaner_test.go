package record

import (
	"context"
	"errors"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// shelf is a store that knows names and sizes only.
type shelf struct {
	Local

	files    map[string]Entry
	capacity int64
	broken   string // cannot be removed
}

func (s *shelf) add(p Pattern, path string, start, end time.Time, size int64) string {
	name := p.Name(path, start)
	s.files[name] = Entry{name, size, end}
	return name
}

func (s *shelf) List(_ context.Context, root string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(s.files)) {
			if strings.HasPrefix(name, root+string(filepath.Separator)) && !yield(s.files[name], nil) {
				return
			}
		}
	}
}

func (s *shelf) Remove(_, name string) error {
	if name == s.broken {
		return errors.New("permission denied")
	}
	delete(s.files, name)
	return nil
}

func (s *shelf) Free(string) (uint64, error) {
	free := s.capacity
	for _, e := range s.files {
		free -= e.Size
	}
	return uint64(max(free, 0)), nil
}

// left returns the segments that are still there, as "path hour".
func (s *shelf) left(t testing.TB, patterns ...Pattern) (out []string) {
	t.Helper()
	for name := range s.files {
		for _, p := range patterns {
			if path, start, ok := p.Match(name); ok {
				out = append(out, path+" "+start.Format("15"))
			}
		}
	}
	slices.Sort(out)
	return out
}

const gb = 1 << 30

func TestCleaner(t *testing.T) {
	t.Parallel()
	day := time.Date(2024, 5, 6, 0, 0, 0, 0, time.Local)
	hour := func(n int) time.Time { return day.Add(time.Duration(n) * time.Hour) }
	rec := filepath.Join("rec", "%path", "%s")
	other := filepath.Join("other", "%path", "%s")
	// each path has a segment of 1 GB for every hour from 10 to 14, which is still
	// being written
	all := []string{"a 10", "a 11", "a 12", "a 13", "a 14", "b 10", "b 11", "b 12", "b 13", "b 14"}
	without := func(gone ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(gone, s) })
	}
	for _, c := range []struct {
		name string
		c    Cleaner
		now  time.Time
		want []string
	}{
		{"nothing", Cleaner{Policies: []Policy{{Path: router.AllOthers, Pattern: rec}}}, hour(1000), all},
		{"age of the end", Cleaner{Policies: []Policy{{Path: "a", Pattern: rec, DeleteAfter: 2 * time.Hour}}}, hour(14), without("a 10")},
		{"a little later", Cleaner{Policies: []Policy{{Path: "a", Pattern: rec, DeleteAfter: 2 * time.Hour}}}, hour(14).Add(time.Second), without("a 10", "a 11")},
		{"open stays", Cleaner{Policies: []Policy{{Path: "~^[ab]$", Pattern: rec, DeleteAfter: time.Second}}}, hour(1000), []string{"a 14", "b 14"}},
		{"name before expression", Cleaner{Policies: []Policy{
			{Path: router.AllOthers, Pattern: rec, DeleteAfter: 1}, {Path: "~b", Pattern: rec, DeleteAfter: 1}, {Path: "b", Pattern: rec},
		}}, hour(1000), []string{"a 14", "b 10", "b 11", "b 12", "b 13", "b 14"}},
		{"expression before others", Cleaner{Policies: []Policy{
			{Path: "all", Pattern: rec, DeleteAfter: 1}, {Path: "~^b", Pattern: rec},
		}}, hour(1000), []string{"a 14", "b 10", "b 11", "b 12", "b 13", "b 14"}},
		{"another folder", Cleaner{Policies: []Policy{{Path: "a", Pattern: other, DeleteAfter: 1}}}, hour(1000), all},
		{"size of each path", Cleaner{Policies: []Policy{{Path: "~.", Pattern: rec, MaxSize: 3 * gb}}}, hour(14), without("a 10", "a 11", "b 10", "b 11")},
		{"size of one path", Cleaner{Policies: []Policy{{Path: "b", Pattern: rec, MaxSize: 5*gb - 1}}}, hour(14), without("b 10")},
		{"size of all", Cleaner{MaxSize: 7 * gb, Policies: []Policy{{Path: "~.", Pattern: rec}}}, hour(14), without("a 10", "a 11", "b 10")},
		{"tiny size", Cleaner{MaxSize: 1, Policies: []Policy{{Path: "~.", Pattern: rec}}}, hour(14), []string{"a 14", "b 14"}},
		// 12 GB are there, 2 are free
		{"free space is enough", Cleaner{Policies: []Policy{{Path: "~.", Pattern: rec, MinFreeSpace: gb}}}, hour(14), all},
		{"free space", Cleaner{Policies: []Policy{{Path: "a", Pattern: rec, MinFreeSpace: 3 * gb}, {Path: "b", Pattern: rec}}}, hour(14), without("a 10", "b 10")},
		{"free space cannot be", Cleaner{Policies: []Policy{{Path: "~.", Pattern: rec, MinFreeSpace: 100 * gb}}}, hour(14), []string{"a 14", "b 14"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			disk := &shelf{files: map[string]Entry{}, capacity: 12 * gb}
			p, ts := mustPattern(t, rec, FMP4), mustPattern(t, rec, MPEGTS)
			c.c.Store, c.c.State = disk, &State{}
			for n := 10; n <= 14; n++ {
				name := disk.add(p, "a", hour(n), hour(n+1), gb)
				nameTS := disk.add(ts, "b", hour(n), hour(n+1), gb)
				if n == 14 {
					c.c.State.opened(name)
					c.c.State.opened(nameTS)
				}
			}
			disk.files["rec/a/notes.txt"] = Entry{"rec/a/notes.txt", 0, hour(0)}
			var log logged
			if err := c.c.Clean(t.Context(), c.now, log.logger()); err != nil {
				t.Fatal(err)
			}
			if got := disk.left(t, p, ts); !slices.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
			if _, ok := disk.files["rec/a/notes.txt"]; !ok {
				t.Error("a file of somebody else is gone")
			}
		})
	}
}

// Recordings of one path are in a folder of those of another: each counts once.
func TestCleanerWithFoldersInsideOfOthers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	disk := &shelf{files: map[string]Entry{}, capacity: 12}
	outer, inner := mustPattern(t, filepath.Join("rec", "%path", "%s"), FMP4), mustPattern(t, filepath.Join("rec", "special", "%path", "%s"), FMP4)
	for n := range 5 {
		disk.add(outer, "a", now.Add(time.Duration(n)*time.Hour), now, 1)
		disk.add(inner, "b", now.Add(time.Duration(n)*time.Hour), now, 1)
	}
	for _, rules := range [][]Policy{
		{{Path: "a", Pattern: outer.String(), MaxSize: 5}, {Path: "b", Pattern: inner.String(), MaxSize: 5, MinFreeSpace: 1}},
		{{Path: "b", Pattern: inner.String(), MaxSize: 5, MinFreeSpace: 1}, {Path: "a", Pattern: outer.String(), MaxSize: 5}},
	} {
		c := &Cleaner{Policies: rules, Store: disk, MaxSize: 10}
		if err := c.Clean(t.Context(), now, (&logged{}).logger()); err != nil {
			t.Fatal(err)
		}
		if len(disk.files) != 10 {
			t.Errorf("%d segments are left", len(disk.files))
		}
	}
	c := &Cleaner{Policies: []Policy{{Path: "a", Pattern: outer.String()}, {Path: "b", Pattern: inner.String(), MinFreeSpace: 2}}, Store: disk}
	if err := c.Clean(t.Context(), now, (&logged{}).logger()); err != nil {
		t.Fatal(err)
	}
	if a, b := len(disk.left(t, outer)), len(disk.left(t, inner)); len(disk.files) != 8 || b != 3 {
		t.Errorf("%d segments are left, outside %d, inside %d", len(disk.files), a, b)
	}
}

func TestCleanerGoesOnAfterErrors(t *testing.T) {
	t.Parallel()
	now := time.Now()
	disk := &shelf{files: map[string]Entry{}}
	p := mustPattern(t, filepath.Join("rec", "%path", "%s"), FMP4)
	for n := range 3 {
		disk.add(p, "a", now.Add(time.Duration(n)*time.Second), now, 1)
	}
	disk.broken = p.Name("a", now)
	stale, fresh := p.Name("a", now.Add(time.Hour))+unpublished, p.Name("a", now.Add(2*time.Hour))+unpublished
	disk.files[stale] = Entry{stale, 1, now.Add(-time.Hour)}
	disk.files[fresh] = Entry{fresh, 1, now.Add(time.Minute)}
	c := &Cleaner{Policies: []Policy{{Path: "a", Pattern: p.String(), DeleteAfter: time.Second}}, Store: disk}
	var log logged
	err := c.Clean(t.Context(), now.Add(time.Minute), log.logger())
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("error %v", err)
	}
	if len(disk.files) != 2 || disk.files[fresh].Name == "" {
		t.Errorf("left: %v", disk.files)
	}
}

func TestCleanerServes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := mustPattern(t, filepath.Join(dir, "%path", "%s"), FMP4)
	name := p.Name("cam", time.Now())
	newCleaner := func() router.Protocol {
		return &Cleaner{Policies: []Policy{{Path: "cam", Pattern: p.String(), DeleteAfter: time.Millisecond, MinFreeSpace: 1}}, Interval: time.Millisecond}
	}
	routertest.TestProtocol(t, newCleaner)
	writeFile(t, Local{}, name, "old")
	routertest.New(t, router.Config{Protocols: []router.Protocol{newCleaner()}})
	routertest.Eventually(t, "the segment is deleted", func() bool {
		list, err := Find(t.Context(), nil, p, "cam")
		return err == nil && len(list) == 0
	})
}

func TestCleanerRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		c    Cleaner
		want string
	}{
		{Cleaner{MaxSize: -1}, "negative"},
		{Cleaner{Policies: []Policy{{Path: "a", MaxSize: -1}}}, `"a"`},
		{Cleaner{Policies: []Policy{{Path: "a", Pattern: "x"}}}, "%path"},
		{Cleaner{Policies: []Policy{{Path: "~("}}}, `"~("`},
	} {
		if _, err := router.New(router.Config{Protocols: []router.Protocol{&c.c}}); err != nil {
			t.Error(err)
		}
		if err := c.c.Clean(t.Context(), time.Now(), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.c, err)
		}
	}
}

// Recorders stop in front of the minimum, and go on when there is room.
func TestMinFreeSpace(t *testing.T) {
	t.Parallel()
	disk := &measuredStore{}
	disk.free.Store(1000)
	st := newStudio(t, Sink{Store: disk, MinFreeSpace: 1 << 20, PartDuration: 200 * time.Millisecond}, avTracks())
	st.play(0, 3*time.Second)
	st.settle(func(s Stats) bool { return s.DroppedParts > 0 })
	if len(st.segments()) != 0 {
		t.Error("something was written")
	}
	disk.free.Store(1 << 30)
	st.play(3*time.Second, 3*time.Second)
	st.settle(func(s Stats) bool { return s.Parts > 5 })
	for _, g := range st.stop() {
		parseFile(t, g.Name)
	}
}

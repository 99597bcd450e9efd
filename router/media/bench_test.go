package media

import (
	"testing"
)

// settled returns the units of a sample and the codec with their parameters.
func settled(tb testing.TB, s sample) (Codec, [][][]byte) {
	tb.Helper()
	units := s.units(tb)
	c := s.codec
	for _, u := range units {
		c, _ = Scan(c, u)
	}
	return c, units
}

func TestScanDoesNotAllocate(t *testing.T) {
	for _, s := range samples() {
		c, units := settled(t, s)
		if n := testing.AllocsPerRun(20, func() {
			for _, u := range units {
				if got, _ := Scan(c, u); got != c {
					t.Error("codec changed")
				}
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations for %d unchanged units", s.file, n, len(units))
		}
	}
}

func BenchmarkScan(b *testing.B) {
	for _, s := range samples() {
		c, units := settled(b, s)
		for i, name := range []string{"key", "delta"} {
			b.Run(s.file+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					Scan(c, units[i])
				}
			})
		}
	}
}

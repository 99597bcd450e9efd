package router_test

import (
	"fmt"
	"testing"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// BenchmarkFanOut writes units and takes them out of the queues. ns/reader is
// the time per unit and reader.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("subscriptions=%d", n), func(b *testing.B) {
			pub := benchStream(b)
			subs := make([]*router.Subscription, n)
			for i := range subs {
				subs[i] = subscribe(b, pub.Stream(), router.SubscribeOptions{})
			}
			u, ctx := routertest.SampleUnit(0, 0), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				pub.Write(0, u)
				for _, s := range subs {
					if _, _, err := s.Next(ctx); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/reader")
		})
	}
	b.Run("tap", func(b *testing.B) {
		pub := benchStream(b)
		calls := 0
		pub.Stream().Tap(router.TapOptions{}, func(int, *media.Unit) { calls++ })
		u := routertest.SampleUnit(0, 0)
		b.ReportAllocs()
		for b.Loop() {
			pub.Write(0, u)
		}
		if calls < b.N {
			b.Fatalf("%d calls of %d", calls, b.N)
		}
	})
}

func benchStream(b *testing.B) *router.Publisher {
	b.Helper()
	return video(b, start(b, router.PathConfig{Name: "cam"}), "cam")
}

// BenchmarkAddPath changes one path among many.
func BenchmarkAddPath(b *testing.B) {
	paths := make([]router.PathConfig, 1000)
	for i := range paths {
		paths[i].Name = fmt.Sprintf("cam%d", i)
	}
	r := start(b, paths...)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := r.AddPath(b.Context(), router.PathConfig{Name: "x", MaxReaders: n % 5}); err != nil {
			b.Fatal(err)
		}
	}
}

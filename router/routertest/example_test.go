package routertest_test

import (
	"testing"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// A test of a program that publishes and reads.
func ExampleNew() {
	test := func(t *testing.T) {
		r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "cam"}}})
		pub, err := r.Publish(t.Context(), "cam", routertest.SampleTracks())
		if err != nil {
			t.Fatal(err)
		}
		rd, err := r.Read(t.Context(), "cam", router.SubscribeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pub.Write(0, routertest.SampleUnit(0, 0))
		if _, _, err := rd.Next(t.Context()); err != nil {
			t.Error(err)
		}
	}
	_ = test
}

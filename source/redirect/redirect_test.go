package redirect_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/org/mtx/router"
	"github.com/org/mtx/source/redirect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadIsRedirected(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"rtsp://other:8554/cam", "/cam2"} {
		r, err := router.New(router.Config{
			Paths: []router.PathConfig{{Name: "cam", Source: redirect.Source{URL: url}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = r.Read(t.Context(), "cam", router.SubscribeOptions{})
		if e, ok := errors.AsType[*router.RedirectError](err); !ok || e.URL != url {
			t.Errorf("Read returned %v, want a redirect to %s", err, url)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRunWaits(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (redirect.Source{}).Run(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v, want context.Canceled", err)
	}
}

func ExampleSource() {
	c := router.Config{Paths: []router.PathConfig{
		{Name: "cam", Source: redirect.Source{URL: "rtsp://other-server:8554/cam"}},
	}}
	fmt.Println(c.Validate())
	// Output: <nil>
}

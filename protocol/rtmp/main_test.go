package rtmp_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv("RTMP_BENCH_READERS"); addr != "" && benchChild != nil {
		benchChild(addr)
		return
	}
	goleak.VerifyTestMain(m)
}

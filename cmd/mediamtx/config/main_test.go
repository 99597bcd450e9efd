package config

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parse is Parse of a file named test.yml.
func parse(t *testing.T, text string, env ...string) (*Document, *Info) {
	t.Helper()
	d, info, err := Parse("test.yml", []byte(text), env, nil)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return d, info
}

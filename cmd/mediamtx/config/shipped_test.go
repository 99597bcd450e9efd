package config

import (
	"bufio"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const shippedFile = "../../../mediamtx.yml"

// The file that we ship says what we do without one.
func TestShippedFile(t *testing.T) {
	t.Parallel()
	got, info, err := Load(shippedFile, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Warnings) > 0 {
		t.Errorf("warnings: %q", info.Warnings)
	}
	want := Default()
	p := want.PathDefaults
	p.Name = "all_others"
	want.Paths["all_others"] = p
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if l := got.NotInForce(); len(l) > 0 {
		t.Errorf("not in force: %q", l)
	}
}

// It holds every key once.
func TestShippedFileIsComplete(t *testing.T) {
	t.Parallel()
	f, err := os.Open(shippedFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	count := map[string]int{}
	key := regexp.MustCompile(`^( ?( ?))([A-Za-z0-9_]+):`)
	for s := bufio.NewScanner(f); s.Scan(); {
		if len(s.Text()) > 100 {
			t.Errorf("a line is longer than 100 characters: %s", s.Text())
		}
		if m := key.FindStringSubmatch(s.Text()); m != nil {
			scope := "global "
			if m[1] == "  " {
				scope = "path "
			}
			count[scope+m[3]]++
		}
	}
	want := map[string]int{"global pathDefaults": 1, "global paths": 1, "path all_others": 1}
	for _, k := range readContract(t) {
		if !k.deprecated() && k.key != "name" {
			want[k.scope+" "+k.key] = 1
		}
	}
	for scope, keys := range beyond {
		for _, k := range keys {
			want[scope+" "+k] = 1
		}
	}
	for k, n := range want {
		if count[k] != n {
			t.Errorf("%s is there %d times, want %d", k, count[k], n)
		}
	}
	for k := range count {
		if want[k] == 0 {
			t.Errorf("%s should not be there", strings.TrimSpace(k))
		}
	}
}

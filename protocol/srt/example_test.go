package srt_test

import (
	"fmt"

	"github.com/org/mtx/protocol/srt"
	"github.com/org/mtx/router"
)

func Example() {
	r, err := router.New(router.Config{
		Protocols: []router.Protocol{&srt.Server{Addr: ":8890"}},
		Paths: []router.PathConfig{{
			Name:   "all_others",
			Extras: []any{srt.PathOptions{PublishPassphrase: "only for publishers"}},
			Sinks:  []router.Sink{srt.Forward{URL: "srt://backup.example.org:8890?streamid=publish:$MTX_PATH"}},
		}},
	})
	fmt.Println(r != nil, err)
	// Output: true <nil>
}

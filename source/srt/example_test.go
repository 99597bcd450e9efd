package srt_test

import (
	"fmt"

	"github.com/org/mtx/router"
	srcsrt "github.com/org/mtx/source/srt"
)

func Example() {
	_, err := router.New(router.Config{
		Paths: []router.PathConfig{{
			Name:     "cam",
			Source:   srcsrt.Source{URL: "srt://192.168.1.10:8890?streamid=read:cam&latency=200"},
			OnDemand: router.OnDemand{Enabled: true},
		}},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSource_Validate() {
	s := srcsrt.Source{URL: "srt://host:8890?mode=rendezvous"}
	fmt.Println(s.Validate())
	// Output: SRT parameter mode: it must be caller or listener
}

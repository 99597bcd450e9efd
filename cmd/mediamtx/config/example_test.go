package config_test

import (
	"fmt"

	"github.com/org/mtx/cmd/mediamtx/config"
)

func ExampleParse() {
	file := []byte("rtspDisable: no\npaths:\n  cam:\n    maxReaders: 10\n")
	doc, info, err := config.Parse("mediamtx.yml", file, []string{"MTX_PATHS_CAM_RECORD=yes"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Warnings[0])
	fmt.Println(doc.Paths["cam"].MaxReaders, doc.Paths["cam"].Record)

	_, _, err = config.Parse("mediamtx.yml", []byte("writeQueueSize: 1000"), nil, nil)
	fmt.Println(err)
	// Output:
	// mediamtx.yml:1: rtspDisable is deprecated, use rtsp: no
	// 10 true
	// mediamtx.yml:1: writeQueueSize "1000": must be a power of two between 1 and 65536
}

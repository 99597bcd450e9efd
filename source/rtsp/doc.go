// Package rtsp pulls streams from RTSP servers and cameras.
//
//	r, err := router.New(router.Config{
//		Paths: []router.PathConfig{{
//			Name:   "cam",
//			Source: rtsp.Source{URL: "rtsp://user:pass@192.168.1.10/stream"},
//		}},
//	})
//
// The packets of the server are handed on as they are; they are unpacked only
// while somebody wants payloads.
//
// Credentials never appear in errors and logs.
package rtsp

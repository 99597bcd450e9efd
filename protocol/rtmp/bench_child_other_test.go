//go:build !linux

package rtmp_test

// benchChild is set where there are benchmarks that start processes.
var benchChild func(addr string)

package metrics_test

import (
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/org/mtx/controlapi/metrics"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
)

// A program shows the router beside what else it has in its registry.
func Example() {
	r, err := router.New(router.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	state := &record.State{} // that of its record.Sinks
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(r), metrics.NewRecordings(state))

	families, err := registry.Gather()
	if err != nil {
		log.Panic(err)
	}
	for _, f := range families {
		if f.GetName() == "record_bytes_total" {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	// Output: record_bytes_total 0
}

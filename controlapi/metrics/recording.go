package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/org/mtx/record"
)

// recordings shows the counters of recorders.
type recordings struct {
	state  *record.State
	values []recordingValue
}

type recordingValue struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(record.Stats) float64
}

// NewRecordings returns a collector of what recorders with a common state do:
//
//	record_streams                  streams that are being recorded
//	record_open_segments            files that are being written
//	record_segments_total           files that were begun
//	record_parts_total              parts that were written
//	record_bytes_total              bytes that were written
//	record_dropped_parts_total      parts that were lost, because the disk was full, broken or too slow
//	record_dropped_units_total      units that fit into no segment, because of their time stamps
//
// They count since the program began.
func NewRecordings(state *record.State) prometheus.Collector {
	c := &recordings{state: state}
	add := func(name, help string, kind prometheus.ValueType, of func(record.Stats) float64) {
		c.values = append(c.values, recordingValue{prometheus.NewDesc("record_"+name, help, nil, nil), kind, of})
	}
	add("streams", "Streams that are being recorded.", prometheus.GaugeValue, func(s record.Stats) float64 { return float64(s.Recorders) })
	add("open_segments", "Files that are being written.", prometheus.GaugeValue, func(s record.Stats) float64 { return float64(s.OpenSegments) })
	add("segments_total", "Files that were begun.", prometheus.CounterValue, func(s record.Stats) float64 { return float64(s.Segments) })
	add("parts_total", "Parts that were written.", prometheus.CounterValue, func(s record.Stats) float64 { return float64(s.Parts) })
	add("bytes_total", "Bytes that were written.", prometheus.CounterValue, func(s record.Stats) float64 { return float64(s.Bytes) })
	add("dropped_parts_total", "Parts that were lost, because the disk was full, broken or too slow.", prometheus.CounterValue,
		func(s record.Stats) float64 { return float64(s.DroppedParts) })
	add("dropped_units_total", "Units that fit into no segment, because of their time stamps.", prometheus.CounterValue,
		func(s record.Stats) float64 { return float64(s.DroppedUnits) })
	return c
}

// Describe implements prometheus.Collector.
func (c *recordings) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range c.values {
		ch <- v.desc
	}
}

// Collect implements prometheus.Collector.
func (c *recordings) Collect(ch chan<- prometheus.Metric) {
	s := c.state.Stats()
	for _, v := range c.values {
		ch <- prometheus.MustNewConstMetric(v.desc, v.kind, v.of(s))
	}
}

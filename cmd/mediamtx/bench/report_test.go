package main

import (
	"math"
	"strings"
	"testing"
)

func testReport() report {
	sc := scenario{
		name: "load", about: "test", show: []metric{cpuPacket, lost},
		targets: []target{{cpuPacket, true, 0.2}, {lost, false, 0}, {rssReader, true, 0.65}},
	}
	o := options{scenarios: []scenario{sc}, servers: []string{serverMTX, serverPlain}, rounds: 3}
	run := func(server string, cpu, lostPackets, other float64) result {
		return result{Scenario: "load", Server: server, Values: values{cpuPacket: cpu, lost: lostPackets, otherCPU: other}}
	}
	return buildReport(o, []result{
		run(serverMTX, 1.0, 0, 0.1), run(serverMTX, 1.2, 2, 0), run(serverMTX, 99, 9, 1.5),
		run(serverPlain, 10, 0, 0), run(serverPlain, 12, 0, 0), run(serverPlain, 30, 0, 0),
	})
}

func TestReport(t *testing.T) {
	t.Parallel()
	rep := testReport()
	s := rep.Scenarios[0]
	// the noisy run does not count; losses add up, the rest is the median
	if v := s.Servers[serverMTX]; math.Abs(v[cpuPacket]-1.1) > 1e-9 || v[lost] != 2 {
		t.Errorf("mtx: %v", v)
	}
	if r := s.Ratios[cpuPacket]; math.Abs(r-1.1/12) > 1e-9 {
		t.Errorf("ratio %v", r)
	}
	wantMet := []bool{true, false, false}
	for i, o := range rep.Targets {
		if o.Met != wantMet[i] {
			t.Errorf("target %d (%s): met %v", i, o.Metric, o.Met)
		}
	}
	if rep.Targets[2].Measured != nil || rep.allMet() {
		t.Error("a value that was not measured passes")
	}
	var b strings.Builder
	if err := rep.writeText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 of 3 runs set aside", "MISSED  load", "not measured", "0.09", "mtx/plain",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("report lacks %q:\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := rep.writeJSON(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `"cpu_us_per_packet": 1.1`) {
		t.Errorf("JSON lacks the median:\n%s", b.String())
	}
}

func TestAllMetricsHaveTitles(t *testing.T) {
	t.Parallel()
	for _, sc := range allScenarios() {
		for _, m := range sc.show {
			if m.title() == string(m) {
				t.Errorf("%s shows %s, which has no title", sc.name, m)
			}
		}
	}
}

func TestParseStrace(t *testing.T) {
	t.Parallel()
	calls := parseStrace(`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ------------------
 51.37    3.096845        1094      2830        36 futex
 14.65    0.882937          32     26895           sendto
  8.10    0.488180          27     17536           write
------ ----------- ----------- --------- --------- ------------------
100.00    6.028623          80     74497        72 total
`)
	if len(calls) != 3 || calls["futex"] != 2830 || calls["sendto"] != 26895 || calls["write"] != 17536 {
		t.Errorf("got %v", calls)
	}
}

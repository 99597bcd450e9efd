package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
)

// metric names one measured quantity; its text is the key in JSON.
type metric string

// Everything that is measured.
const (
	cpuPacket    metric = "cpu_us_per_packet"
	cpuMB        metric = "cpu_ms_per_mb"
	cpuCores     metric = "cpu_cores"
	latencyP50   metric = "latency_p50_ms"
	latencyP99   metric = "latency_p99_ms"
	latencyMax   metric = "latency_max_ms"
	lost         metric = "lost_packets"
	lostFrames   metric = "lost_frames"
	gone         metric = "readers_gone"
	delivered    metric = "delivered_mbit_per_s"
	rss          metric = "rss_mib"
	rssReader    metric = "rss_kib_per_reader"
	attachCPU    metric = "attach_cpu_ms_per_reader"
	loadCPU      metric = "load_cpu_cores"
	otherCPU     metric = "other_cpu_cores"
	writesPacket metric = "writes_per_packet"
	sendsPacket  metric = "sends_per_packet"
	mmsgPacket   metric = "sendmmsg_per_packet"
	joinFrame    metric = "join_first_frame_p50_ms"
	joinKey      metric = "join_key_frame_p50_ms"
	joinKeyMax   metric = "join_key_frame_max_ms"
	startup      metric = "startup_ms"
	startupPaths metric = "startup_1000_paths_ms"
	rssPaths     metric = "rss_1000_paths_mib"
	rssPath      metric = "rss_kib_per_path"
)

// title is how the text report calls a metric.
func (m metric) title() string {
	switch m {
	case cpuPacket:
		return "CPU us/packet"
	case cpuMB:
		return "CPU ms/MB"
	case cpuCores:
		return "server CPU, cores"
	case latencyP50:
		return "latency p50, ms"
	case latencyP99:
		return "latency p99, ms"
	case latencyMax:
		return "latency max, ms"
	case lost:
		return "lost packets"
	case lostFrames:
		return "lost frames"
	case gone:
		return "readers gone"
	case delivered:
		return "payload, Mbit/s"
	case rss:
		return "RSS, MiB"
	case rssReader:
		return "RSS/reader, KiB"
	case attachCPU:
		return "attach CPU, ms/reader"
	case loadCPU:
		return "load CPU, cores"
	case otherCPU:
		return "other CPU, cores"
	case writesPacket:
		return "write calls/packet"
	case sendsPacket:
		return "send calls/packet"
	case mmsgPacket:
		return "sendmmsg calls/packet"
	case joinFrame:
		return "first frame p50, ms"
	case joinKey:
		return "first key frame p50, ms"
	case joinKeyMax:
		return "first key frame max, ms"
	case startup:
		return "start-up, ms"
	case startupPaths:
		return "start-up, 1000 paths, ms"
	case rssPaths:
		return "RSS, 1000 paths, MiB"
	case rssPath:
		return "RSS/path, KiB"
	}
	return string(m)
}

// over combines the rounds of a metric: what went wrong adds up, the rest is
// the median.
func (m metric) over(rounds []float64) float64 {
	switch m {
	case lost, lostFrames, gone:
		var sum float64
		for _, v := range rounds {
			sum += v
		}
		return sum
	}
	return median(rounds)
}

// values are the measurements of one run, or combined ones.
type values map[metric]float64

// result is one run of a scenario against one server.
type result struct {
	Round    int    `json:"round"`
	Scenario string `json:"scenario"`
	Server   string `json:"server"`
	Values   values `json:"values"`
}

// target is an upper limit: of the ratio mtx to plain, or of the value of mtx.
type target struct {
	metric metric
	ratio  bool
	limit  float64
}

// outcome is a target with what was measured.
type outcome struct {
	Scenario string   `json:"scenario"`
	Metric   metric   `json:"metric"`
	Ratio    bool     `json:"ratio"` // of mtx to plain, otherwise the value of mtx
	Limit    float64  `json:"limit"`
	Measured *float64 `json:"measured"` // nil = could not be measured
	Met      bool     `json:"met"`
}

// summary is one scenario over all rounds.
type summary struct {
	Name    string            `json:"name"`
	About   string            `json:"about"`
	Servers map[string]values `json:"servers"`
	Ratios  values            `json:"ratios"` // mtx to plain
	Notes   []string          `json:"notes,omitempty"`
	show    []metric
}

// report is everything that a run found.
type report struct {
	CPUs      int       `json:"cpus"`
	Arch      string    `json:"arch"`
	GoVersion string    `json:"go_version"`
	Rounds    int       `json:"rounds"`
	Seconds   float64   `json:"seconds"`
	Readers   int       `json:"readers,omitempty"` // set by -readers
	Scenarios []summary `json:"scenarios"`
	Targets   []outcome `json:"targets"`
	Runs      []result  `json:"runs"`
	servers   []string
}

func buildReport(o options, results []result) report {
	rep := report{
		CPUs: runtime.NumCPU(), Arch: runtime.GOARCH, GoVersion: runtime.Version(),
		Rounds: o.rounds, Seconds: o.dur.Seconds(), Readers: o.readers, Runs: results, servers: o.servers,
	}
	for _, sc := range o.scenarios {
		s := summarize(sc, results)
		rep.Scenarios = append(rep.Scenarios, s)
		for _, t := range sc.targets {
			rep.Targets = append(rep.Targets, judge(s, t))
		}
	}
	return rep
}

// noisy is the number of cores used by other processes from which on a run is
// not trusted if there is a better one.
const noisy = 0.3

func summarize(sc scenario, results []result) summary {
	s := summary{Name: sc.name, About: sc.about, Servers: make(map[string]values), Ratios: make(values), show: sc.show}
	for _, server := range []string{serverMTX, serverPlain} {
		runs, note := trusted(slices.DeleteFunc(slices.Clone(results), func(r result) bool {
			return r.Scenario != sc.name || r.Server != server
		}))
		if note != "" {
			s.Notes = append(s.Notes, server+": "+note)
		}
		if len(runs) > 0 {
			s.Servers[server] = combine(runs)
		}
	}
	for m, v := range s.Servers[serverMTX] {
		if base := s.Servers[serverPlain][m]; base > 0 {
			s.Ratios[m] = v / base
		}
	}
	return s
}

// trusted sets noisy runs aside, unless all are.
func trusted(runs []result) (kept []result, note string) {
	kept = slices.DeleteFunc(slices.Clone(runs), func(r result) bool { return r.Values[otherCPU] > noisy })
	switch aside := len(runs) - len(kept); {
	case aside == 0:
		return kept, ""
	case aside == len(runs):
		return runs, fmt.Sprintf("other processes used more than %g cores in every run; do not trust these figures", noisy)
	default:
		return kept, fmt.Sprintf("%d of %d runs set aside, as other processes used more than %g cores", aside, len(runs), noisy)
	}
}

// combine computes the values of several runs taken together.
func combine(runs []result) values {
	rounds := make(map[metric][]float64)
	for _, r := range runs {
		for m, v := range r.Values {
			rounds[m] = append(rounds[m], v)
		}
	}
	v := make(values)
	for m, all := range rounds {
		v[m] = m.over(all)
	}
	return v
}

func judge(s summary, t target) outcome {
	from := s.Servers[serverMTX]
	if t.ratio {
		from = s.Ratios
	}
	o := outcome{Scenario: s.Name, Metric: t.metric, Ratio: t.ratio, Limit: t.limit}
	if v, ok := from[t.metric]; ok {
		o.Measured = &v
		o.Met = v <= t.limit
	}
	return o
}

// allMet tells whether every target was measured and met.
func (r report) allMet() bool {
	return !slices.ContainsFunc(r.Targets, func(o outcome) bool { return !o.Met })
}

func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r report) writeText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d cores, %s, %s; median of %d rounds of %g s\n", r.CPUs, r.Arch, r.GoVersion, r.Rounds, r.Seconds)
	if r.Readers > 0 {
		fmt.Fprintf(&b, "-readers: %d in place of what the scenarios say; the targets were set for the latter\n", r.Readers)
	}
	for _, s := range r.Scenarios {
		s.writeText(&b, r.servers)
	}
	fmt.Fprintf(&b, "\nTargets\n")
	for _, o := range r.Targets {
		b.WriteString(o.text())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s summary) writeText(b *strings.Builder, servers []string) {
	fmt.Fprintf(b, "\n%s: %s\n", s.Name, s.About)
	servers = slices.DeleteFunc(slices.Clone(servers), func(name string) bool { return s.Servers[name] == nil })
	if len(servers) == 0 {
		b.WriteString("  no result\n")
		return
	}
	fmt.Fprintf(b, "  %-24s", "")
	for _, name := range servers {
		fmt.Fprintf(b, "%12s", name)
	}
	if len(s.Ratios) > 0 {
		fmt.Fprintf(b, "%12s", serverMTX+"/"+serverPlain)
	}
	b.WriteString("\n")
	measured := slices.Collect(maps.Keys(s.Servers[servers[0]]))
	for _, m := range s.show {
		if !slices.Contains(measured, m) {
			continue
		}
		line := fmt.Sprintf("  %-24s", m.title())
		for _, name := range servers {
			line += fmt.Sprintf("%12s", number(s.Servers[name][m]))
		}
		// the share of the machine used by others says nothing about the servers
		if ratio, ok := s.Ratios[m]; ok && m != otherCPU {
			line += fmt.Sprintf("%12.2f", ratio)
		}
		b.WriteString(line + "\n")
	}
	for _, note := range s.Notes {
		fmt.Fprintf(b, "  note: %s\n", note)
	}
}

func (o outcome) text() string {
	what := o.Metric.title()
	if o.Ratio {
		what += ", " + serverMTX + "/" + serverPlain
	}
	verdict, measured := "MISSED", "not measured"
	if o.Measured != nil {
		measured = number(*o.Measured)
	}
	switch {
	case o.Met:
		verdict = "met"
	case o.Measured == nil:
		verdict = "-"
	}
	return fmt.Sprintf("  %-7s %-13s %-36s <= %-6g %s\n", verdict, o.Scenario, what, o.Limit, measured)
}

// number prints v with about three significant digits.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.01 && v > -0.01:
		return fmt.Sprintf("%.4f", v)
	case v < 10 && v > -10:
		return fmt.Sprintf("%.2f", v)
	case v < 100 && v > -100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

package playback

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

// stamped puts the absolute time of the media time zero in front of the first fragment.
func stamped(b []byte, start time.Time) []byte {
	at := bytes.Index(b, []byte("moof")) - 4
	w := &builder{}
	w.full("prft", 1, 24, func() {
		w.u32(1)
		w.u32(uint32(start.Unix() + ntpEpoch))
		w.u32(uint32((uint64(start.Nanosecond())<<32 + 500_000_000) / 1e9))
		w.u64(0)
	})
	return bytes.Join([][]byte{b[:at], w.b, b[at:]}, nil)
}

// Names without fractions of a second are not all that is known.
func TestStartIsInTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole, err := record.ParsePattern(filepath.Join(dir, "%path", "%Y-%m-%d_%H-%M-%S"), record.FMP4)
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, Server{Recordings: []Recording{{"cam", whole}}}, nil)
	began := filmStart.Add(900 * time.Millisecond)
	for i, f := range []film{{seconds: 4}, {seconds: 4}, {seconds: 2}} {
		start := began.Add(time.Duration(4*i) * time.Second)
		name := whole.Name("cam", start)
		switch i {
		case 0:
			if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
				t.Fatal(err)
			}
		case 1:
			name = whole.Name("cam", start.Add(2*time.Second)) // others were taken
		}
		if err := os.WriteFile(name, stamped(f.bytes(t), start), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var list []item
	g.json("/list?path=cam", &list)
	if len(list) != 1 || !list[0].Start.Equal(began) || list[0].Duration < 9.99 || list[0].Duration > 10.04 {
		t.Fatalf("%+v", list)
	}
	// the last picture of one segment and the first ones of another
	for _, format := range []string{"fmp4", "mp4"} {
		at := began.Add(4*time.Second - time.Second/30)
		if res, b := g.get(part("cam", at, 100*time.Millisecond, format)); res.StatusCode != http.StatusOK || len(b) == 0 {
			t.Errorf("%s: status %d", format, res.StatusCode)
		} else if format == "fmp4" {
			var shown []string
			for _, s := range samplesOf(t, b)[0] {
				if s.pts >= 0 {
					shown = append(shown, s.name)
				}
			}
			if got := strings.Join(shown, " "); got != "v119 v0 v1" {
				t.Errorf("pictures: %s", got)
			}
		}
	}
	if res, _ := g.get(part("cam", filmStart, 800*time.Millisecond, "fmp4")); res.StatusCode != http.StatusNotFound {
		t.Errorf("before the first picture: status %d", res.StatusCode)
	}
	_, b := g.get("/vod/cam/index.m3u8")
	text := string(b)
	if strings.Contains(text, "DISCONTINUITY\n") || strings.Count(text, "#EXTINF") != 3 {
		t.Errorf("playlist:\n%s", text)
	}
	for i := range 3 {
		if at := began.Add(time.Duration(4*i) * time.Second).UTC().Format("15:04:05.000000Z"); !strings.Contains(text, at) {
			t.Errorf("playlist without %s:\n%s", at, text)
		}
	}
	// time stamps go on from file to file
	u := fmt.Sprintf("/vod/cam/%d_%d.mp4", filmStart.Add(6*time.Second).UnixMicro(), began.UnixMicro())
	res, b := g.get(u)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d", u, res.StatusCode)
	}
	if first := samplesOf(t, b)[0][0]; first.pts != 4*videoScale {
		t.Errorf("the second file begins at %d", first.pts)
	}
}

// A clock that was set back by minutes makes later recordings that are over earlier.
func TestClockWasSetBack(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	at := func(s int) time.Time { return filmStart.Add(time.Duration(s) * time.Second) }
	for _, f := range []film{{start: at(0), seconds: 60}, {start: at(20), seconds: 5}, {start: at(30), seconds: 5}, {start: at(70), seconds: 5}} {
		f.silent = true
		g.film("cam", f)
	}
	for start, want := range map[int]string{10: "v300", 22: "v60", 27: "v810", 36: "v1080", 50: "v1500", 59: "v1770", 61: "v0"} {
		res, b := g.get(part("cam", at(start), 10*time.Second, "fmp4"))
		if res.StatusCode != http.StatusOK {
			t.Errorf("%d s: status %d", start, res.StatusCode)
			continue
		}
		for _, s := range samplesOf(t, b)[0] {
			if s.pts >= 0 {
				if s.name != want {
					t.Errorf("%d s: %s, want %s", start, s.name, want)
				}
				break
			}
		}
	}
	if res, _ := g.get(part("cam", at(61), 5*time.Second, "fmp4")); res.StatusCode != http.StatusNotFound {
		t.Errorf("nothing was recorded: status %d", res.StatusCode)
	}
	var list []item
	g.json("/list?path=cam&start="+at(50).Format(time.RFC3339)[:19]+"Z", &list)
	if len(list) != 2 || !list[0].Start.Equal(at(50)) || list[0].Duration != 10 {
		t.Errorf("%+v", list)
	}
}

// A plus sign that is not escaped in a URL.
func TestTimeZones(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.film("cam", film{start: filmStart, seconds: 4})
	local := filmStart.In(time.FixedZone("", 5*3600+1800)).Format(time.RFC3339)
	for _, v := range []string{local, strings.Replace(local, "+", "%2B", 1), filmStart.In(time.FixedZone("", -3600)).Format(time.RFC3339)} {
		var list []item
		if g.json("/list?path=cam&start="+v, &list); len(list) != 1 || !list[0].Start.Equal(filmStart) {
			t.Errorf("%s: %+v", v, list)
		}
	}
	for _, v := range []string{"2026-01-02 15:04:05Z", "2026-01-02T15:04:05", " 00:00", " "} {
		if res, _ := g.get("/list?path=cam&start=" + strings.ReplaceAll(v, " ", "%20")); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: status %d", v, res.StatusCode)
		}
	}
}

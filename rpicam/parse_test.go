package rpicam

import (
	"bytes"
	"errors"
	"image/jpeg"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// inPieces writes a stream in pieces of a size.
func inPieces(s splitter, stream []byte, size int) error {
	for piece := range slices.Chunk(stream, size) {
		if err := s.write(piece); err != nil {
			return err
		}
	}
	return nil
}

// splitH264 returns the types of the NALUs of each access unit.
func splitH264(t testing.TB, stream []byte, size int, flush bool) ([][]int, error) {
	t.Helper()
	var out [][]int
	a := newAnnexB(func(au [][]byte) {
		var types []int
		for _, n := range au {
			if len(n) == 0 {
				t.Fatal("a NALU is empty")
			}
			types = append(types, int(n[0]&0x1F))
		}
		out = append(out, types)
	})
	err := inPieces(a, stream, size)
	if err == nil && flush {
		err = a.flush()
	}
	return out, err
}

func TestAnnexB(t *testing.T) {
	t.Parallel()
	short := []byte{0, 0, 1}
	nalu := func(b ...byte) []byte { return slicesJoin(code, b) }
	idr, more, other := nalu(0x65, 0x88, 7), nalu(0x65, 0x48, 7), nalu(0x41, 0x9A, 7)
	for _, c := range []struct {
		name   string
		stream []byte
		want   [][]int
	}{
		{"nothing", nil, nil},
		{"one", slicesJoin(nalu(testSPS...), nalu(testPPS...), idr), [][]int{{7, 8, 5}}},
		{"pictures of two slices", slicesJoin(idr, more, other, nalu(0x41, 0x4A)), [][]int{{5, 5}, {1, 1}}},
		{"delimiters", slicesJoin(nalu(9, 0x10), idr, nalu(9, 0x30), other), [][]int{{9, 5}, {9, 1}}},
		{"parameters in between", slicesJoin(idr, nalu(testSPS...), nalu(testPPS...), other), [][]int{{5}, {7, 8, 1}}},
		{"messages", slicesJoin(nalu(6, 1, 2), idr, nalu(6, 1, 2), other), [][]int{{6, 5}, {6, 1}}},
		{"filler and end of sequence stay", slicesJoin(idr, nalu(12, 0xFF), nalu(10, 0x80), other), [][]int{{5, 12, 10}, {1}}},
		{"short start codes", slicesJoin(short, idr[4:], short, other[4:]), [][]int{{5}, {1}}},
		{"zeros", slicesJoin(make([]byte, 9), idr, make([]byte, 9), other, make([]byte, 9)), [][]int{{5}, {1}}},
		{"empty NALU", slicesJoin(idr, short, other), [][]int{{5}, {1}}},
	} {
		for _, size := range []int{1, 2, 3, 1000} {
			got, err := splitH264(t, c.stream, size, true)
			if c.name == "empty NALU" && size < 1000 && err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s, %d bytes at a time: %v (%v), want %v", c.name, size, got, err, c.want)
			}
		}
	}
}

// Without a flush, the last picture waits for the next.
func TestAnnexBWaits(t *testing.T) {
	t.Parallel()
	stream := slicesJoin(testAU(0), testAU(1))
	got, err := splitH264(t, stream, 5, false)
	if err != nil || !reflect.DeepEqual(got, [][]int{{7, 8, 5}}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAnnexBFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		stream []byte
		want   string
	}{
		{"text", []byte("hello"), errNotH264.Error()},
		{"one zero", []byte{0, 1, 0x65, 0x88}, errNotH264.Error()},
		{"forbidden bit", slicesJoin(code, []byte{0xE5, 0x88}), errNotH264.Error()},
		{"zeros without end", make([]byte, 5000), errNotH264.Error()},
		{"too large", slicesJoin(code, []byte{0x65}, bytes.Repeat([]byte{0x88}, h264.MaxAccessUnitSize)), "an access unit has more than 8388608 bytes"},
		{"too many", slicesJoin(testAU(0), bytes.Repeat([]byte{0, 0, 1, 0x65, 0x48}, 60)), "an access unit has more than 50 NALUs"},
	} {
		if _, err := splitH264(t, c.stream, 1<<16, false); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func splitJPEG(stream []byte, size int) ([][]byte, error) {
	var out [][]byte
	err := inPieces(newJPEGs(func(p []byte) { out = append(out, p) }), stream, size)
	return out, err
}

func TestJPEGs(t *testing.T) {
	t.Parallel()
	one, two := testJPEG(1), testJPEG(2)
	withThumbnail := slicesJoin(one[:2], []byte{0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9}, one[2:])
	withFill := slicesJoin(one[:2], []byte{0xFF, 0xFF}, one[2:len(one)-2], []byte{0xFF, 0xFF, 0xD9})
	want := [][]byte{one, two, withThumbnail, withFill, one}
	for _, size := range []int{1, 3, 100, 1 << 16} {
		got, err := splitJPEG(bytes.Join(want, nil), size)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d bytes at a time: %d pictures (%v)", size, len(got), err)
		}
		for i, p := range got {
			if _, err := jpeg.Decode(bytes.NewReader(p)); err != nil {
				t.Errorf("picture %d: %v", i, err)
			}
		}
	}
	if got, err := splitJPEG(one[:len(one)-1], 10); err != nil || got != nil {
		t.Errorf("half a picture: %v (%v)", got, err)
	}
}

func TestJPEGFaults(t *testing.T) {
	t.Parallel()
	huge := slicesJoin([]byte{0xFF, 0xD8, 0xFF, 0xC0, 0, 2, 0xFF, 0xDA, 0, 2}, make([]byte, maxJPEG))
	for _, c := range []struct {
		name   string
		stream []byte
		want   string
	}{
		{"text", []byte("hello"), errNotJPEG.Error()},
		{"begins with an end", []byte{0xFF, 0xD9}, errNotJPEG.Error()},
		{"two beginnings", []byte{0xFF, 0xD8, 0xFF, 0xD8}, errNotJPEG.Error()},
		{"no picture", []byte{0xFF, 0xD8, 0xFF, 0xD9}, errNotJPEG.Error()},
		{"segment of size 1", []byte{0xFF, 0xD8, 0xFF, 0xE0, 0, 1}, errNotJPEG.Error()},
		{"scan without frame", []byte{0xFF, 0xD8, 0xFF, 0xDA, 0, 2}, errNotJPEG.Error()},
		{"restart outside of a scan", []byte{0xFF, 0xD8, 0xFF, 0xD0}, errNotJPEG.Error()},
		{"rubbish behind", slicesJoin(testJPEG(1), []byte("xx")), errNotJPEG.Error()},
		{"too large", huge, "a picture has more than 33554432 bytes"},
	} {
		if _, err := splitJPEG(c.stream, 1<<16); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// What arrives in pieces is cut as what arrives at once, and the cuts hold what
// arrived.
func FuzzAnnexB(f *testing.F) {
	f.Add(slicesJoin(testAU(0), testAU(1), testAU(2), testAU(10)), 7)
	f.Add([]byte{0, 0, 1, 0x65, 0x88, 0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x41, 0x80}, 1)
	f.Add([]byte{0, 0, 0, 0, 1, 10, 0, 0, 1, 0x65, 0x80, 0, 0, 1}, 2)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		size = 1 + max(size, -size-1)%64
		whole, err := splitH264(t, stream, max(len(stream), 1), true)
		pieces, perr := splitH264(t, stream, size, true)
		if err == nil && perr == nil && !reflect.DeepEqual(whole, pieces) {
			t.Errorf("at once %v, in pieces %v", whole, pieces)
		}
		if (err == nil) != (perr == nil) {
			t.Errorf("at once %v, in pieces %v", err, perr)
		}
	})
}

func FuzzJPEGs(f *testing.F) {
	f.Add(slicesJoin(testJPEG(1), testJPEG(2)), 7)
	f.Add([]byte{0xFF, 0xD8, 0xFF, 0xC0, 0, 2, 0xFF, 0xDA, 0, 2, 0xFF, 0, 0xFF, 0xD1, 0xFF, 0xD9}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		size = 1 + max(size, -size-1)%64
		whole, err := splitJPEG(stream, max(len(stream), 1))
		pieces, perr := splitJPEG(stream, size)
		if !errors.Is(perr, err) || !reflect.DeepEqual(whole, pieces) {
			t.Errorf("at once %d pictures (%v), in pieces %d (%v)", len(whole), err, len(pieces), perr)
		}
		if all := bytes.Join(whole, nil); !bytes.HasPrefix(stream, all) {
			t.Error("the pictures are not what arrived")
		}
	})
}

func FuzzStamp(f *testing.F) {
	for _, s := range []string{"# timecode format v2", "0.000", "33.333", "-1", "1e400", "NaN", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		d, ok, err := parseStamp(line)
		if err != nil && ok || !ok && d != 0 {
			t.Errorf("%v, %t, %v", d, ok, err)
		}
		if ok {
			tl := timeline{interval: time.Second}
			first, _ := tl.captured(0, time.Now())
			second, _ := tl.captured(d, time.Now())
			if second <= first {
				t.Errorf("from %d to %d", first, second)
			}
		}
	})
}

func TestParseHelp(t *testing.T) {
	t.Parallel()
	o := parseHelp([]byte("  -o [ --output ] arg   Set it\n  --libav-format arg\n --  -x"))
	if !reflect.DeepEqual(o, options{"output": true, "libav-format": true}) {
		t.Errorf("%v", o)
	}
	if !options(nil).has("x") || o.has("x") {
		t.Error("what is not known counts as there, if and only if nothing is known")
	}
}

func TestReadLines(t *testing.T) {
	t.Parallel()
	var got []string
	long := strings.Repeat("x", 3*maxLine)
	readLines(strings.NewReader("one\n\n  two \r\n"+long+"\n\xff\nlast"), func(l string) { got = append(got, l) })
	if want := []string{"one", "two", long[:maxLine], "?", "last"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

func TestLimited(t *testing.T) {
	t.Parallel()
	l, abc := &limited{limit: 5}, []byte("abc")
	for range 3 {
		if n, err := l.Write(abc); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if l.String() != "abcab" {
		t.Errorf("%q", l.String())
	}
}

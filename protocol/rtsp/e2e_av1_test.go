//go:build e2e

package rtsp_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpav1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/protocol/rtsp"
)

// Neither FFmpeg 5.1 nor the GStreamer plugins of Debian have RTP for AV1, so
// the clients are of gortsplib; FFmpeg encodes what they publish and decodes
// what they read.
func TestE2EAV1(t *testing.T) {
	e2e.Needs(t, "ffmpeg")
	t.Parallel()
	name := filepath.Join(t.TempDir(), "source.ivf")
	runFFmpeg(t, "-f", "lavfi", "-i", "testsrc2=size=176x144:rate=25:duration=10",
		"-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "25", "-f", "ivf", name)
	source, file := decodeFile(t, name), readIVF(t, name)
	protocols := map[string]gortsplib.Protocol{"tcp": gortsplib.ProtocolTCP, "udp": gortsplib.ProtocolUDP}
	for _, in := range unicast {
		s := serve(t, &rtsp.Server{})
		stop := publishAV1(t, s.url("video"), protocols[in], file.units)
		s.waitReady(t, "video")
		for _, out := range unicast {
			got := file
			got.units = readAV1(t, s.url("video"), protocols[out], readPictures)
			name := filepath.Join(t.TempDir(), "read.ivf")
			got.write(t, name)
			decoded := decodeFile(t, name)
			good := checkPictures(t, source, decoded)
			t.Logf("%s to %s: %d pictures, %d of them exact", in, out, len(decoded), good)
			if good < readPictures-keyInterval {
				t.Errorf("%s to %s: %d pictures are too few", in, out, good)
			}
		}
		s.checkLosses(t)
		stop()
	}
}

// ivf is a file of AV1 temporal units.
type ivf struct {
	header []byte
	units  [][]byte
}

const (
	ivfHeaderSize = 32 // of the file
	ivfUnitHeader = 12 // size, and time stamp
)

func readIVF(t *testing.T, name string) ivf {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil || len(b) < ivfHeaderSize {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	f := ivf{header: b[:ivfHeaderSize]}
	for b = b[ivfHeaderSize:]; len(b) >= ivfUnitHeader; {
		size := int(binary.LittleEndian.Uint32(b))
		f.units = append(f.units, b[ivfUnitHeader:ivfUnitHeader+size])
		b = b[ivfUnitHeader+size:]
	}
	return f
}

func (f ivf) write(t *testing.T, name string) {
	t.Helper()
	b := bytes.NewBuffer(slices.Clone(f.header))
	for i, u := range f.units {
		var h [ivfUnitHeader]byte
		binary.LittleEndian.PutUint32(h[:], uint32(len(u)))
		binary.LittleEndian.PutUint64(h[4:], uint64(i))
		b.Write(h[:])
		b.Write(u)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// publishAV1 publishes in real time until stop is called.
func publishAV1(t *testing.T, url string, protocol gortsplib.Protocol, units [][]byte) (stop func()) {
	t.Helper()
	forma := &format.AV1{PayloadTyp: 96}
	media := &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{forma}}
	enc, err := forma.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	c := &gortsplib.Client{Protocol: &protocol}
	if err := c.StartRecording(url, &description.Session{Medias: []*description.Media{media}}); err != nil {
		t.Fatal(err)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer c.Close()
		tick := time.NewTicker(time.Second / pictureRate)
		defer tick.Stop()
		for i, u := range units {
			if err := sendAV1(c, media, enc, u, uint32(i*90000/pictureRate)); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func sendAV1(c *gortsplib.Client, m *description.Media, enc *rtpav1.Encoder, unit []byte, ts uint32) error {
	var obus av1.Bitstream
	if err := obus.Unmarshal(unit); err != nil {
		return err
	}
	pkts, err := enc.Encode(obus)
	if err != nil {
		return err
	}
	for _, pkt := range pkts {
		pkt.Timestamp = ts
		if err := c.WritePacketRTP(m, pkt); err != nil {
			return err
		}
	}
	return nil
}

// readAV1 reads temporal units, from the first key frame on.
func readAV1(t *testing.T, rawURL string, protocol gortsplib.Protocol, count int) [][]byte {
	t.Helper()
	u, err := base.ParseURL(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	c := &gortsplib.Client{Protocol: &protocol, Scheme: u.Scheme, Host: u.Host}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	desc, _, err := c.Describe(u)
	if err != nil {
		t.Fatal(err)
	}
	var forma *format.AV1
	media := desc.FindFormat(&forma)
	if media == nil {
		t.Fatal("there is no AV1")
	}
	dec, err := forma.CreateDecoder()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		t.Fatal(err)
	}
	units := make(chan [][]byte, 2*count)
	c.OnPacketRTP(media, forma, func(pkt *rtp.Packet) {
		if obus, err := dec.Decode(pkt); err == nil {
			select {
			case units <- obus:
			default:
			}
		}
	})
	if _, err := c.Play(nil); err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	expired := time.After(patience)
	for len(out) < count {
		select {
		case obus := <-units:
			if len(out) == 0 && !av1.IsRandomAccess2(obus) {
				continue
			}
			b, err := av1.Bitstream(obus).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			// a temporal delimiter, which RTP does not carry
			out = append(out, slices.Concat([]byte{0x12, 0}, b))
		case <-expired:
			t.Fatalf("%d temporal units have arrived, want %d", len(out), count)
		}
	}
	return out
}

package app

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/protocol/srt"
	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router"
	srcrtsp "github.com/org/mtx/source/rtsp"
)

func TestPcapUDP(t *testing.T) {
	t.Parallel()
	for _, addrs := range [][2]string{
		{"10.0.0.1:8000", "10.0.0.2:4000"}, {"[::ffff:10.0.0.1]:8000", "10.0.0.2:4000"}, {"[fe80::1%1]:8000", "[2001:db8::2]:4000"}, {"[::]:8000", "10.0.0.2:4000"},
	} {
		src, dst := netip.MustParseAddrPort(addrs[0]), netip.MustParseAddrPort(addrs[1])
		var b bytes.Buffer
		c, err := newCapture(&b)
		if err != nil {
			t.Fatal(err)
		}
		payloads := [][]byte{nil, []byte("odd"), bytes.Repeat([]byte("x"), maxDatagram), bytes.Repeat([]byte("x"), maxDatagram+1)}
		for i := range 0x10000 { // one of them has a checksum of zero
			payloads = append(payloads, binary.BigEndian.AppendUint16(nil, uint16(i)))
		}
		for _, p := range payloads {
			if err := c.datagram(time.Now(), src, dst, p); err != nil {
				t.Fatal(err)
			}
		}
		frames := readPcap(t, b.Bytes())
		if len(frames) != len(payloads) {
			t.Fatal(len(frames))
		}
		for i, f := range frames {
			if f.protocol != 17 || f.src.Port() != 8000 || f.dst.Port() != 4000 || !bytes.Equal(f.payload, payloads[i][:min(len(payloads[i]), maxDatagram)]) {
				t.Errorf("%v: %d: %+v", addrs, i, f)
			}
		}
	}
}

func testDumper(t *testing.T) (d *dumper, dir string) {
	t.Helper()
	l, err := newLogger(io.Discard, logOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "dump")
	d = &dumper{log: slog.New(l)}
	d.Configure(true, dir)
	t.Cleanup(func() { d.Configure(false, "") })
	return d, dir
}

// dumped returns the names of the files of a kind; empty: of any.
func dumped(t *testing.T, dir, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_"+cmp.Or(kind, "*")+"_*.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// All that goes to and from an address is in one file; a media of RTSP has two
// ports.
func TestDumpPeers(t *testing.T) {
	t.Parallel()
	d, dir := testDumper(t)
	local, data := netip.MustParseAddrPort("[::]:8000"), []byte("data")
	rtcp := netip.MustParseAddrPort("[::]:8001")
	for _, p := range []struct {
		protocol string
		sent     bool
		local    netip.AddrPort
		remote   string
	}{
		{"rtsp", true, local, "[::ffff:127.0.0.1]:6000"}, {"rtsp", false, local, "127.0.0.1:6000"}, {"rtsp", true, rtcp, "127.0.0.1:6001"},
		{"rtsp", true, local, "127.0.0.1:6002"}, {"srt", false, local, "127.0.0.1:6000"}, {"srt", false, local, "127.0.0.1:6001"}, {"srt", false, local, "[::1]:6001"},
	} {
		d.Packet(p.protocol, p.sent, p.local, netip.MustParseAddrPort(p.remote), data)
	}
	d.Configure(false, "")
	d.Packet("srt", false, local, netip.MustParseAddrPort("127.0.0.1:7"), data)
	want := map[string]string{
		"rtsp-udp_127.0.0.1-6000": "127.0.0.1:8000>127.0.0.1:6000 127.0.0.1:6000>127.0.0.1:8000 127.0.0.1:8001>127.0.0.1:6001",
		"rtsp-udp_127.0.0.1-6002": "127.0.0.1:8000>127.0.0.1:6002",
		"srt-udp_127.0.0.1-6000":  "127.0.0.1:6000>127.0.0.1:8000",
		"srt-udp_127.0.0.1-6001":  "127.0.0.1:6001>127.0.0.1:8000",
		"srt-udp_--1-6001":        "[::1]:6001>[::1]:8000",
	}
	files := dumped(t, dir, "")
	for _, file := range files {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".pcap"), "_")
		var got []string
		for _, f := range readPcap(t, []byte(read(t, file))) {
			got = append(got, f.src.String()+">"+f.dst.String())
			if !bytes.Equal(f.payload, data) {
				t.Errorf("%s: %q", name, f.payload)
			}
		}
		if s := strings.Join(got, " "); s != want[name] {
			t.Errorf("%s: %s, want %s", name, s, want[name])
		}
	}
	if len(files) != len(want) || d.open != 0 || d.peers.list != nil {
		t.Errorf("%d open, %q", d.open, files)
	}
}

// A flood of datagrams from invented addresses takes a bounded number of files and
// no more memory than that, and keeps nobody out for longer than it lasts.
func TestDumpFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, dir := testDumper(t)
		local := netip.MustParseAddrPort("127.0.0.1:8890")
		flood := func() {
			for i := range 5000 {
				a := netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
				d.Packet("srt", false, local, netip.AddrPortFrom(a, 1000), []byte("x"))
			}
		}
		flood()
		if len(dumped(t, dir, "")) != maxPeers || d.open != maxPeers || len(d.peers.list) != maxPeers {
			t.Errorf("%d files, %d open, %d addresses", len(dumped(t, dir, "")), d.open, len(d.peers.list))
		}
		if a, _ := tcpPair(t); d.Conn("x", a) == a {
			t.Error("TCP is not dumped because of UDP")
		}
		time.Sleep(peerIdle - time.Second)
		client := netip.MustParseAddrPort("127.0.0.1:5000")
		d.Packet("srt", false, local, client, []byte("x"))
		if d.peers.list[dumpKey{"srt", client}] != nil {
			t.Error("there is room although nobody has left")
		}
		time.Sleep(time.Second)
		d.Packet("srt", false, local, client, []byte("x"))
		if d.peers.list[dumpKey{"srt", client}] == nil || len(d.peers.list) != 1 || d.open != 2 {
			t.Errorf("%d addresses, %d open", len(d.peers.list), d.open)
		}
		d.files = maxDumpFiles
		flood()
		if n := len(dumped(t, dir, "")); n != maxPeers+2 || len(d.peers.list) != maxPeers {
			t.Errorf("%d files, %d addresses", n, len(d.peers.list))
		}
	})
}

// A folder that cannot be made is tried once for an address, and what is large
// enough does not grow.
func TestDumpPeerLimits(t *testing.T) {
	t.Parallel()
	d, dir := testDumper(t)
	local, remote := netip.MustParseAddrPort("127.0.0.1:8890"), netip.MustParseAddrPort("127.0.0.1:5000")
	writeFile(t, dir, "")
	for range 3 {
		d.Packet("srt", true, local, remote, []byte("x"))
	}
	if d.open != 0 || d.files != 1 {
		t.Errorf("%d open, %d tried", d.open, d.files)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	remote = netip.MustParseAddrPort("127.0.0.1:5001")
	d.Packet("srt", true, local, remote, []byte("x"))
	d.peers.list[dumpKey{"srt", remote}].file.left = 1000
	for range 100 {
		d.Packet("srt", true, local, remote, make([]byte, 100))
	}
	files := dumped(t, dir, "")
	if len(files) != 1 || d.open != 0 {
		t.Fatal(files, d.open)
	}
	if frames := readPcap(t, []byte(read(t, files[0]))); len(frames) != 1+1000/(16+28+100) {
		t.Errorf("%d packets", len(frames))
	}
}

// udpServer is localServer with RTSP over UDP.
func udpServer() string {
	return strings.Replace(localServer, "rtspTransports: [tcp]\n", "rtspTransports: [udp, tcp]\nrtpAddress: 127.0.0.1:0\nrtcpAddress: 127.0.0.1:0\n", 1)
}

// What clients publish and read over UDP is dumped from when it is switched on, by
// the sockets that there are.
func TestDumpUDP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := start(t, udpServer()+operated+"logFile: "+dir+"/log\npaths: {all_others: {}}\n", Options{})
	until(t, "servers", in.out, func() bool { return in.serves("rtsp") && in.serves("srt") && in.serves("webrtc") })
	if status, body := in.call(t, "api", "PATCH", "/v3/config/global/patch", `{"dumpPackets":true}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	p := newPeer(t, in, "")
	if err := p.AddPath(t.Context(), router.PathConfig{Name: "out", Sinks: []router.Sink{
		rtsp.Forward{URL: "rtsp://" + in.addr("rtsp") + "/rtsp", Transport: rtsp.UDP},
		srt.Forward{URL: "srt://" + in.addr("srt") + "?streamid=publish:srt"},
		webrtc.Forward{URL: "whip://" + in.addr("webrtc") + "/webrtc/whip"},
	}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rtsp", "srt", "webrtc"} {
		until(t, "publisher of "+name, in.out, func() bool { return in.ready(name) })
	}
	src := srcrtsp.Source{URL: "rtsp://" + in.addr("rtsp") + "/rtsp", Transport: srcrtsp.UDP}
	if err := p.AddPath(t.Context(), router.PathConfig{Name: "from-rtsp", Source: src}); err != nil {
		t.Fatal(err)
	}
	p.pull("from-srt", "srt", "srt", "", "")
	p.pull("from-webrtc", "webrtc", "webrtc", "", "")
	dir = filepath.Join(dir, "dump")
	// how many files have so much of what; RTSP has two medias
	want := map[string]map[string]int{
		"rtsp":   {"in RTP": 2, "out RTP": 2, "in RTCP": 2, "out RTCP": 2},
		"srt":    {"in data": 1, "out data": 1, "in handshake": 2, "out handshake": 2, "in control": 2, "out control": 2},
		"webrtc": {"in data": 1, "out data": 1, "in STUN": 2, "out STUN": 2, "in DTLS": 2, "out DTLS": 2},
	}
	until(t, "files", in.out, func() bool {
		for protocol, counts := range want {
			n := counts["in RTP"] + counts["out RTP"] + counts["in data"] + counts["out data"]
			for _, file := range dumped(t, dir, protocol+"-udp") {
				if st, err := os.Stat(file); err == nil && st.Size() > 5000 {
					n--
				}
			}
			if n > 0 {
				return false
			}
		}
		return true
	})
	in.stop()
	for protocol, counts := range want {
		got := sortDumped(t, dir, protocol)
		for what, n := range counts {
			if got[what] < n {
				t.Errorf("%s: %s in %d files, want %d", protocol, what, got[what], n)
			}
		}
	}
}

// kinds are what is in datagrams.
var kinds = map[string]func([]byte) string{
	"rtsp": func(b []byte) string {
		switch {
		case len(b) < 8 || b[0]>>6 != 2:
			return "else" // opens ports of a NAT
		case b[1] >= 200 && b[1] <= 207:
			return "RTCP"
		}
		return "RTP"
	},
	"srt": func(b []byte) string {
		switch {
		case len(b) < 16:
			return "invalid"
		case b[0] == 0x80 && b[1] == 0:
			return "handshake"
		case b[0]&0x80 != 0:
			return "control"
		case len(b) > 16 && b[16] == 0x47:
			return "data"
		}
		return "invalid"
	},
	"webrtc": func(b []byte) string { // RFC 7983
		switch {
		case len(b) >= 20 && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == 0x2112a442:
			return "STUN"
		case len(b) > 13 && b[0] >= 20 && b[0] < 64:
			return "DTLS"
		case len(b) > 12 && b[0]>>6 == 2 && (b[1] < 192 || b[1] > 223):
			return "data"
		case len(b) > 8 && b[0]>>6 == 2:
			return "RTCP"
		}
		return "invalid"
	},
}

// sortDumped tells how many files of a protocol have what in which direction, and
// checks that each belongs to one client and lacks nothing.
func sortDumped(t *testing.T, dir, protocol string) map[string]int {
	t.Helper()
	const some = 10 // datagrams of media; a few only open the ports of a NAT
	total := map[string]int{}
	for _, file := range dumped(t, dir, protocol+"-udp") {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".pcap"), "-udp_")
		client, err := netip.ParseAddrPort(strings.Replace(name, "-", ":", 1))
		if err != nil {
			t.Fatal(file, err)
		}
		seen := map[string]int{}
		var sequence uint16
		for _, f := range readPcap(t, []byte(read(t, file))) {
			way, remote := "in ", f.src
			if keyOf(protocol, f.dst).remote == client {
				way, remote = "out ", f.dst
			}
			if keyOf(protocol, remote).remote != client {
				t.Errorf("%s: %v>%v", file, f.src, f.dst)
			}
			kind := way + kinds[protocol](f.payload)
			if kind == "out RTP" {
				n := binary.BigEndian.Uint16(f.payload[2:])
				if seen[kind] > 0 && n != sequence+1 {
					t.Errorf("%s: packet %d after %d", file, n, sequence)
				}
				sequence = n
			}
			seen[kind]++
		}
		t.Log(protocol, seen)
		for kind, n := range seen {
			if strings.HasSuffix(kind, "invalid") {
				t.Errorf("%s: %d of %s", file, n, kind)
			}
			if n >= some || !strings.HasSuffix(kind, "data") && !strings.HasSuffix(kind, "RTP") {
				total[kind]++
			}
		}
	}
	return total
}

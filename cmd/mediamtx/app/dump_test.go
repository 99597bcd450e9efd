package app

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// frame is a packet of a capture.
type frame struct {
	protocol byte
	src, dst netip.AddrPort
	payload  []byte
	seq, ack uint32
	flags    byte
}

// readPcap reads a capture as other programs do, and checks everything that can
// be checked.
func readPcap(t *testing.T, data []byte) (frames []frame) {
	t.Helper()
	if len(data) < 24 || !bytes.Equal(data[:16], []byte{0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0}) || binary.LittleEndian.Uint32(data[20:]) != 101 {
		t.Fatalf("% x", data[:min(24, len(data))])
	}
	snap := binary.LittleEndian.Uint32(data[16:])
	var last time.Time
	for data = data[24:]; len(data) > 0; {
		if len(data) < 16 {
			t.Fatalf("torn record % x", data)
		}
		at := time.Unix(int64(binary.LittleEndian.Uint32(data)), int64(binary.LittleEndian.Uint32(data[4:])))
		if since := time.Since(at); since < -time.Second || since > time.Minute || at.Before(last) || binary.LittleEndian.Uint32(data[4:]) >= 1e9 {
			t.Errorf("packet of %v ago, the one before of %v ago", since, time.Since(last))
		}
		last = at
		n := binary.LittleEndian.Uint32(data[8:])
		if binary.LittleEndian.Uint32(data[12:]) != n || n > snap || int(n) > len(data)-16 {
			t.Fatalf("record % x with %d bytes", data[:16], len(data)-16)
		}
		frames = append(frames, readFrame(t, data[16:16+n]))
		data = data[16+n:]
	}
	return frames
}

func readFrame(t *testing.T, pkt []byte) (f frame) {
	t.Helper()
	var src, dst netip.Addr
	head := 20
	switch pkt[0] {
	case 0x45:
		if checksum(0, pkt[:20]) != 0 || int(binary.BigEndian.Uint16(pkt[2:])) != len(pkt) {
			t.Fatalf("header % x", pkt[:20])
		}
		f.protocol = pkt[9]
		src, _ = netip.AddrFromSlice(pkt[12:16])
		dst, _ = netip.AddrFromSlice(pkt[16:20])
	case 0x60:
		head = 40
		if int(binary.BigEndian.Uint16(pkt[4:])) != len(pkt)-40 {
			t.Fatalf("header % x", pkt[:40])
		}
		f.protocol = pkt[6]
		src, _ = netip.AddrFromSlice(pkt[8:24])
		dst, _ = netip.AddrFromSlice(pkt[24:40])
	default:
		t.Fatalf("neither IPv4 nor IPv6: % x", pkt)
	}
	b := pkt[head:]
	f.src, f.dst = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)), netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	if checksum(pseudo(f.protocol, src, dst, len(b)), b) != 0 {
		t.Errorf("checksum of % x", b[:8])
	}
	switch f.protocol {
	case 6:
		if b[12] != 5<<4 {
			t.Fatalf("header % x", b[:20])
		}
		f.seq, f.ack, f.flags, f.payload = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13], b[20:]
	case 17:
		if int(binary.BigEndian.Uint16(b[4:])) != len(b) || b[6]|b[7] == 0 {
			t.Fatalf("header % x", b[:8])
		}
		f.payload = b[8:]
	default:
		t.Fatalf("protocol %d", f.protocol)
	}
	return f
}

// captured is what a reader of captures finds in that of a TCP connection.
type captured struct {
	in, out bytes.Buffer // payload of either direction
	flags   []byte
}

// reassemble checks sequence numbers.
func reassemble(t *testing.T, frames []frame, local netip.AddrPort) (c captured) {
	t.Helper()
	next := map[bool]uint32{}
	for _, f := range frames {
		out := f.src == local
		if f.protocol != 6 || f.seq != next[out] || f.flags&flagACK != 0 && f.ack != next[!out] {
			t.Errorf("protocol %d, sequence number %d, want %d", f.protocol, f.seq, next[out])
		}
		next[out] += uint32(len(f.payload))
		if f.flags&(flagSYN|flagFIN) != 0 {
			next[out]++
		}
		c.flags = append(c.flags, f.flags)
		if out {
			c.out.Write(f.payload)
		} else {
			c.in.Write(f.payload)
		}
	}
	return c
}

func TestPcapTCP(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789"), 20_000)
	for _, addrs := range [][2]string{{"10.0.0.1:554", "10.0.0.2:4000"}, {"[::ffff:10.0.0.1]:554", "10.0.0.2:4000"}, {"[fe80::1%1]:554", "[2001:db8::2]:4000"}} {
		local, remote := netip.MustParseAddrPort(addrs[0]), netip.MustParseAddrPort(addrs[1])
		var b bytes.Buffer
		p, err := newTCPCapture(&b, local, remote, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			p.data(false, []byte("odd"), time.Now()), p.data(true, large, time.Now()), p.data(false, large, time.Now()), p.end(time.Now()),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		c := reassemble(t, readPcap(t, b.Bytes()), unmapped(local))
		if c.in.String() != "odd"+string(large) || !bytes.Equal(c.out.Bytes(), large) || c.flags[0] != flagSYN || c.flags[len(c.flags)-1] != flagFIN|flagACK {
			t.Errorf("%v: %d bytes in, %d out", addrs, c.in.Len(), c.out.Len())
		}
	}
}

// Connections are dumped while the key is set, each to a file of its own.
func TestDumpPackets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := start(t, localServer+operated+noServers+"dumpPackets: yes\nlogFile: "+dir+"/log\npaths: {all_others: {}}\n", Options{})
	addr := in.addr("rtsp")
	sample(t, in, "cam")
	rtspClient(t, addr, "OPTIONS", "DESCRIBE")
	pattern := filepath.Join(dir, "dump", "*_rtsp_127.0.0.1-*.pcap")
	until(t, "the file", in.out, func() bool {
		files, _ := filepath.Glob(pattern)
		return len(files) == 1 && strings.Count(read(t, files[0]), "RTSP/1.0 200") == 2
	})
	if status, body := in.call(t, "api", "PATCH", "/v3/config/global/patch", `{"dumpPackets":false}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	rtspClient(t, addr, "OPTIONS")
	in.stop()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if st, err := os.Stat(files[0]); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
	c := reassemble(t, readPcap(t, []byte(read(t, files[0]))), netip.MustParseAddrPort(addr))
	if !strings.HasPrefix(c.in.String(), "OPTIONS rtsp://") || !strings.Contains(c.in.String(), "\r\nDESCRIBE ") || strings.Count(c.out.String(), "RTSP/1.0 ") != 2 {
		t.Errorf("%s\n%s", &c.in, &c.out)
	}
}

// A client gets the last answer before its connection is closed, dumped or not.
func TestDumpLastAnswer(t *testing.T) {
	t.Parallel()
	in := start(t, localServer+noServers+"dumpPackets: yes\nlogFile: "+t.TempDir()+"/log\npaths: {all_others: {}}\n", Options{})
	until(t, "start", in.out, func() bool { return in.serves("rtsp") })
	for range 50 {
		c, err := net.Dial("tcp", in.addr("rtsp"))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = c.Write([]byte("OPTIONS rtsp://localhost/cam RTSP/1.0\r\n\r\n")) // without a number
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "RTSP/1.0 400 ") {
			t.Errorf("%q, %v", answer, err)
		}
		_ = c.Close()
	}
}

// What a program looks at before it reads on is not a packet of its own.
func TestDumpPieces(t *testing.T) {
	t.Parallel()
	d, dir := testDumper(t)
	a, b := tcpPair(t)
	c := d.Conn("x", a)
	_, _ = b.Write([]byte("OPTIONS first request"))
	for _, n := range []int{1, 3, 100} {
		_, _ = c.Read(make([]byte, n))
	}
	_, _ = b.Write([]byte("GETX"))
	_, _ = c.Read(make([]byte, 4))
	_, _ = c.Write([]byte("answer"))
	_, _ = b.Write([]byte("END"))
	_, _ = c.Read(make([]byte, 3))
	_ = c.Close()
	var got []string
	for _, f := range readPcap(t, []byte(read(t, dumped(t, dir, "x")[0]))) {
		if len(f.payload) > 0 {
			got = append(got, string(f.payload))
		}
	}
	if want := []string{"OPTIONS first request", "GETX", "answer", "END"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Files do not grow beyond their limit, and a folder that cannot be made keeps
// nobody from connecting.
func TestDumpLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := newLogger(io.Discard, logOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d := &dumper{log: slog.New(l)}
	a, b := tcpPair(t)
	if d.Conn("x", a) != a {
		t.Error("it is dumped although that is switched off")
	}
	writeFile(t, filepath.Join(dir, "file"), "")
	d.Configure(true, filepath.Join(dir, "file", "dump"))
	if d.Conn("x", a) != a || d.open != 0 {
		t.Error("it is dumped although there is no folder")
	}
	d.Configure(true, filepath.Join(dir, "dump"))
	c := d.Conn("x", a).(*dumpedConn)
	c.file.left = 1000
	go func() { _, _ = io.Copy(io.Discard, b) }()
	for range 100 {
		if n, err := c.Write(make([]byte, 100)); n != 100 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := c.Close(); err != nil || d.open != 0 {
		t.Error(err, d.open)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "dump", "*"))
	if len(files) != 1 || len(read(t, files[0])) > 2000 {
		t.Error(files)
	}
	d.total = maxDumpTotal
	if d.Conn("x", a) != a {
		t.Error("it is dumped although there is no room")
	}
}

func tcpPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if b, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if a, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

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
	"strings"
	"testing"
	"time"
)

// captured is what a reader of captures finds in a file.
type captured struct {
	in, out bytes.Buffer // payload of either direction
	flags   []byte
}

// readPcap reads a capture as other programs do, and checks everything that can
// be checked.
func readPcap(t *testing.T, data []byte, local netip.AddrPort) (c captured) {
	t.Helper()
	if len(data) < 24 || binary.LittleEndian.Uint32(data) != 0xa1b23c4d || binary.LittleEndian.Uint32(data[20:]) != 101 {
		t.Fatalf("% x", data)
	}
	next := map[bool]uint32{}
	for data = data[24:]; len(data) > 0; {
		n := binary.LittleEndian.Uint32(data[8:])
		if since := time.Since(time.Unix(int64(binary.LittleEndian.Uint32(data)), 0)); since < -time.Second || since > time.Minute {
			t.Errorf("packet of %v ago", since)
		}
		pkt := data[16 : 16+n]
		data = data[16+n:]
		var src, dst netip.Addr
		head := 20
		if pkt[0]>>4 == 4 {
			if checksum(0, pkt[:20]) != 0 || int(binary.BigEndian.Uint16(pkt[2:])) != len(pkt) {
				t.Errorf("header % x", pkt[:20])
			}
			src, _ = netip.AddrFromSlice(pkt[12:16])
			dst, _ = netip.AddrFromSlice(pkt[16:20])
		} else {
			head = 40
			src, _ = netip.AddrFromSlice(pkt[8:24])
			dst, _ = netip.AddrFromSlice(pkt[24:40])
			if int(binary.BigEndian.Uint16(pkt[4:])) != len(pkt)-40 {
				t.Errorf("header % x", pkt[:40])
			}
		}
		tcp := pkt[head:]
		if checksum(pseudo(src, dst, len(tcp)), tcp) != 0 {
			t.Errorf("checksum of % x", tcp[:20])
		}
		out := netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp)) == local
		seq, payload, flags := binary.BigEndian.Uint32(tcp[4:]), tcp[20:], tcp[13]
		if seq != next[out] || flags&flagACK != 0 && binary.BigEndian.Uint32(tcp[8:]) != next[!out] {
			t.Errorf("sequence number %d, want %d", seq, next[out])
		}
		next[out] += uint32(len(payload))
		if flags&(flagSYN|flagFIN) != 0 {
			next[out]++
		}
		c.flags = append(c.flags, flags)
		if out {
			c.out.Write(payload)
		} else {
			c.in.Write(payload)
		}
	}
	return c
}

func TestPcap(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789"), 20_000)
	for _, addrs := range [][2]string{{"10.0.0.1:554", "10.0.0.2:4000"}, {"[::ffff:10.0.0.1]:554", "10.0.0.2:4000"}, {"[fe80::1%1]:554", "[2001:db8::2]:4000"}} {
		local, remote := netip.MustParseAddrPort(addrs[0]), netip.MustParseAddrPort(addrs[1])
		var b bytes.Buffer
		p, err := newPcap(&b, local, remote, time.Now())
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
		c := readPcap(t, b.Bytes(), unmapped(local))
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
	c := readPcap(t, []byte(read(t, files[0])), netip.MustParseAddrPort(addr))
	if !strings.HasPrefix(c.in.String(), "OPTIONS rtsp://") || !strings.Contains(c.in.String(), "\r\nDESCRIBE ") || strings.Count(c.out.String(), "RTSP/1.0 ") != 2 {
		t.Errorf("%s\n%s", &c.in, &c.out)
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
	c.left = 1000
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

package srtcore

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"

	"github.com/org/mtx/protocol/internal/egress"
)

// benchReaders is how many readers are served.
const benchReaders = 100

// BenchmarkSend is the work of sending alone, for readers that acknowledge: one operation is an access unit of ten packets
// for all readers.
func BenchmarkSend(b *testing.B) {
	for _, name := range []string{"clear", "AES-128"} {
		b.Run(name, func(b *testing.B) { benchmarkSend(b, name != "clear") })
	}
}

func benchmarkSend(b *testing.B, encrypted bool) {
	const packets = 10
	f := newFuzzed(b)
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}) // nobody reads: the kernel drops
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	f.l.start = time.Now()
	f.l.closed = false
	pool := egress.NewPool(1)
	defer pool.Close()
	batch := egress.NewBatch(0)
	var conns []*Conn
	for i := range benchReaders {
		key := peerKey{sink.LocalAddr().(*net.UDPAddr).AddrPort(), uint32(1000 + i)}
		r := &Request{HandshakeVersion: 5, hs: &conclusion{handshake: handshake{mtu: 1500, flow: 8192, socket: key.socket}}}
		if encrypted {
			r.crypto = newCryptoState("a passphrase")
			r.crypto.keyLen, r.crypto.current = 16, keyEven
			r.crypto.send[0] = newSEK(make([]byte, 16), make([]byte, 16))
		}
		c, err := f.l.newConn(r, &Answer{}, key, 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		conns = append(conns, c)
	}
	blk := pool.Get(packets * 1316)
	for i := range packets {
		blk.AppendPacket(numbered(i, 1316))
	}
	m := pool.NewMessage()
	m.SetPackets(blk)
	ack := words(0, 10000, 1000, 8192, 0, 0, 0)
	b.ReportAllocs()
	for b.Loop() {
		now := f.l.now()
		for i, c := range conns {
			c.Deliver(m, batch)
			if i%16 == 15 {
				batch.Flush() // as the workers of a pool do, before memory runs out
			}
		}
		batch.Flush()
		for _, c := range conns {
			binary.BigEndian.PutUint32(ack, uint32(c.snd.next()))
			c.packet(batch, header{control: true, typ: ctrlACK, info: 1}, ack, now)
		}
		batch.Flush()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/packets/benchReaders, "ns/packet")
	for _, c := range conns {
		c.closing = ErrClosed
		c.finish()
	}
}

// BenchmarkServe compares the processor time of this process with that of a gosrt server, while 100 readers (gosrt, in
// a process of their own) get 1 Mbit/s each. One operation is one access unit, in real time: use -benchtime 200x.
func BenchmarkServe(b *testing.B) {
	for _, tc := range []struct{ name, passphrase string }{{"clear", ""}, {"AES-128", "a passphrase"}} {
		b.Run(tc.name+"/ours", func(b *testing.B) { serveOurs(b, tc.passphrase) })
		b.Run(tc.name+"/gosrt", func(b *testing.B) { serveGosrt(b, tc.passphrase) })
	}
}

// Sizes of the packets of an access unit: 1 Mbit/s at 30 per second.
var benchSizes = []int{1316, 1316, 1316, 188}

func serveOurs(b *testing.B, passphrase string) {
	pool := egress.NewPool(0)
	defer pool.Close()
	group := pool.NewGroup()
	opened := make(chan *Conn, benchReaders)
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	l, err := Listen(sock, Config{Accept: func(_ context.Context, r *Request) (*Answer, error) {
		return &Answer{OnOpen: func(c *Conn) { opened <- c }}, r.SetPassphrase(passphrase)
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	before := memory()
	stop := startReaders(b, l.Addr().String(), passphrase)
	defer stop()
	for range benchReaders {
		group.Add(<-opened)
	}
	measure(b, before, func() {
		blk := pool.Get(5000)
		for _, n := range benchSizes {
			blk.AppendPacket(make([]byte, n))
		}
		m := pool.NewMessage()
		m.SetPackets(blk)
		group.Send(m)
	})
}

func serveGosrt(b *testing.B, passphrase string) {
	cfg := srt.DefaultConfig()
	cfg.PayloadSize = 1316
	before := memory()
	l, err := srt.Listen("srt", "127.0.0.1:0", cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var conns []srt.Conn
	accepted := make(chan srt.Conn)
	go func() {
		for range benchReaders {
			r, err := l.Accept2()
			if err != nil {
				return
			}
			if passphrase != "" {
				r.SetPassphrase(passphrase)
			}
			c, err := r.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	stop := startReaders(b, l.Addr().String(), passphrase)
	defer stop()
	for range benchReaders {
		conns = append(conns, <-accepted)
	}
	measure(b, before, func() {
		for _, n := range benchSizes {
			p := make([]byte, n)
			for _, c := range conns {
				c.Write(p)
			}
		}
	})
}

// measure sends access units in real time.
func measure(b *testing.B, before uint64, send func()) {
	b.Helper()
	for range 30 {
		send()
		time.Sleep(time.Second / 30)
	}
	begin := cpuTime()
	for b.Loop() {
		send()
		time.Sleep(time.Second / 30)
	}
	used := cpuTime() - begin
	packets := b.N * benchReaders * len(benchSizes)
	b.ReportMetric(float64(used.Nanoseconds())/float64(packets), "cpu-ns/packet")
	b.ReportMetric(float64(memory()-before)/benchReaders, "B/reader")
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// readersEnv makes the test binary a set of readers: an address and a passphrase.
const readersEnv = "SRTCORE_READERS"

// startReaders starts the process of the readers.
func startReaders(b *testing.B, addr, passphrase string) (stop func()) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), readersEnv+"="+addr+","+passphrase)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	}
}

// runReaders is the process of the readers, which ends with its standard input.
func runReaders(arg string) {
	addr, passphrase, _ := strings.Cut(arg, ",")
	var conns []srt.Conn
	var wg sync.WaitGroup
	for range benchReaders {
		c, err := tryDial(addr, func(c *srt.Config) { c.Passphrase, c.ConnectionTimeout = passphrase, patience })
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		conns = append(conns, c)
		wg.Go(func() { io.Copy(io.Discard, c) })
	}
	io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		c.Close()
	}
	wg.Wait()
}

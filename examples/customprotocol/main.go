// Command customprotocol adds a protocol to the router: lines over TCP.
//
//	(echo PUB clock; while sleep 1; do date; done) | nc localhost 7000
//	echo READ clock | nc localhost 7000
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"os/signal"

	"github.com/org/mtx"
	"github.com/org/mtx/router/media"
)

// Lines is the protocol. Its fields are its configuration, nothing else: what
// lives at run time is local to Serve.
type Lines struct{ Addr string }

// Name implements mtx.Protocol.
func (l *Lines) Name() string { return "lines" }

// Serve implements mtx.Protocol.
func (l *Lines) Serve(ctx context.Context, h *mtx.Host) error {
	ln, err := h.Listen("tcp", l.Addr)
	if err != nil {
		return err
	}
	return h.ServeListener(ctx, ln, func(ctx context.Context, c net.Conn) error { return handle(ctx, h, c) })
}

// handle serves one client.
func handle(ctx context.Context, h *mtx.Host, conn net.Conn) error {
	lines := bufio.NewScanner(conn) // refuses lines of more than 64 KiB
	lines.Scan()
	var verb, path string
	if _, err := fmt.Sscan(lines.Text(), &verb, &path); err != nil {
		return err
	}
	req := &mtx.AccessRequest{Action: mtx.ActionRead, Path: path}
	if verb == "PUB" {
		req.Action = mtx.ActionPublish
	}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		req.Addr, _ = netip.AddrFromSlice(a.IP)
	}
	grant, err := h.Authorize(ctx, req) // the only way for a client to publish or read
	if err != nil {
		return err
	}
	if verb == "PUB" {
		return publish(ctx, grant, lines)
	}
	return read(ctx, grant, conn)
}

func publish(ctx context.Context, grant *mtx.Grant, lines *bufio.Scanner) error {
	text := media.Track{Codec: &media.Generic{Media: media.Data, RTPMap: "text/1000", Rate: 1000}}
	pub, err := grant.Publish(ctx, []media.Track{text}, mtx.PublishOptions{Peer: mtx.Peer{Type: "linesConn"}})
	if err != nil {
		return err
	}
	defer pub.Close()
	for i := int64(0); lines.Scan(); i++ {
		pub.Write(0, &media.Unit{PTS: i, Payload: [][]byte{[]byte(lines.Text())}})
	}
	return lines.Err()
}

func read(ctx context.Context, grant *mtx.Grant, conn net.Conn) error {
	rd, err := grant.Read(ctx, mtx.ReadOptions{Peer: mtx.Peer{Type: "linesConn"}})
	if err != nil {
		return err
	}
	defer rd.Close()
	for {
		_, u, err := rd.Next(ctx)
		if err != nil {
			return err
		}
		if _, err = fmt.Fprintf(conn, "%s\n", u.Payload[0]); err != nil {
			return err
		}
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":7000")
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string) error {
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{&Lines{Addr: addr}},
		Paths:     []mtx.PathConfig{{Name: mtx.AllOthers}},
	})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

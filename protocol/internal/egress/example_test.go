package egress_test

import (
	"fmt"
	"io"
	"net"

	"github.com/org/mtx/protocol/internal/egress"
)

// An access unit of two packets goes to a reader that has track 0 on channel 2.
func Example() {
	pool := egress.NewPool(0)
	defer pool.Close()
	group := pool.NewGroup()
	defer group.Close()

	server, client := net.Pipe()
	conn := egress.NewTCPConn(server, egress.TCPOptions{})
	defer conn.Close()
	reader := egress.NewTCPReader(conn, []egress.TCPTrack{{Track: 0, Channel: 2}})
	group.Add(reader)

	m := pool.NewMessage()
	m.Video, m.Key = true, true
	for _, channel := range group.Channels(0) {
		b := pool.Get(100)
		b.AppendFrame(channel, []byte("packet"))
		b.AppendFrame(channel, []byte("another"))
		m.SetInterleaved(channel, b)
	}
	group.Send(m)

	buf := make([]byte, 21)
	io.ReadFull(client, buf)
	fmt.Printf("%q\n", buf)
	// Output: "$\x02\x00\x06packet$\x02\x00\aanother"
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// reader plays a stream and feeds a meter until it is closed.
type reader struct {
	*meter
	client  *rtspClient
	sockets []*net.UDPConn // none over TCP
}

func (r *reader) close() {
	r.client.close()
	for _, s := range r.sockets {
		s.Close()
	}
	<-r.ended
}

// readTCP plays a path with RTP interleaved in the RTSP connection.
func readTCP(ctx context.Context, addr, path string, m *meter) (*reader, error) {
	c, err := dialRTSP(ctx, addr, path)
	if err != nil {
		return nil, err
	}
	if err := c.play("RTP/AVP/TCP;unicast;interleaved=0-1"); err != nil {
		c.close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	go func() { m.end(receiveTCP(c, m)) }()
	return &reader{meter: m, client: c}, nil
}

// receiveTCP reads with few, large reads: readers share the machine with the
// server and must cost little.
func receiveTCP(c *rtspClient, m *meter) error {
	// twice the longest interleaved frame, so that there is always room to read
	buf := make([]byte, 2*(4+0xffff))
	// what arrived together with the answer to PLAY
	early, _ := c.br.Peek(c.br.Buffered())
	have := copy(buf, early)
	for {
		used, ok := interleaved(buf[:have], m.packet)
		if !ok {
			return errors.New("the server sent something that is neither media nor an answer")
		}
		have = copy(buf, buf[used:have])
		if have == len(buf) {
			return errors.New("the server sent an answer without end")
		}
		n, err := c.conn.Read(buf[have:])
		if err != nil {
			return err
		}
		have += n
	}
}

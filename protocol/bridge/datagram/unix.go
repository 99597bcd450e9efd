package datagram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// removeStale removes the file of a Unix socket that nobody listens on anymore.
// Other files stay.
func removeStale(ctx context.Context, network, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("there is a file of this name that is no socket")
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, path)
	if err == nil {
		_ = c.Close()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil || errors.Is(err, syscall.EPROTOTYPE) {
		return errors.New("somebody listens on this socket already")
	}
	return os.Remove(path)
}

// unixgramSocket receives datagrams through a file.
type unixgramSocket struct {
	c    *net.UnixConn
	path string
	buf  []byte
	out  [1][]byte
	once sync.Once
}

func listenUnixgram(ctx context.Context, path string) (socket, error) {
	if err := removeStale(ctx, "unixgram", path); err != nil {
		return nil, err
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &unixgramSocket{c: c, path: path, buf: make([]byte, maxDatagram)}, nil
}

func (s *unixgramSocket) receive(timeout time.Duration) ([][]byte, error) {
	if err := s.c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	for {
		n, _, err := s.c.ReadFromUnix(s.buf)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			s.out[0] = s.buf[:n]
			return s.out[:], nil
		}
	}
}

func (s *unixgramSocket) close() {
	s.once.Do(func() {
		_ = os.Remove(s.path)
		_ = s.c.Close()
	})
}

// streamSocket receives the bytes of one sender at a time through a file.
type streamSocket struct {
	ln  *net.UnixListener
	log *slog.Logger
	buf []byte
	out [1][]byte

	// Of receive.
	current net.Conn // nil: nobody is there
	begun   bool     // the sender sent something

	refusing sync.WaitGroup
	mu       sync.Mutex
	closed   bool
	open     net.Conn // current, for close
}

func listenStream(ctx context.Context, path string, o Options) (socket, error) {
	if err := removeStale(ctx, "unix", path); err != nil {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return &streamSocket{ln: ln, log: o.Log, buf: make([]byte, maxDatagram)}, nil
}

// receive takes the first sender that sends something. Who connects and sends
// nothing may be looking whether somebody listens.
func (s *streamSocket) receive(timeout time.Duration) ([][]byte, error) {
	for {
		if s.current == nil {
			if err := s.accept(); err != nil {
				return nil, err
			}
		}
		if err := s.current.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return nil, err
		}
		n, err := s.current.Read(s.buf)
		if n > 0 {
			if !s.begun {
				s.begin()
			}
			s.out[0] = s.buf[:n]
			return s.out[:], nil
		}
		if errors.Is(err, syscall.ECONNRESET) {
			err = io.EOF
		}
		if s.begun || errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		_ = s.current.Close()
		s.current = nil
	}
}

func (s *streamSocket) accept() error {
	c, err := s.ln.Accept()
	if err != nil {
		return fmt.Errorf("no sender can be accepted: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return net.ErrClosed
	}
	s.current, s.open = c, c
	return nil
}

// begin makes the current sender the one that counts.
func (s *streamSocket) begin() {
	s.begun = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.refusing.Go(s.refuse)
	}
}

// refuse turns further senders away as long as there is one.
func (s *streamSocket) refuse() {
	for warned := false; ; warned = true {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		if !warned {
			s.log.Warn("a second sender is turned away")
		}
		_ = c.Close()
	}
}

func (s *streamSocket) close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		_ = s.ln.Close() // removes the file
		if s.open != nil {
			_ = s.open.Close()
		}
	}
	s.mu.Unlock()
	s.refusing.Wait()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
)

// plainEnv makes this program the baseline server. It holds the RTSP, RTP and
// RTCP address, separated by commas.
const plainEnv = "MTX_BENCH_PLAIN"

// plainQueue is the number of packets that may wait for a reader, as most
// programs on this library choose it for streams with large key frames.
const plainQueue = 512

// plainServer is the baseline: the library as its examples use it. Every packet
// of a publisher goes to the ServerStream, which queues it for every reader.
type plainServer struct {
	lib *gortsplib.Server

	mu      sync.RWMutex
	streams map[string]*gortsplib.ServerStream
}

// servePlain runs the baseline until it gets SIGTERM, or until standard input
// ends because the program that started it is gone.
func servePlain(spec string) error {
	addrs := strings.Split(spec, ",")
	if len(addrs) != 3 {
		return fmt.Errorf("%s must hold three addresses", plainEnv)
	}
	s := &plainServer{streams: make(map[string]*gortsplib.ServerStream)}
	s.lib = &gortsplib.Server{
		Handler:        s,
		RTSPAddress:    addrs[0],
		UDPRTPAddress:  addrs[1],
		UDPRTCPAddress: addrs[2],
		WriteQueueSize: plainQueue,
	}
	if err := s.lib.Start(); err != nil {
		return err
	}
	defer s.lib.Close()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	failed := make(chan error, 1)
	go func() { failed <- s.lib.Wait() }()
	select {
	case err := <-failed: // the listener broke
		return err
	case <-ctx.Done():
		return nil
	}
}

func status(code base.StatusCode) *base.Response { return &base.Response{StatusCode: code} }

func (s *plainServer) stream(path string) *gortsplib.ServerStream {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.streams[path]
}

// OnAnnounce implements gortsplib.ServerHandlerOnAnnounce.
func (s *plainServer) OnAnnounce(ctx *gortsplib.ServerHandlerOnAnnounceCtx) (*base.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[ctx.Path] != nil {
		return status(base.StatusBadRequest), errors.New("someone is already publishing to this path")
	}
	stream := &gortsplib.ServerStream{Server: s.lib, Desc: ctx.Description}
	if err := stream.Initialize(); err != nil {
		return status(base.StatusBadRequest), err
	}
	s.streams[ctx.Path] = stream
	return status(base.StatusOK), nil
}

// OnDescribe implements gortsplib.ServerHandlerOnDescribe.
func (s *plainServer) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	stream := s.stream(ctx.Path)
	if stream == nil {
		return status(base.StatusNotFound), nil, nil
	}
	return status(base.StatusOK), stream, nil
}

// OnSetup implements gortsplib.ServerHandlerOnSetup.
func (s *plainServer) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if ctx.Session.State() == gortsplib.ServerSessionStatePreRecord {
		return status(base.StatusOK), nil, nil
	}
	stream := s.stream(ctx.Path)
	if stream == nil {
		return status(base.StatusNotFound), nil, nil
	}
	return status(base.StatusOK), stream, nil
}

// OnPlay implements gortsplib.ServerHandlerOnPlay.
func (s *plainServer) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return status(base.StatusOK), nil
}

// OnRecord implements gortsplib.ServerHandlerOnRecord.
func (s *plainServer) OnRecord(ctx *gortsplib.ServerHandlerOnRecordCtx) (*base.Response, error) {
	stream := s.stream(ctx.Path)
	if stream == nil {
		return status(base.StatusNotFound), nil
	}
	ctx.Session.OnPacketRTPAny(func(medi *description.Media, _ format.Format, pkt *rtp.Packet) {
		// a full queue is reported to the session, and seen by its reader as a loss
		_ = stream.WritePacketRTPWithNTP(medi, pkt, time.Now())
	})
	return status(base.StatusOK), nil
}

package webrtcpeer

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// TestClose ends an engine with peers in all states.
func TestClose(t *testing.T) {
	before := goleak.IgnoreCurrent()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	c := h264Case()
	s, r := publish(ctx, t, client, server, tracksOf(c), ReceiveOptions{})
	if err := s.Connected(ctx); err != nil {
		t.Fatal(err)
	}
	_, offer, err := client.OfferReceive(ctx, ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.AnswerSend(ctx, offer, SendOptions{Tracks: tracksOf(c)}); err != nil {
		t.Fatal(err)
	}
	server.Close()
	client.Close()
	if !errors.Is(r.Err(), ErrClosed) || server.Peers() != 0 || client.Peers() != 0 {
		t.Error(r.Err(), server.Peers(), client.Peers())
	}
	if _, _, err := server.OfferReceive(ctx, ReceiveOptions{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	r.Close()
	r.Close()
	goleak.VerifyNone(t, before)
}

// TestViewers lets 100 viewers join and leave.
func TestViewers(t *testing.T) {
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	c := h264Case()
	f := newFeeder(t, c)
	round := func(n int) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				r, offer, err := client.OfferReceive(ctx, ReceiveOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				s, answer, err := server.AnswerSend(ctx, offer, SendOptions{Tracks: tracksOf(c)})
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				if err := r.SetAnswer(answer); err != nil {
					t.Error(err)
					return
				}
				if err := s.Connected(ctx); err != nil {
					t.Error(err)
					return
				}
				f.group.Add(s.Viewer())
				defer f.group.Remove(s.Viewer())
				if _, _, err := r.Tracks(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	r, offer, err := client.OfferReceive(ctx, ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := server.AnswerSend(ctx, offer, SendOptions{Tracks: tracksOf(c)})
	if err != nil {
		t.Fatal(err)
	}
	f.run(t, s.Outputs())
	s.Close()
	r.Close()
	round(10)
	before := runtime.NumGoroutine()
	for range 4 {
		round(25)
	}
	eventually(t, "the end of all goroutines of viewers", func() bool { return runtime.NumGoroutine() <= before+2 })
	eventually(t, "the end of all peers", func() bool { return server.Peers() == 0 })
}

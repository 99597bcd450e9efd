package whep_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// standIn is a WHEP server on plain pion, with the default settings of that
// library, whose one track is VP8.
type standIn struct {
	t    testing.TB
	url  string
	mute bool                // nothing is sent
	edit func(string) string // changes answers
	pli  func()              // called for key frame requests; nil: they are ignored
	link string              // Link header of answers
	stop int                 // after so many packets nothing is sent anymore; 0: never

	wg       sync.WaitGroup // of sessions
	requests sync.RWMutex   // read-locked by requests

	mu      sync.Mutex
	peers   []*webrtc.PeerConnection
	deleted int
}

func (s *standIn) start() *standIn {
	s.t.Helper()
	srv := httptest.NewServer(s)
	s.url = "whep" + strings.TrimPrefix(srv.URL, "http")
	s.t.Cleanup(func() {
		srv.Close()
		s.closePeers()
	})
	return s
}

// handler is the server without HTTP.
func (s *standIn) handler() http.HandlerFunc {
	s.t.Cleanup(s.closePeers)
	return s.ServeHTTP
}

// closePeers ends all sessions and waits for what belongs to them.
func (s *standIn) closePeers() {
	s.requests.Lock() // those under way may still add some
	defer s.requests.Unlock()
	s.mu.Lock()
	peers := s.peers
	s.peers = nil
	s.mu.Unlock()
	for _, pc := range peers {
		_ = pc.GracefulClose()
	}
	s.wg.Wait()
}

// ServeHTTP implements http.Handler.
func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.RLock()
	defer s.requests.RUnlock()
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return
	case r.Method == http.MethodDelete:
		s.mu.Lock()
		s.deleted++
		s.mu.Unlock()
		return
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	answer, err := s.answer(r.Context(), string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s.edit != nil {
		answer = s.edit(answer)
	}
	if s.link != "" {
		w.Header().Set("Link", s.link)
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", "/session")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(answer))
}

func (s *standIn) answer(ctx context.Context, offer string) (string, error) {
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.peers = append(s.peers, pc)
	s.mu.Unlock()
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, "video", "stream")
	if err != nil {
		return "", err
	}
	sender, err := pc.AddTrack(track)
	if err != nil {
		return "", err
	}
	s.wg.Go(func() { s.hear(sender) })
	closed := make(chan struct{})
	end := sync.OnceFunc(func() { close(closed) })
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			if !s.mute {
				s.wg.Go(func() { s.send(track, closed) })
			}
		case webrtc.PeerConnectionStateClosed:
			end()
		case webrtc.PeerConnectionStateFailed:
			go func() { _ = pc.GracefulClose() }()
		}
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return pc.LocalDescription().SDP, nil
}

// hear reads RTCP until the end.
func (s *standIn) hear(sender *webrtc.RTPSender) {
	for {
		pkts, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range pkts {
			if _, ok := p.(*rtcp.PictureLossIndication); ok && s.pli != nil {
				s.pli()
			}
		}
	}
}

// send sends key frames of VP8 (RFC 7741), 50 per second.
func (s *standIn) send(track *webrtc.TrackLocalStaticRTP, closed <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; s.stop == 0 || n < s.stop; n++ {
		select {
		case <-tick.C:
		case <-closed:
			return
		}
		_ = track.WriteRTP(&rtp.Packet{
			Header:  rtp.Header{Version: 2, Marker: true, SequenceNumber: uint16(n), Timestamp: uint32(n) * 1800},
			Payload: append([]byte{0x10}, vp8Key...),
		})
	}
}

// vp8Key is the beginning of a key frame of VP8, 16x16 (RFC 6386 section 9.1).
const vp8Key = "\x10\x02\x00\x9d\x01\x2a\x10\x00\x10\x00\x00\x07\x08\x85\x85\x88"

// unreachable spoils the password of ICE, so that no address answers.
func unreachable(answer string) string {
	return regexp.MustCompile(`(?m)^a=ice-pwd:\S+`).ReplaceAllString(answer, "a=ice-pwd:"+strings.Repeat("x", 32))
}

// rejected refuses all sections.
func rejected(answer string) string {
	answer = regexp.MustCompile(`(?m)^m=(\S+) \d+`).ReplaceAllString(answer, "m=$1 0")
	return strings.NewReplacer("a=sendrecv", "a=inactive", "a=sendonly", "a=inactive").Replace(answer)
}

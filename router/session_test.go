package router_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

type session struct {
	info   router.SessionInfo
	closed atomic.Int64
	err    error
}

func (s *session) Info() router.SessionInfo { return s.info }

func (s *session) Close() error {
	s.closed.Add(1)
	return s.err
}

func newSession(kind, id string, age time.Duration) *session {
	return &session{info: router.SessionInfo{Kind: kind, ID: id, Created: time.Unix(1e9, 0).Add(-age)}}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	r, h := startHost(t, config())
	early := routertest.Record(t, r)
	young, old, other := newSession("rtspConn", "1", 0), newSession("rtspConn", "2", time.Hour), newSession("srtConn", "1", 0)
	other.err = errors.New("cannot be closed")
	remove := h.AddSession(young)
	h.AddSession(old)
	h.AddSession(other)
	late := routertest.Record(t, r)

	var ids []string
	for i := range r.Sessions("rtspConn") {
		ids = append(ids, i.ID)
	}
	if !slices.Equal(ids, []string{"2", "1"}) {
		t.Errorf("sessions: %v, want the oldest first", ids)
	}
	if n := len(slices.Collect(r.Sessions(""))); n != 3 {
		t.Errorf("%d sessions of all kinds", n)
	}
	for range r.Sessions("") {
		break
	}
	if i, err := r.Session("srtConn", "1"); err != nil || i.Kind != "srtConn" {
		t.Errorf("got %+v, %v", i, err)
	}
	for _, c := range [][2]string{{"rtspConn", "9"}, {"hlsMuxer", "1"}, {"rtspConn", ""}, {"", ""}} {
		_, err := r.Session(c[0], c[1])
		wantErr(t, err, router.ErrSessionNotFound)
		wantErr(t, r.Kick(c[0], c[1]), router.ErrSessionNotFound)
	}
	if err := r.Kick("rtspConn", "1"); err != nil || young.closed.Load() != 1 || old.closed.Load()+other.closed.Load() != 0 {
		t.Errorf("kick: %v, closed %d %d %d", err, young.closed.Load(), old.closed.Load(), other.closed.Load())
	}
	wantErr(t, r.Kick("srtConn", "1"), other.err)
	remove()
	remove()
	for _, e := range []*routertest.Events{early, late} {
		e.Wait(t, "closed rtspConn 1", 1)
		if e.Count("opened rtspConn 1") != 1 || e.Count("opened rtspConn 2") != 1 || e.Count("closed rtspConn 1") != 1 {
			t.Errorf("events: %q", e.List())
		}
	}
	wantErr(t, r.Kick("rtspConn", "1"), router.ErrSessionNotFound)
}

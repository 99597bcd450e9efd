package hook

import (
	"testing"

	"github.com/org/mtx/router"
)

// Many clients do not keep the commands of paths from being run.
func TestClientsLeaveRoom(t *testing.T) {
	t.Parallel()
	r := NewRunner(nil)
	defer r.Close()
	r.running = maxOfClients // as if
	running := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.running
	}
	lasting := Command{Line: "nothing-of-this-name", Restart: true} // it fails and is tried again
	r.SetConnections(Connections{Connect: lasting})
	defer r.Hooks().SessionOpened(router.SessionEvent{Kind: "rtspConn", ID: "a"})()
	if n := running(); n != maxOfClients {
		t.Error("the command of a connection is run")
	}
	config := &router.PathConfig{Extras: []any{Commands{Ready: lasting}}}
	defer r.Hooks().PathReady(router.PathEvent{Path: "cam", Config: config})()
	if n := running(); n != maxOfClients+1 {
		t.Error("the command of a path is not run")
	}
}

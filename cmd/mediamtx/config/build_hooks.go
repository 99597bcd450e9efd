package config

import (
	"net"
	"os"
	"reflect"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
)

// exec tells how the commands of hooks are run: they write where the server
// does.
func (d *Document) exec(s Shared) hook.Exec {
	_, port, _ := net.SplitHostPort(d.RTSPAddress)
	return hook.Exec{Env: []string{"RTSP_PORT=" + port}, Stdout: os.Stdout, Stderr: os.Stderr, Processes: s.Processes}
}

// Connections returns the commands that run for each connection of a client.
func (d *Document) Connections(s Shared) hook.Connections {
	return hook.Connections{
		Exec:       d.exec(s),
		Connect:    hook.Command{Line: d.RunOnConnect, Restart: d.RunOnConnectRestart},
		Disconnect: d.RunOnDisconnect,
	}
}

// WebhookTargets returns the webhooks.
func (d *Document) WebhookTargets() []hook.Webhook {
	var out []hook.Webhook
	for _, w := range d.Webhooks {
		out = append(out, hook.Webhook{URL: w.URL, Events: w.Events, Secret: w.Secret})
	}
	return out
}

// buildCommands returns the commands of a path; ok is false if it has none.
func (d *Document) buildCommands(p *Path, s Shared) (c hook.Commands, ok bool) {
	c = hook.Commands{
		Init:            hook.Command{Line: p.RunOnInit, Restart: p.RunOnInitRestart},
		Ready:           hook.Command{Line: p.RunOnReady, Restart: p.RunOnReadyRestart},
		NotReady:        p.RunOnNotReady,
		Online:          hook.Command{Line: p.RunOnOnline, Restart: p.RunOnOnlineRestart},
		Offline:         p.RunOnOffline,
		Read:            hook.Command{Line: p.RunOnRead, Restart: p.RunOnReadRestart},
		Unread:          p.RunOnUnread,
		SegmentCreate:   p.RunOnRecordSegmentCreate,
		SegmentComplete: p.RunOnRecordSegmentComplete,
	}
	lines := c
	for _, cmd := range []*hook.Command{&lines.Init, &lines.Ready, &lines.Online, &lines.Read} {
		cmd.Restart = false // means nothing without a command
	}
	if reflect.DeepEqual(lines, hook.Commands{}) {
		return hook.Commands{}, false
	}
	c.Exec = d.exec(s)
	return c, true
}

// invite lets the first reader start a command that publishes.
func (d *Document) invite(p *Path, s Shared, c *router.PathConfig) {
	c.Source = hook.OnDemand{
		Exec:     d.exec(s),
		Command:  hook.Command{Line: p.RunOnDemand, Restart: p.RunOnDemandRestart},
		UnDemand: p.RunOnUnDemand,
	}
	c.OnDemand = router.OnDemand{
		Enabled:      true,
		StartTimeout: time.Duration(p.RunOnDemandStartTimeout),
		CloseAfter:   time.Duration(p.RunOnDemandCloseAfter),
	}
}

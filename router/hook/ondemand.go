package hook

import (
	"context"
	"log/slog"

	"github.com/org/mtx/router"
)

// OnDemand is a source that runs a command, which is expected to publish to the
// path. With [router.OnDemand] enabled it is started by the first reader.
type OnDemand struct {
	Exec Exec

	// Command runs while readers want the stream. Mandatory.
	Command Command

	// UnDemand is run when Command was ended. When the router stops, it has the
	// grace of Exec.
	UnDemand string
}

var _ router.Inviter = OnDemand{}

// Type implements [router.Source].
func (OnDemand) Type() string { return "command" }

// Invites implements [router.Inviter].
func (OnDemand) Invites() {}

// Validate tells what is wrong with the command lines.
func (o OnDemand) Validate() error {
	if err := ValidateLine(o.Command.Line); err != nil {
		return err
	}
	return ValidateLine(o.UnDemand)
}

// Run implements [router.Source].
func (o OnDemand) Run(ctx context.Context, run *router.SourceRun) error {
	vars := append(pathVars(run.Path, run.Groups), "MTX_QUERY="+encodeQuery(run.Query))
	if o.Command.Line != "" {
		(&job{o.Exec, o.Command.Line, o.Command.Restart, true, vars, run.Log}).run(ctx)
	}
	<-ctx.Done()
	if o.UnDemand != "" {
		o.unDemand(ctx, vars, run.Log)
	}
	return ctx.Err()
}

func (o OnDemand) unDemand(ctx context.Context, vars []string, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Exec.grace())
	defer cancel()
	(&job{o.Exec, o.UnDemand, false, false, vars, log}).run(ctx)
}

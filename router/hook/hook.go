// Package hook makes things happen outside of the program when something
// happens in a router: it runs external commands and calls webhooks.
//
// # Commands
//
// A path carries its [Commands] among its extras, and a [Runner] runs them:
//
//	runner := hook.NewRunner(log)
//	defer runner.Close()
//	r, err := router.New(router.Config{Paths: []router.PathConfig{{
//		Name: "cam",
//		Extras: []any{hook.Commands{
//			Ready:    hook.Command{Line: "notify-send 'camera is on'"},
//			NotReady: "notify-send 'camera is off'",
//		}},
//	}}}, router.WithHooks(runner.Hooks()))
//
// [OnDemand] is a source that runs a command which is expected to publish.
//
// A command line is split as a shell does, with quotes and backslashes. Then
// $NAME and ${NAME} are replaced in each part, by the variables below or by
// those of the program, and the first part is executed with the others as
// arguments. No shell is involved, so what a client sent (a path, a query) stays
// inside of its argument, whatever it is. If the command line names a shell
// itself (sh -c '...'), what follows is left for that shell to replace, from the
// same variables: they are in its environment too.
//
//	MTX_PATH                             name of the path
//	G1, G2...                            groups of the regular expression of the path
//	MTX_QUERY                            query of the client, percent-encoded
//	MTX_SOURCE_TYPE, MTX_SOURCE_ID       who publishes (Ready, NotReady, Online, Offline)
//	MTX_READER_TYPE, MTX_READER_ID       who reads (Read, Unread)
//	MTX_SEGMENT_PATH                     file (SegmentCreate, SegmentComplete)
//	MTX_SEGMENT_DURATION                 in seconds (SegmentComplete)
//	MTX_CONN_TYPE, MTX_CONN_ID           connection (Connect, Disconnect)
//
// Each command is a process group of its own. Who is no longer wanted gets
// SIGINT, and SIGKILL after a grace. A command that runs while something lasts
// is not over before its children are, also those that it left in the
// background; what one that runs once leaves behind is not looked after. On
// Windows processes are killed, and the command line is passed as it is.
//
// # Webhooks
//
// [Webhooks] send a JSON document to a URL for each [Event].
package hook

import (
	"os"
	"time"

	"github.com/org/mtx/router"
)

// Exec tells how commands are executed.
type Exec struct {
	// Env are further variables, "NAME=value".
	Env []string

	// Stdout and Stderr of the commands. Nil discards.
	Stdout, Stderr *os.File

	// Grace is the time between SIGINT and SIGKILL. Default 5s.
	Grace time.Duration

	// Pause is the time between the end of a command and its restart. Default 5s.
	Pause time.Duration

	// Processes, if set, gets the processes, so that a program that cannot wait
	// for them can end them.
	Processes *Processes
}

func (e *Exec) grace() time.Duration {
	if e.Grace <= 0 {
		return 5 * time.Second
	}
	return e.Grace
}

func (e *Exec) pause() time.Duration {
	if e.Pause <= 0 {
		return 5 * time.Second
	}
	return e.Pause
}

// Command is a command that runs while something lasts.
type Command struct {
	Line    string // empty: none
	Restart bool   // it is started again when it ends by itself
}

// Commands are the commands of a path: an extra of [router.PathConfig].
type Commands struct {
	Exec Exec

	Init Command // runs while the path exists

	Ready    Command // runs while a stream is available
	NotReady string  // when it is no longer

	Online  Command // runs while somebody publishes: while the stream is not a standby
	Offline string  // when nobody does any longer

	Read   Command // runs for each reader, while it reads
	Unread string  // when it stops

	SegmentCreate   string // when the recorder begins a file
	SegmentComplete string // when the file is complete
}

// Validate tells what is wrong with a command line.
func (c Commands) Validate() error {
	for _, l := range []string{
		c.Init.Line, c.Ready.Line, c.NotReady, c.Online.Line, c.Offline, c.Read.Line, c.Unread,
		c.SegmentCreate, c.SegmentComplete,
	} {
		if err := ValidateLine(l); err != nil {
			return err
		}
	}
	return nil
}

// Connections are the commands for each connection of a client, whatever its
// protocol.
type Connections struct {
	Exec Exec

	Connect    Command // runs while the connection lasts
	Disconnect string  // when it is closed
}

// segmentOf and the like turn events into variables.
func pathVars(path string, groups []string) []string {
	vars := []string{"MTX_PATH=" + path}
	for i, g := range groups {
		if i > 0 {
			vars = append(vars, "G"+itoa(i)+"="+g)
		}
	}
	return vars
}

func eventVars(e *router.PathEvent) []string {
	return append(pathVars(e.Path, e.Groups), "MTX_QUERY="+encodeQuery(e.Query))
}

package hook

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/org/mtx/router"
)

// maxProcesses bounds the commands that run at the same time, for a client
// that connects again and again. Commands beyond are not run, with a log entry.
const maxProcesses = 4096

// maxOfClients bounds those that belong to connections, readers and files: clients
// that connect often do not keep the commands of paths from being run.
const maxOfClients = maxProcesses * 3 / 4

// Runner runs commands. All methods are safe for concurrent use.
type Runner struct {
	log   *slog.Logger
	stop  context.Context //nolint:containedctx // ends everything
	abort context.CancelFunc

	mu      sync.Mutex
	conns   Connections
	running int
	closed  bool
	wg      sync.WaitGroup
	last    map[string]chan struct{} // of the commands that follow one another, by path and kind
}

// NewRunner returns a runner. It must be closed. A logger that is nil discards.
func NewRunner(log *slog.Logger) *Runner {
	r := &Runner{log: orDiscard(log), last: map[string]chan struct{}{}}
	r.stop, r.abort = context.WithCancel(context.Background())
	return r
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// SetConnections replaces the commands for connections. Those that run go on.
func (r *Runner) SetConnections(c Connections) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = c
}

// Close interrupts what runs while something lasts, lets the others end within
// their grace, and returns when no process is left. Close it after the router,
// so that the last commands (NotReady, Disconnect) are run.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	grace := (&r.conns.Exec).grace()
	r.mu.Unlock()
	timer := time.AfterFunc(grace, r.abort)
	defer timer.Stop()
	r.wg.Wait()
	r.abort()
}

// Hooks returns the hooks that run the commands.
func (r *Runner) Hooks() router.Hooks {
	return router.Hooks{
		PathCreated: func(e router.PathEvent) func() {
			c, ok := router.Extra[Commands](e.Config)
			if !ok {
				return nil
			}
			return r.start(c.Exec, c.Init, "init/"+e.Path, pathVars(e.Path, e.Groups))
		},
		PathReady:      r.ready,
		PathOnline:     r.online,
		ReaderAttached: r.reader,
		SessionOpened:  r.connection,
		SegmentCreated: func(e router.SegmentEvent) {
			if c, ok := router.Extra[Commands](e.Config); ok {
				r.once(c.Exec, c.SegmentCreate, append(pathVars(e.Path, e.Groups), "MTX_SEGMENT_PATH="+e.File))
			}
		},
		SegmentCompleted: func(e router.SegmentEvent) {
			if c, ok := router.Extra[Commands](e.Config); ok {
				r.once(c.Exec, c.SegmentComplete, append(pathVars(e.Path, e.Groups), "MTX_SEGMENT_PATH="+e.File,
					"MTX_SEGMENT_DURATION="+strconv.FormatFloat(e.Duration.Seconds(), 'f', -1, 64)))
			}
		},
	}
}

func (r *Runner) ready(e router.PathEvent) func() {
	c, ok := router.Extra[Commands](e.Config)
	if !ok {
		return nil
	}
	vars := sourceVars(&e)
	return joined(r.start(c.Exec, c.Ready, "ready/"+e.Path, vars), r.after(c.Exec, c.NotReady, vars))
}

func (r *Runner) online(e router.PathEvent) func() {
	c, ok := router.Extra[Commands](e.Config)
	if !ok {
		return nil
	}
	vars := sourceVars(&e)
	return joined(r.start(c.Exec, c.Online, "online/"+e.Path, vars), r.after(c.Exec, c.Offline, vars))
}

func sourceVars(e *router.PathEvent) []string {
	return append(eventVars(e), "MTX_SOURCE_TYPE="+e.Peer.Type, "MTX_SOURCE_ID="+e.Peer.ID)
}

func (r *Runner) reader(e router.PathEvent) func() {
	c, ok := router.Extra[Commands](e.Config)
	if !ok {
		return nil
	}
	vars := append(eventVars(&e), "MTX_READER_TYPE="+e.Peer.Type, "MTX_READER_ID="+e.Peer.ID)
	return joined(r.start(c.Exec, c.Read, "", vars), r.after(c.Exec, c.Unread, vars))
}

func (r *Runner) connection(e router.SessionEvent) func() {
	switch e.Kind {
	case "rtspSession", "rtspsSession", "hlsMuxer", "hlsSession":
		return nil // not connections, or made of connections that were told
	}
	r.mu.Lock()
	c := r.conns
	r.mu.Unlock()
	vars := []string{"MTX_CONN_TYPE=" + e.Kind, "MTX_CONN_ID=" + e.ID}
	return joined(r.start(c.Exec, c.Connect, "", vars), r.after(c.Exec, c.Disconnect, vars))
}

// joined calls functions in their order; those that are nil are left out.
func joined(fs ...func()) func() {
	var all []func()
	for _, f := range fs {
		if f != nil {
			all = append(all, f)
		}
	}
	if all == nil {
		return nil
	}
	return func() {
		for _, f := range all {
			f()
		}
	}
}

// start runs a command until the returned function is called. Commands with the
// same key do not overlap: the next begins when the process of the last is gone.
func (r *Runner) start(e Exec, c Command, key string, vars []string) func() {
	if c.Line == "" {
		return nil
	}
	ctx, cancel := context.WithCancel(r.stop)
	r.launch(ctx, &job{e, c.Line, c.Restart, true, vars, r.log}, key)
	return cancel
}

// after returns a function that runs a command once.
func (r *Runner) after(e Exec, line string, vars []string) func() {
	if line == "" {
		return nil
	}
	return func() { r.once(e, line, vars) }
}

func (r *Runner) once(e Exec, line string, vars []string) {
	if line != "" {
		r.launch(r.stop, &job{e, line, false, false, vars, r.log}, "")
	}
}

func (r *Runner) launch(ctx context.Context, j *job, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return
	case r.running >= maxProcesses, key == "" && r.running >= maxOfClients:
		r.log.Warn("command is not run: too many are running", "command", program(j.line), "running", r.running)
		return
	}
	var prev, done chan struct{}
	if key != "" {
		prev, done = r.last[key], make(chan struct{})
		r.last[key] = done
	}
	r.running++
	r.wg.Go(func() {
		if prev != nil {
			<-prev // it was cancelled, or soon will be
		}
		j.run(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running--
		if done != nil {
			close(done)
			if r.last[key] == done {
				delete(r.last, key)
			}
		}
	})
}

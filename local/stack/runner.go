package stack

import (
	"context"
	"io"

	"eventshop.example/local/process"
)

// runner is what the processes of a stack run in. Its two kinds are [programs] and
// [containers]. Names are those of [Stack.Processes].
type runner interface {
	// Status looks at the named processes now.
	Status(names []string) (map[string]process.Status, error)
	// Start starts a process that does not run and does not wait for it.
	Start(ctx context.Context, name string) error
	// AwaitReady asks the probe until it returns nil. A process that ends meanwhile is an
	// error that matches [process.ErrEnded] and has the end of its log.
	AwaitReady(ctx context.Context, name string, probe func(context.Context) error) error
	// Stop ends a process politely, and by force when it does not end; no error when it
	// does not run.
	Stop(ctx context.Context, name string) error
	// Kill ends a process with SIGKILL. The error matches [process.ErrNotRunning], as
	// those of Pause and Resume do.
	Kill(ctx context.Context, name string) error
	Pause(name string) error
	Resume(name string) error
	// Forget leaves nothing of a process that is no more.
	Forget(ctx context.Context, name string) error
	// Empty deletes the data of a process that does not run.
	Empty(ctx context.Context, name string) error
	// Logs writes the last lines of a process's log and goes on with follow until ctx
	// ends. The error matches [os.ErrNotExist] when there is no log.
	Logs(ctx context.Context, name string, out io.Writer, lines int, follow bool) error
}

// runs returns what this stack's processes run in.
func (s *Stack) runs() runner {
	if s.file.Compose {
		return containers{s}
	}
	return programs{s, s.processes}
}

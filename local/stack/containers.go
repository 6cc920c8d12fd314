package stack

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"eventshop.example/local/process"
)

// lookWithin bounds a request to the Docker engine.
const lookWithin = 30 * time.Second

// containers runs the processes of a stack as containers of deploy/compose.yaml.
type containers struct{ stack *Stack }

// inCompose returns a process's name in the compose file.
func inCompose(name string) string {
	if name == Broker {
		return "kafka"
	}
	return name
}

func (c containers) Status(names []string) (map[string]process.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	found, err := c.stack.project().Containers(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]process.Status{}
	for _, name := range names {
		one, ok := found[inCompose(name)]
		if !ok {
			one.State = process.Stopped
		}
		all[name] = one.Status
	}
	return all, nil
}

func (c containers) Start(ctx context.Context, name string) error {
	return c.stack.project().Start(ctx, inCompose(name))
}

// AwaitReady checks the container once a second: Docker restarts a container that has ended, unless
// a command ended it.
func (c containers) AwaitReady(ctx context.Context, name string, probe func(context.Context) error) error {
	project, service := c.stack.project(), inCompose(name)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	looked := time.Now()
	for {
		asked, cancel := context.WithTimeout(ctx, 2*time.Second)
		reason := probe(asked)
		cancel()
		if reason == nil {
			return nil
		}
		if time.Since(looked) > time.Second && ctx.Err() == nil {
			all, err := project.Containers(ctx)
			if err != nil {
				return err
			}
			if one := all[service]; one.PID == 0 && !one.Restarting {
				return fmt.Errorf("%s is not ready: %w with code %d\n%s", name, process.ErrEnded, one.ExitCode, c.end(ctx, service))
			}
			looked = time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %w\n%s", name, ctx.Err(), reason, c.end(context.WithoutCancel(ctx), service))
		}
	}
}

// end returns the end of a container's log.
func (c containers) end(ctx context.Context, service string) string {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	var text strings.Builder
	if err := c.stack.project().Logs(ctx, service, &text, 30, false); err != nil {
		return err.Error()
	}
	return text.String()
}

func (c containers) Stop(ctx context.Context, name string) error {
	return c.stack.project().Stop(ctx, inCompose(name), stopWithin)
}

func (c containers) Kill(ctx context.Context, name string) error {
	return c.stack.project().Kill(ctx, inCompose(name))
}

func (c containers) Pause(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	return c.stack.project().Pause(ctx, inCompose(name))
}

func (c containers) Resume(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	return c.stack.project().Resume(ctx, inCompose(name))
}

func (c containers) Forget(ctx context.Context, name string) error {
	return c.stack.project().Remove(ctx, inCompose(name))
}

// Empty removes the volume, which has the name of the service. A start creates both anew.
func (c containers) Empty(ctx context.Context, name string) error {
	project := c.stack.project()
	if err := project.Remove(ctx, inCompose(name)); err != nil {
		return err
	}
	return project.RemoveVolume(ctx, inCompose(name))
}

func (c containers) Logs(ctx context.Context, name string, out io.Writer, lines int, follow bool) error {
	return c.stack.project().Logs(ctx, inCompose(name), out, lines, follow)
}

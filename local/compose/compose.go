// Package compose runs a project of Docker Compose and does to its containers what
// package process does to programs: look, start, stop, kill, freeze, thaw, read the log.
//
// # What it guarantees
//
// Containers are found by the project's label, so that another program, and another life
// of this one, finds the same. Start, Stop, Kill, Pause and Resume act on one container
// and on nothing it depends on. After Stop and Kill return nil the container's processes
// are gone.
//
// # What it does not do
//
// It has no part in a container's restart policy. Docker does not restart what was killed
// or stopped by command, only what ended by itself.
//
// # How it fails
//
// With what the docker command printed. [Missing] tells beforehand whether there is one.
package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"eventshop.example/local/process"
)

// Project is one project of Docker Compose, running or not.
type Project struct {
	Name  string
	Files []string // the later win
	Env   []string // KEY=VALUE, more than this process has and instead of what it has
}

// Container is one service's container at one moment. Jobs have one too.
type Container struct {
	ID string
	process.Status
	Restarting bool // it ended by itself and will be started again
	ExitCode   int  // of its last life; 0 while it runs
}

// Missing returns what is missing for running projects here; nil when nothing is.
func Missing(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("there is no docker command: install Docker with the compose plugin, https://docs.docker.com/engine/install/")
	}
	if _, err := run(ctx, nil, "version", "--format", "{{.Server.Version}}"); err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	if _, err := run(ctx, nil, "compose", "version", "--short"); err != nil {
		return fmt.Errorf("docker has no compose plugin (https://docs.docker.com/compose/install/): %w", err)
	}
	return nil
}

// Compose runs a command of docker compose on the project and returns its standard output.
func (p Project) Compose(ctx context.Context, args ...string) ([]byte, error) {
	all := []string{"compose", "--project-name", p.Name}
	for _, f := range p.Files {
		all = append(all, "--file", f)
	}
	return run(ctx, p.Env, append(all, args...)...)
}

// run runs docker. The error has the end of what it said.
func run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("docker %s: %w\n%s", args[0], err, lastLines(said.String()))
	}
	return out.Bytes(), nil
}

// lastLines is the end of a text: docker compose reports its progress before the error.
func lastLines(text string) string {
	const most = 15
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// inspected is the part of docker inspect that is read.
type inspected struct {
	ID    string `json:"Id"`
	State struct {
		Status    string // created, running, paused, restarting, removing, exited, dead
		Pid       int    // as the host of the engine numbers it
		ExitCode  int
		StartedAt time.Time
	}
	Config struct{ Labels map[string]string }
}

// Containers returns the containers of the project, stopped ones too, by service.
func (p Project) Containers(ctx context.Context) (map[string]Container, error) {
	// One that goes between the two commands is an error of the second.
	var failure error
	for range 3 {
		ids, err := run(ctx, nil, "ps", "--all", "--quiet", "--no-trunc",
			"--filter", "label=com.docker.compose.project="+p.Name, "--filter", "label=com.docker.compose.oneoff=False")
		if err != nil {
			return nil, err
		}
		all := map[string]Container{}
		list := strings.Fields(string(ids))
		if len(list) == 0 {
			return all, nil
		}
		out, err := run(ctx, nil, append([]string{"inspect", "--type", "container"}, list...)...)
		if err != nil {
			failure = err
			continue
		}
		var found []inspected
		if err := json.Unmarshal(out, &found); err != nil {
			return nil, fmt.Errorf("read docker inspect: %w", err)
		}
		for _, c := range found {
			all[c.Config.Labels["com.docker.compose.service"]] = c.container()
		}
		return all, nil
	}
	return nil, failure
}

func (c inspected) container() Container {
	s := Container{ID: c.ID, ExitCode: c.State.ExitCode, Restarting: c.State.Status == "restarting"}
	s.Started = c.State.StartedAt
	switch c.State.Status {
	case "running":
		s.State, s.PID = process.Running, c.State.Pid
	case "paused":
		s.State, s.PID = process.Paused, c.State.Pid
	case "created":
		s.State = process.Stopped
	default:
		s.State = process.Dead
		// Docker does not keep how a container ended. Who follows SIGTERM or SIGINT ends
		// with 0, or as Java does with 128 and the signal's number.
		if c.State.Status == "exited" && (c.State.ExitCode == 0 || c.State.ExitCode == 128+2 || c.State.ExitCode == 128+15) {
			s.State = process.Stopped
		}
	}
	return s
}

// Start starts a service's container, and makes it if there is none. It does not wait
// until the service is ready, and starts nothing else.
func (p Project) Start(ctx context.Context, service string) error {
	all, err := p.Containers(ctx)
	if err != nil {
		return err
	}
	if c, ok := all[service]; ok {
		_, err = run(ctx, nil, "start", c.ID)
	} else {
		_, err = p.Compose(ctx, "up", "--detach", "--no-deps", "--no-build", service)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", service, err)
	}
	return nil
}

// Stop asks a container to end and kills it when it has not after grace, in whole seconds.
// It is no error when it does not run.
func (p Project) Stop(ctx context.Context, service string, grace time.Duration) error {
	err := p.with(ctx, "stop", service, func(c Container) error {
		_, err := run(ctx, nil, "stop", "-t", fmt.Sprint(int(grace.Seconds())), c.ID)
		return err
	})
	if errors.Is(err, process.ErrNotRunning) {
		return nil
	}
	return err
}

// Kill ends a container with SIGKILL. The error matches [process.ErrNotRunning].
func (p Project) Kill(ctx context.Context, service string) error {
	return p.with(ctx, "kill", service, func(c Container) error {
		_, err := run(ctx, nil, "kill", c.ID)
		return err
	})
}

// Pause freezes all processes of a container. The error matches [process.ErrNotRunning].
func (p Project) Pause(ctx context.Context, service string) error {
	return p.with(ctx, "pause", service, func(c Container) error {
		if c.State == process.Paused {
			return nil
		}
		_, err := run(ctx, nil, "pause", c.ID)
		return err
	})
}

// Resume thaws a container; one that is not frozen stays as it is. The error matches
// [process.ErrNotRunning].
func (p Project) Resume(ctx context.Context, service string) error {
	return p.with(ctx, "resume", service, func(c Container) error {
		if c.State != process.Paused {
			return nil
		}
		_, err := run(ctx, nil, "unpause", c.ID)
		return err
	})
}

// with does something to a container that runs, or is about to be restarted.
func (p Project) with(ctx context.Context, attempt, service string, do func(Container) error) error {
	all, err := p.Containers(ctx)
	if err == nil {
		if c := all[service]; c.PID == 0 && !c.Restarting {
			err = process.ErrNotRunning
		} else {
			err = do(c)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", attempt, service, err)
	}
	return nil
}

// Remove removes a container with what is only in it; its volumes stay. It is no error
// when there is none.
func (p Project) Remove(ctx context.Context, service string) error {
	all, err := p.Containers(ctx)
	if err == nil && all[service].ID != "" {
		_, err = run(ctx, nil, "rm", "--force", all[service].ID)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", service, err)
	}
	return nil
}

// RemoveVolume removes a volume of the project with its data. No container may use it.
func (p Project) RemoveVolume(ctx context.Context, volume string) error {
	if _, err := run(ctx, nil, "volume", "rm", "--force", p.Name+"_"+volume); err != nil {
		return fmt.Errorf("remove volume %s: %w", volume, err)
	}
	return nil
}

// Logs writes the last lines that a service logged, and goes on with follow until ctx
// ends. The error matches [os.ErrNotExist] when there is no container.
func (p Project) Logs(ctx context.Context, service string, out io.Writer, lines int, follow bool) error {
	all, err := p.Containers(ctx)
	if err != nil {
		return err
	}
	c, ok := all[service]
	if !ok {
		return fmt.Errorf("log of %s: %w", service, os.ErrNotExist)
	}
	cmd := exec.CommandContext(ctx, "docker", "logs", "--tail", fmt.Sprint(lines), fmt.Sprintf("--follow=%t", follow), c.ID)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("docker logs: %w", err)
	}
	return nil
}

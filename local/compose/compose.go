// Package compose runs a Docker Compose project. It does to containers what package process does to
// programs: inspect, start, stop, kill, pause, resume, read the log.
//
// # What it guarantees
//
// Containers are found by the project's label, so that other programs and later runs of this one
// find the same containers. Start, Stop, Kill, Pause and Resume act on one container and not on its
// dependencies. After Stop and Kill return nil the container's processes are gone.
//
// # What it does not do
//
// It does not restart containers; their restart policy applies. Docker restarts only containers
// that ended by themselves, not those that a command killed or stopped.
//
// # How it fails
//
// Errors have the output of the docker command. [Missing] reports beforehand whether the command
// exists.
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
	Files []string // later files override earlier ones
	Env   []string // KEY=VALUE, added to this process's environment or replacing its values
}

// Container is the state of one service's container at one moment. A job is a container too.
type Container struct {
	ID string
	process.Status
	Restarting bool              // it ended by itself and will be restarted
	ExitCode   int               // of its last life; 0 while it runs
	Published  map[int]int       // the container's ports → the host's
	Mounts     map[string]string // folders and files in the container → the host's
}

// Missing returns what is missing to run projects here, or nil.
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

// Compose runs a docker compose command on the project and returns its standard output.
func (p Project) Compose(ctx context.Context, args ...string) ([]byte, error) {
	all := []string{"compose", "--project-name", p.Name}
	for _, f := range p.Files {
		all = append(all, "--file", f)
	}
	return run(ctx, p.Env, append(all, args...)...)
}

// run runs docker. The error has the end of its output.
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

// lastLines returns the end of a text: docker compose prints its progress before the error.
func lastLines(text string) string {
	const most = 15
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// Containers returns the containers of the project by service, including stopped ones.
func (p Project) Containers(ctx context.Context) (map[string]Container, error) {
	// A container that disappears between the two commands makes the second one fail.
	var failure error
	for range 3 {
		ids, err := run(ctx, nil, "ps", "--all", "--quiet", "--no-trunc",
			"--filter", "label="+projectLabel+"="+p.Name, "--filter", "label=com.docker.compose.oneoff=False")
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

// Start starts a service's container, and creates it if there is none. It does not wait until the
// service is ready, and starts nothing else.
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

// Stop sends a container the stop signal and kills it after grace, in whole seconds. A container
// that does not run is no error.
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

// Resume resumes a container. It does not change a container that is not paused. The error matches
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

// with calls do for a container that runs, or that is about to be restarted.
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

// Remove removes a container with its own files; its volumes stay. A missing container is no error.
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

// RemoveVolume removes a volume of the project with its data. No container may use the volume.
func (p Project) RemoveVolume(ctx context.Context, volume string) error {
	if _, err := run(ctx, nil, "volume", "rm", "--force", p.Name+"_"+volume); err != nil {
		return fmt.Errorf("remove volume %s: %w", volume, err)
	}
	return nil
}

// Logs writes the last lines of a service's log. With follow it continues until ctx ends. The error
// matches [os.ErrNotExist] if there is no container.
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

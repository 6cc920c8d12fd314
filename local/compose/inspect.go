package compose

import (
	"strconv"
	"strings"
	"time"

	"eventshop.example/local/process"
)

// inspected is the part of docker inspect's output that is used.
type inspected struct {
	ID    string `json:"Id"`
	State struct {
		Status    string // created, running, paused, restarting, removing, exited, dead
		Pid       int    // the process id on the engine's host
		ExitCode  int
		StartedAt time.Time
	}
	Config          struct{ Labels map[string]string }
	HostConfig      struct{ PortBindings map[string][]binding } // as requested
	NetworkSettings struct{ Ports map[string][]binding }        // as it is while the container runs
	Mounts          []struct{ Source, Destination string }
}

type binding struct{ HostPort string }

func (c inspected) container() Container {
	s := Container{ID: c.ID, ExitCode: c.State.ExitCode, Restarting: c.State.Status == "restarting",
		Published: c.published(), Mounts: map[string]string{}}
	for _, m := range c.Mounts {
		s.Mounts[m.Destination] = m.Source
	}
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
		// Docker does not record how a container ended. A program that obeys SIGTERM or SIGINT ends
		// with 0 or, like Java, with 128 plus the signal's number.
		if c.State.Status == "exited" && (c.State.ExitCode == 0 || c.State.ExitCode == 128+2 || c.State.ExitCode == 128+15) {
			s.State = process.Stopped
		}
	}
	return s
}

// published returns the host's port of each TCP port. A port that Docker chose is unknown while the
// container does not run.
func (c inspected) published() map[int]int {
	ports := map[int]int{}
	for _, bindings := range []map[string][]binding{c.HostConfig.PortBindings, c.NetworkSettings.Ports} {
		for name, to := range bindings {
			inside, tcp := strings.CutSuffix(name, "/tcp")
			if !tcp || len(to) == 0 {
				continue
			}
			from, err := strconv.Atoi(inside)
			host, hostErr := strconv.Atoi(to[0].HostPort)
			if err == nil && hostErr == nil && host > 0 {
				ports[from] = host
			}
		}
	}
	return ports
}

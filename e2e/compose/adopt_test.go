package compose

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	localcompose "eventshop.example/local/compose"
	"eventshop.example/local/process"
	"eventshop.example/local/stack"
)

// adopted checks that the shop command can use the project that docker compose created as a stack:
// it finds the project, all of it is ready by the ports, passwords and names read from the
// containers, and a process can be stopped and started.
func (s *shop) adopted() {
	s.t.Setenv("COMPOSE_PROJECT_NAME", s.project)
	root := filepath.Dir(filepath.Dir(s.file))
	var found *localcompose.Found
	// The search ends after two seconds, which a busy machine may need.
	s.eventually("the project is found", func() bool {
		found = stack.FindCompose(s.t.Context(), root)
		return found != nil && found.Name == s.project && found.Running >= 10
	})
	shop, err := stack.OpenCompose(s.t.Context(), found, root, "", io.Discard)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.RemoveAll(shop.State) })
	if got, want := shop.File().Ports["order"], s.port["ORDER_PORT"]; got != want {
		s.t.Errorf("the order service is on port %d, want %d", got, want)
	}
	all, err := shop.Status()
	if err != nil {
		s.t.Fatal(err)
	}
	ready := func(name string) error {
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		defer cancel()
		return shop.Ready(ctx, name)
	}
	for _, name := range shop.Processes() {
		if all[name].State != process.Running {
			s.t.Errorf("%s is %s", name, all[name].State)
		}
		if err := ready(name); err != nil {
			s.t.Errorf("%s is not ready: %v", name, err)
		}
	}
	if err := shop.Stop(s.t.Context(), "carrier"); err != nil {
		s.t.Fatal(err)
	}
	if ready("carrier") == nil {
		s.t.Error("carrier was stopped and is ready")
	}
	if err := shop.Start(s.t.Context(), "carrier"); err != nil {
		s.t.Error(err)
	}
}

// leavesNothing removes the project by the script: it removes the containers of every profile and
// those of docker compose run, and the data only when asked.
func (s *shop) leavesNothing() {
	s.t.Helper()
	script := filepath.Join(filepath.Dir(filepath.Dir(s.file)), "scripts", "compose-down")
	left := func(kind string, all ...string) int {
		args := append([]string{kind, "ls", "--quiet", "--filter", "label=com.docker.compose.project=" + s.project}, all...)
		return len(strings.Fields(command(s.t, "docker", args...)))
	}
	s.compose("--profile", "load", "up", "--detach", "--no-build", "load")
	s.compose("run", "--detach", "--no-deps", "registry-ready")
	volumes := left("volume")
	if left("container", "--all") < 20 || volumes < 8 {
		s.t.Fatalf("%d containers, %d volumes before", left("container", "--all"), volumes)
	}
	command(s.t, script, "--project", s.project)
	if c, n, v := left("container", "--all"), left("network"), left("volume"); c > 0 || n > 0 || v != volumes {
		s.t.Errorf("%d containers, %d networks, %d volumes are left; want 0, 0, %d", c, n, v, volumes)
	}
	command(s.t, script, "--project", s.project, "--volumes")
	if v := left("volume"); v > 0 {
		s.t.Errorf("%d volumes are left", v)
	}
	command(s.t, script, "--project", s.project, "--volumes") // nothing is there: no error
}

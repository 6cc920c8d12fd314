package stack

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"eventshop.example/local/compose"
	"eventshop.example/ops/eventshop"
)

// PlainProject is the name of the project that `docker compose -f deploy/compose.yaml up` creates.
const PlainProject = "eventshop"

// findWithin bounds the search for a project: it runs before an error message is printed.
const findWithin = 2 * time.Second

// FindCompose returns the project that runs deploy/compose.yaml of the repository and that docker
// compose created, not [Stack.Up]. It returns nil if none runs, and if there is no Docker or its
// engine does not answer within two seconds. Of several projects it returns [PlainProject];
// COMPOSE_PROJECT_NAME selects another, as it does for docker compose.
func FindCompose(ctx context.Context, root string) *compose.Found {
	ctx, cancel := context.WithTimeout(ctx, findWithin)
	defer cancel()
	projects, err := compose.Projects(ctx)
	if err != nil {
		return nil
	}
	return plain(projects, composeFileOf(root), os.Getenv(projectVariable))
}

// projectVariable selects the project of docker compose.
const projectVariable = "COMPOSE_PROJECT_NAME"

// plain selects among the projects that docker compose created from a file, by name if there is
// one.
func plain(projects []compose.Found, file, name string) *compose.Found {
	var chosen *compose.Found
	for _, p := range projects {
		if name != "" && p.Name != name {
			continue
		}
		ours := slices.ContainsFunc(p.Configs, func(files []string) bool {
			named := slices.ContainsFunc(files, func(f string) bool { return sameFile(f, file) })
			return named && !slices.ContainsFunc(files, func(f string) bool { return filepath.Base(f) == overrideName })
		})
		if ours && p.Running > 0 && (chosen == nil || p.Name == PlainProject) {
			chosen = &p
		}
	}
	return chosen
}

func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// OpenCompose returns the shop of a project that [FindCompose] has found, as a [Stack]. It reads
// ports, secrets and numbers of replicas from the containers. This program's own files about it
// (settings, a lock) are in .shop/compose of the repository; the data stays in Docker's volumes. It
// returns an error if Docker does not answer.
func OpenCompose(ctx context.Context, found *compose.Found, root, self string, out io.Writer) (*Stack, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	if err := compose.Missing(ctx); err != nil {
		return nil, err
	}
	s, err := Open(filepath.Join(root, ".shop", "compose"), root, self, out)
	if err != nil {
		return nil, err
	}
	containers, err := compose.Project{Name: found.Name}.Containers(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.adopt(found.Name, containers)
}

// adopt sets the stack's state to that of a project's containers.
func (s *Stack) adopt(project string, containers map[string]compose.Container) error {
	s.file = File{Compose: true, Project: project, Env: s.file.Env, Replicas: map[string]int{}}
	if s.file.Env == nil {
		s.file.Env = map[string]map[string]string{}
	}
	_, s.file.Capture = containers[inCompose(Connect)]
	for _, service := range eventshop.Services() {
		for i := 2; i <= MaxReplicas; i++ {
			if _, ok := containers[replica(service, i)]; !ok {
				break
			}
			s.file.Replicas[service] = i
		}
	}
	s.file.Secrets = secretsOf(containers)
	if s.file.Secrets == "" {
		s.file.Secrets = s.secretsFolder()
	}
	ports := composePorts()
	for _, process := range s.Processes() {
		c := containers[inCompose(process)]
		for _, listener := range s.PortsOf(process) {
			if port := c.Published[insidePort(listener)]; port != 0 {
				ports[listener] = port
			}
		}
	}
	maps.DeleteFunc(ports, func(listener string, _ int) bool { return !slices.Contains(s.listeners(), listener) })
	s.listen(ports)
	if err := s.nameDatabases(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.State, 0o755); err != nil {
		return err
	}
	return s.save() // commands that take the lock read it again
}

// secretsOf returns the folder that the containers' passwords are mounted from. It returns "" if
// none is mounted from a folder that is readable here, for example if Docker runs in a virtual
// machine.
func secretsOf(containers map[string]compose.Container) string {
	for _, service := range eventshop.Services() {
		file := containers[ownDatabase(service)].Mounts["/run/secrets/"+superuserPassword]
		if _, err := os.Stat(file); file != "" && err == nil {
			return filepath.Dir(file)
		}
	}
	return ""
}

// composePorts returns the ports of a project that was started with this process's environment.
func composePorts() map[string]int {
	ports := DefaultPorts()
	for listener := range ports {
		if n, err := strconv.Atoi(os.Getenv(portVariable(listener))); err == nil {
			ports[listener] = n
		}
	}
	return ports
}

// insidePort returns a listener's port inside its container.
func insidePort(listener string) int {
	switch process := ownerOf(listener); {
	case listener == operator(process):
		return operatorPort
	case process == Broker:
		return 19092
	case process == Registry:
		return 8081
	case process == Connect:
		return 8083
	case ownDatabaseOf(process) != "":
		return 5432
	}
	return apiPort
}

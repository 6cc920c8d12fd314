package stack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"eventshop.example/local/compose"
	"eventshop.example/ops/eventshop"
)

// secretsVariable names a folder of passwords that replaces deploy/secrets.
const secretsVariable = "EVENTSHOP_SECRETS"

// settleCompose applies the choice between programs and containers. A stack keeps its first choice,
// because each kind has its own data.
func (s *Stack) settleCompose(ctx context.Context, o Options) error {
	f := &s.file
	if o.Compose && !f.Compose && s.Known() {
		return errors.New("this shop's processes are programs; to begin anew in containers: shop down, shop wipe")
	}
	if !o.Compose && !f.Compose {
		if o.Images {
			return errors.New("--build is about the images of containers, and this shop's processes are programs, which are built when a source has changed")
		}
		return nil
	}
	switch {
	case o.Kafka != "" && o.Kafka != f.KafkaSource:
		return errors.New("in containers Kafka is that of deploy/compose.yaml; --kafka is for a shop of programs")
	case o.Postgres != "" && o.Postgres != f.Source:
		return errors.New("in containers PostgreSQL is that of deploy/compose.yaml; --postgres is for a shop of programs")
	}
	if err := compose.Missing(ctx); err != nil {
		return err
	}
	if !f.Compose {
		f.Secrets, f.Compose = s.secretsFolder(), true
	}
	return nil
}

// secretsFolder returns the folder of passwords that this process's environment selects for a
// project.
func (s *Stack) secretsFolder() string {
	dir := os.Getenv(secretsVariable)
	if dir == "" {
		dir = "secrets"
	}
	if !filepath.IsAbs(dir) { // as Compose interprets it
		dir = filepath.Join(s.Root, "deploy", dir)
	}
	return dir
}

// superuserPassword is the file with the password of the databases' superuser.
const superuserPassword = "postgres_password"

// composeFile returns the path of the delivered compose file.
func (s *Stack) composeFile() string { return composeFileOf(s.Root) }

func composeFileOf(root string) string { return filepath.Join(root, "deploy", "compose.yaml") }

// overrideFile returns the path of the file that adds this stack's own settings and replicas.
func (s *Stack) overrideFile() string { return filepath.Join(s.State, overrideName) }

// overrideName distinguishes the projects that [Stack.Up] created from those that docker compose
// created.
const overrideName = "compose.override.json"

// project returns this stack's project. Another state folder is another project.
func (s *Stack) project() compose.Project {
	p := compose.Project{
		Name: fmt.Sprintf("eventshop-%x", sha256.Sum256([]byte(s.State)))[:len("eventshop-")+10],
		Env:  []string{secretsVariable + "=" + s.file.Secrets}, Files: []string{s.composeFile()},
	}
	if s.file.Project != "" {
		p.Name = s.file.Project
	}
	for listener, port := range s.file.Ports {
		if replicated(ownerOf(listener)) {
			continue // the override has its ports
		}
		p.Env = append(p.Env, fmt.Sprintf("%s=%d", portVariable(listener), port))
	}
	if s.file.Capture {
		p.Env = append(p.Env, "COMPOSE_PROFILES=cdc")
	}
	if _, err := os.Stat(s.overrideFile()); err == nil {
		p.Files = append(p.Files, s.overrideFile())
	}
	return p
}

// portVariable returns the variable with which the compose file moves a port.
func portVariable(listener string) string {
	return strings.ToUpper(strings.ReplaceAll(inCompose(listener), "-", "_")) + "_PORT"
}

// replicated reports whether a process is a second or further one of its service.
func replicated(process string) bool {
	return serviceOf(process) != "" && serviceOf(process) != process
}

// The ports of the shop's programs inside their containers.
const (
	apiPort      = 8080
	operatorPort = 9080
)

// writeOverride writes the override of the compose file, while other commands of this stack wait.
func (s *Stack) writeOverride(ctx context.Context) error {
	base := s.project()
	base.Files = []string{s.composeFile()}
	resolved, err := base.Compose(ctx, "config", "--format", "json")
	if err != nil {
		return err
	}
	environment := map[string]map[string]string{}
	for _, settings := range []map[string]map[string]string{s.file.Once, s.file.Env} {
		for name, vars := range settings {
			if environment[inCompose(name)] == nil {
				environment[inCompose(name)] = map[string]string{}
			}
			maps.Copy(environment[inCompose(name)], vars)
		}
	}
	var replicas []compose.Replica
	for _, name := range s.services() {
		if replicated(name) {
			replicas = append(replicas, compose.Replica{Name: name, Of: serviceOf(name),
				Ports: map[int]int{apiPort: s.file.Ports[name], operatorPort: s.file.Ports[operator(name)]}})
		}
	}
	b, err := compose.Override(resolved, environment, replicas)
	if err != nil {
		return err
	}
	return os.WriteFile(s.overrideFile(), append(b, '\n'), 0o600) // settings may be secret
}

// upContainers starts the containers and their dependencies in the order of the compose file.
func (s *Stack) upContainers(ctx context.Context, build bool) error {
	if err := s.nothingFrozen(); err != nil {
		return err
	}
	if err := s.nameDatabases(); err != nil {
		return err
	}
	if err := s.save(); err != nil {
		return err
	}
	if err := s.writeOverride(ctx); err != nil {
		return err
	}
	began := time.Now()
	args := []string{"up", "--detach", "--quiet-pull"}
	if build {
		args = append(args, "--build")
	}
	_, over := s.waiting("starting containers (the first time their images are pulled and built)", 0)
	_, err := s.project().Compose(ctx, args...)
	over()
	if err != nil {
		return err
	}
	s.step(began, "containers started")
	return s.awaitAll(ctx, began, s.expected())
}

// nameDatabases stores the superuser's URL of each database. Tools need rights that no service's
// role has: the tables of all services, and triggers.
func (s *Stack) nameDatabases() error {
	b, err := os.ReadFile(filepath.Join(s.file.Secrets, superuserPassword))
	if err != nil {
		return fmt.Errorf("password of the databases' superuser: %w", err)
	}
	s.file.DSN = map[string]string{}
	for _, service := range eventshop.Services() {
		u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", string(bytes.TrimSpace(b))),
			Host: address(s.file.Ports[ownDatabase(service)]), Path: "/" + service, RawQuery: "sslmode=disable"}
		s.file.DSN[service] = u.String()
	}
	return nil
}

// stopJobs stops unfinished jobs, which are not processes of the shop.
func (s *Stack) stopJobs(ctx context.Context) error {
	_, err := s.project().Compose(ctx, "--profile", "*", "stop", "--timeout", fmt.Sprint(int(stopWithin.Seconds())))
	return err
}

// wipeContainers removes containers, volumes and network of every profile: a profile's containers
// keep its volumes and the network in use.
func (s *Stack) wipeContainers(ctx context.Context) error {
	_, err := s.project().Compose(ctx, "--profile", "*", "down", "--volumes", "--remove-orphans")
	return err
}

package stack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"eventshop.example/local/compose"
)

// secretsVariable names a folder of passwords that takes the place of deploy/secrets.
const secretsVariable = "EVENTSHOP_SECRETS"

// settleCompose takes over the choice between programs and containers. A stack stays with
// the one it began with: each has its own data.
func (s *Stack) settleCompose(ctx context.Context, o Options) error {
	f := &s.file
	if o.Compose && !f.Compose && s.Known() {
		return errors.New("this shop's processes are programs; to begin anew in containers: shop down, shop wipe")
	}
	if !o.Compose && !f.Compose {
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
		f.Secrets = os.Getenv(secretsVariable)
		if f.Secrets == "" {
			f.Secrets = "secrets"
		}
		if !filepath.IsAbs(f.Secrets) { // as Compose takes it
			f.Secrets = filepath.Join(s.Root, "deploy", f.Secrets)
		}
		f.Compose = true
	}
	return nil
}

// composeFile is the compose file as it is delivered.
func (s *Stack) composeFile() string { return filepath.Join(s.Root, "deploy", "compose.yaml") }

// overrideFile adds to it what is this stack's own: settings and replicas.
func (s *Stack) overrideFile() string { return filepath.Join(s.State, "compose.override.json") }

// project is this stack's containers. Another state folder is another project.
func (s *Stack) project() compose.Project {
	p := compose.Project{
		Name: fmt.Sprintf("eventshop-%x", sha256.Sum256([]byte(s.State)))[:len("eventshop-")+10],
		Env:  []string{secretsVariable + "=" + s.file.Secrets}, Files: []string{s.composeFile()},
	}
	for listener, port := range s.file.Ports {
		if replicated(ownerOf(listener)) {
			continue // it has its ports in the override
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

// portVariable is the variable by which the compose file moves a port.
func portVariable(listener string) string {
	return strings.ToUpper(strings.ReplaceAll(inCompose(listener), "-", "_")) + "_PORT"
}

// replicated tells whether a process is a further one of its service.
func replicated(process string) bool {
	return serviceOf(process) != "" && serviceOf(process) != process
}

// The ports of our programs inside their containers.
const (
	apiPort      = 8080
	operatorPort = 9080
)

// writeOverride writes the override of the compose file. Other commands of this stack are
// kept out meanwhile.
func (s *Stack) writeOverride(ctx context.Context) error {
	base := s.project()
	base.Files = []string{s.composeFile()}
	resolved, err := base.Compose(ctx, "config", "--format", "json")
	if err != nil {
		return err
	}
	environment := map[string]map[string]string{}
	for name, vars := range s.file.Env {
		environment[inCompose(name)] = vars
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

// upContainers brings up the containers and what they need, in the order that the compose
// file gives.
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
	stop := s.progress(began, "still starting containers (the first time their images are pulled and built)")
	_, err := s.project().Compose(ctx, args...)
	stop()
	if err != nil {
		return err
	}
	s.step(began, "containers started")
	return s.awaitAll(ctx, began, s.expected())
}

// nameDatabases notes the superuser's URL of each database. Tools need what no service's
// role may: the tables of all, and triggers.
func (s *Stack) nameDatabases() error {
	b, err := os.ReadFile(filepath.Join(s.file.Secrets, "postgres_password"))
	if err != nil {
		return fmt.Errorf("password of the databases' superuser: %w", err)
	}
	s.file.DSN = map[string]string{}
	for _, service := range Services() {
		u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", string(bytes.TrimSpace(b))),
			Host: address(s.file.Ports[ownDatabase(service)]), Path: "/" + service, RawQuery: "sslmode=disable"}
		s.file.DSN[service] = u.String()
	}
	return nil
}

// stopJobs stops what is no process of the shop: jobs that have not ended.
func (s *Stack) stopJobs(ctx context.Context) error {
	_, err := s.project().Compose(ctx, "stop", "--timeout", fmt.Sprint(int(stopWithin.Seconds())))
	return err
}

// wipeContainers removes containers, volumes and network.
func (s *Stack) wipeContainers(ctx context.Context) error {
	_, err := s.project().Compose(ctx, "down", "--volumes", "--remove-orphans")
	return err
}

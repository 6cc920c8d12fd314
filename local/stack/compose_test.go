package stack

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eventshop.example/ops/eventshop"
)

// inContainers is a prepared stack of containers that was never up.
func inContainers(t *testing.T) *Stack {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.TempDir(), root, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.file.Compose, s.file.Secrets = true, filepath.Join(root, "deploy", "secrets")
	ports, err := s.ports(nil, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.listen(ports)
	return s
}

// This package's names of processes, ports and volumes are those of the compose file.
func TestNamesAreThoseOfTheComposeFile(t *testing.T) {
	t.Parallel()
	s := inContainers(t)
	s.file.Capture = true
	b, err := os.ReadFile(s.composeFile())
	if err != nil {
		t.Fatal(err)
	}
	file := string(b)
	for _, name := range s.Processes() {
		if !strings.Contains(file, "\n  "+inCompose(name)+":") {
			t.Errorf("%s is no service of %s", inCompose(name), s.composeFile())
		}
	}
	for _, listener := range s.listeners() {
		want := fmt.Sprintf("${%s:-%d}", portVariable(listener), DefaultPorts()[listener])
		if !strings.Contains(file, want) {
			t.Errorf("%s has no %s", s.composeFile(), want)
		}
	}
	if volumes := file[strings.Index(file, "\nvolumes:"):]; !strings.Contains(volumes, "\n  "+inCompose(Broker)+":\n") {
		t.Error("the broker's volume has not its name")
	}
	if want := fmt.Sprintf("}:%d\"", apiPort); !strings.Contains(file, want) {
		t.Errorf("no port is published with %s", want)
	}
	if want := fmt.Sprintf("}:%d\"", operatorPort); !strings.Contains(file, want) {
		t.Errorf("no port is published with %s", want)
	}
}

func TestAStackInContainersHasADatabaseServerForEachService(t *testing.T) {
	t.Parallel()
	s := inContainers(t)
	// Each service and its database server, and broker, registry and the external systems.
	if want := 2*len(eventshop.Services()) + 2 + len(eventshop.Outside()); len(s.Processes()) != want {
		t.Errorf("%d processes, want %d: %v", len(s.Processes()), want, s.Processes())
	}
	if got := s.members(Postgres); len(got) != len(eventshop.Services()) || !slices.Contains(got, "postgres-order") {
		t.Errorf("postgres stands for %v", got)
	}
	for _, name := range append(s.Processes(), Postgres) {
		if err := s.known(name); err != nil {
			t.Error(err)
		}
	}
	if err := s.known("postgres-gateway"); err == nil {
		t.Error("the gateway has a database server")
	}
	if err := s.nameDatabases(); err != nil {
		t.Fatal(err)
	}
	if got, want := s.file.DSN["payment"], "@127.0.0.1:15432/payment"; !strings.Contains(got, want) {
		t.Errorf("payment's database is at %s, want %s", got, want)
	}
	for name := range s.file.URL {
		if strings.HasPrefix(name, Postgres) {
			t.Errorf("%s speaks HTTP", name)
		}
	}
}

// The compose file has no variables for a replica's ports.
func TestAProjectIsTheStateFolders(t *testing.T) {
	t.Parallel()
	a, b := inContainers(t), inContainers(t)
	if a.project().Name == b.project().Name {
		t.Errorf("two state folders have the project %s", a.project().Name)
	}
	if err := a.resize("order", 2); err != nil {
		t.Fatal(err)
	}
	for _, v := range a.project().Env {
		if strings.HasPrefix(v, "ORDER_2") {
			t.Errorf("the project is told %s", v)
		}
	}
	if err := freed(a.State); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAStackCannotBecome(t *testing.T) {
	t.Parallel()
	programs, err := Open(t.TempDir(), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	programs.file.Ports = map[string]int{}
	for _, c := range []struct {
		name string
		s    *Stack
		o    Options
		want string
	}{
		{"containers after programs", programs, Options{Compose: true}, "shop wipe"},
		{"another broker", inContainers(t), Options{Kafka: Apache}, "--kafka"},
		{"another database", inContainers(t), Options{Postgres: "download"}, "--postgres"},
	} {
		if err := c.s.settleCompose(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

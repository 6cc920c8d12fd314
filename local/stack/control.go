package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"eventshop.example/local/broker"
	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
)

const (
	// readyWithin is how long a process may take from its start to being ready, on a
	// machine that is busy building.
	readyWithin = 60 * time.Second
	// stopWithin is what a process gets to stop politely.
	stopWithin = 20 * time.Second
)

// spec is the program, arguments and environment of a process.
func (s *Stack) spec(name string) (process.Spec, error) {
	f := s.file
	port := fmt.Sprint(f.Ports[name])
	data := filepath.Join(s.State, name)
	spec := process.Spec{Name: name, Log: s.LogFile(name), Dir: s.State}
	env := map[string]string{"ADDR": address(f.Ports[name])}
	service := "" // that the process is a replica of
	switch name {
	case Postgres:
		cluster, err := postgres.OpenCluster(s.postgresDir())
		if err != nil {
			return spec, err
		}
		return cluster.Spec(f.PostgresBin, f.Ports[Postgres], spec.Log)
	case Broker:
		if f.KafkaSource == Apache {
			return s.node().Spec(name, spec.Log), nil
		}
		fallthrough
	case Registry:
		spec.Path, spec.Args = s.Self, []string{"serve", name, "--listen", port, "--data", data}
	case Gateway, Carrier:
		spec.Path, env["DATA_DIR"] = s.bin(name), data
	default:
		service = serviceOf(name)
		spec.Path = s.bin(service)
		env["OPERATOR_ADDR"] = address(f.Ports[operator(name)])
		env["DATABASE_URL"] = f.DSN[service]
		env["KAFKA_BROKERS"] = strings.Join(f.Kafka, ",")
		env["SCHEMA_REGISTRY_URL"] = f.URL[Registry]
		env["GATEWAY_URL"] = f.URL[Gateway]
		env["CARRIER_URL"] = f.URL[Carrier]
		// Five services share a small machine; the collector works a little more.
		env["GOMEMLIMIT"] = "48MiB"
	}
	if service == "inventory" {
		env["INITIAL_STOCK"] = "WIDGET-01=100,GADGET-05=100,UNICORN-00=1"
	}
	spec.Env = os.Environ()
	// A service's settings are its replicas' too; one replica's own come last and win.
	for _, vars := range []map[string]string{env, f.Env[service], f.Env[name]} {
		for k, v := range vars {
			spec.Env = append(spec.Env, k+"="+v)
		}
	}
	return spec, nil
}

// startAll starts processes side by side, those that do not run, and waits until
// they are ready.
func (s *Stack) startAll(ctx context.Context, names []string) error {
	failures := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { failures[i] = s.start(ctx, name) })
	}
	wg.Wait()
	return errors.Join(failures...)
}

func (s *Stack) start(ctx context.Context, name string) error {
	began := time.Now()
	if err := s.launch(ctx, name); err != nil {
		return err
	}
	return s.await(ctx, began, name)
}

// launch starts a process that does not run.
func (s *Stack) launch(ctx context.Context, name string) error {
	st, err := s.runner.Status(name)
	if err != nil {
		return err
	}
	switch {
	case st.State == process.Paused:
		return fmt.Errorf("start %s: it is frozen; thaw it with `shop resume %s`", name, name)
	case st.PID != 0:
		return nil
	}
	spec, err := s.spec(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if name == Postgres {
		return postgres.Start(ctx, s.runner, spec, s.file.Admin)
	}
	if name == Broker && s.file.KafkaSource == Apache {
		if err := s.node().Prepare(ctx); err != nil {
			return err
		}
	}
	_, err = s.runner.Start(spec)
	return err
}

// await waits until a process that was started is ready.
func (s *Stack) await(ctx context.Context, began time.Time, name string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := s.runner.AwaitReady(ctx, name, s.probe(name)); err != nil {
		return err
	}
	s.step(began, name+" is ready")
	return nil
}

// awaitAll waits for several processes side by side.
func (s *Stack) awaitAll(ctx context.Context, began time.Time, names []string) error {
	failures := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { failures[i] = s.await(ctx, began, name) })
	}
	wg.Wait()
	return errors.Join(failures...)
}

// Ready asks a process whether it can do its work, and returns its own reason when
// it cannot.
func (s *Stack) Ready(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s.probe(name)(ctx)
}

func (s *Stack) probe(name string) func(ctx context.Context) error {
	switch name {
	case Postgres:
		return func(ctx context.Context) error { return postgres.Ping(ctx, s.file.Admin) }
	case Broker:
		return func(ctx context.Context) error { return broker.Ping(ctx, s.file.Kafka...) }
	default:
		return process.HTTPReady(s.file.URL[name])
	}
}

// Start starts one process again and waits until it is ready. While it waits, other
// commands may start what the process is waiting for.
func (s *Stack) Start(ctx context.Context, name string) error {
	began := time.Now()
	release, err := s.exclusiveFor(ctx, name)
	if err != nil {
		return err
	}
	err = s.launch(ctx, name)
	release()
	if err != nil {
		return err
	}
	return s.await(ctx, began, name)
}

// Kill ends a process with SIGKILL.
func (s *Stack) Kill(ctx context.Context, name string) error {
	if err := s.known(name); err != nil {
		return err
	}
	return s.runner.Kill(ctx, name)
}

// Stop ends one process politely.
func (s *Stack) Stop(ctx context.Context, name string) error {
	release, err := s.exclusiveFor(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	_, err = s.runner.Stop(ctx, name, stopWithin)
	return err
}

// Pause freezes a process (SIGSTOP).
func (s *Stack) Pause(name string) error {
	if err := s.known(name); err != nil {
		return err
	}
	return s.runner.Pause(name)
}

// Resume thaws a process (SIGCONT).
func (s *Stack) Resume(name string) error {
	if err := s.known(name); err != nil {
		return err
	}
	return s.runner.Resume(name)
}

// Down stops everything: services first, what they stand on last.
func (s *Stack) Down(ctx context.Context) error {
	if !s.Known() {
		return nil
	}
	release, err := s.exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	return s.stopAll(ctx, nil)
}

// stopAll stops all processes but those kept, in the order of Down.
func (s *Stack) stopAll(ctx context.Context, keep map[string]int) error {
	var failures []error
	for _, names := range [][]string{s.services(), {Gateway, Carrier}, {Registry, Broker, Postgres}} {
		errs := make([]error, len(names))
		var wg sync.WaitGroup
		for i, name := range names {
			if _, kept := keep[name]; !kept {
				wg.Go(func() { _, errs[i] = s.runner.Stop(ctx, name, stopWithin) })
			}
		}
		wg.Wait()
		failures = append(failures, errs...)
	}
	return errors.Join(failures...)
}

// Wipe deletes the data of a stack that is down. The built programs stay.
func (s *Stack) Wipe() error {
	release, err := s.exclusive(context.Background())
	if err != nil {
		return err
	}
	defer release()
	running, err := s.Running()
	if err != nil {
		return err
	}
	if len(running) > 0 {
		return fmt.Errorf("%d processes run; take the shop down first", len(running))
	}
	dirs := []string{filepath.Join(s.State, "run"), filepath.Join(s.State, "logs"), s.path()}
	for _, name := range Processes() {
		if name != Postgres {
			dirs = append(dirs, filepath.Join(s.State, name))
		}
	}
	if err := postgres.Wipe(s.postgresDir()); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	s.file = File{}
	return freed(s.State)
}

func (s *Stack) known(name string) error {
	if !slices.Contains(s.Processes(), name) {
		return fmt.Errorf("there is no process %q; there are %s", name, strings.Join(s.Processes(), ", "))
	}
	if !s.Known() {
		return fmt.Errorf("there is no shop in %s; start one with `shop up`", s.State)
	}
	if s.Elsewhere(name) {
		return fmt.Errorf("%s was given by its address; it is not this shop's to start or stop", name)
	}
	return nil
}

package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"eventshop.example/local/broker"
	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
	"eventshop.example/ops/eventshop"
)

const (
	// readyWithin bounds the time from a process's start to readiness, on a machine that is busy
	// building. Apache Kafka that was killed recovers the log of each of some 450 partitions first.
	readyWithin = 90 * time.Second
	// stopWithin is how long a process has for a clean stop.
	stopWithin = 20 * time.Second
	// StopWithin is the maximum time of [Stack.Down]: services stop first, then the processes
	// beside them, then databases and broker.
	StopWithin = 3 * stopWithin
)

// startAll starts the processes that do not run, in parallel, and waits until they are ready.
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
	all, err := s.runs().Status([]string{name})
	if err != nil {
		return err
	}
	switch {
	case all[name].State == process.Paused:
		return fmt.Errorf("start %s: it is frozen; thaw it with `shop resume %s`", name, name)
	case all[name].PID != 0:
		return nil
	}
	return s.runs().Start(ctx, name)
}

// await waits until a started process is ready.
func (s *Stack) await(ctx context.Context, began time.Time, name string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := s.runs().AwaitReady(ctx, name, s.probe(name)); err != nil {
		return err
	}
	s.step(began, name+" is ready")
	return nil
}

// awaitAll waits for several processes in parallel.
func (s *Stack) awaitAll(ctx context.Context, began time.Time, names []string) error {
	_, over := s.waiting("waiting until "+strings.Join(names, ", ")+" are ready", readyWithin)
	defer over()
	failures := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { failures[i] = s.await(ctx, began, name) })
	}
	wg.Wait()
	return errors.Join(failures...)
}

// Ready asks a process whether it is ready, and returns the process's own reason if it is not.
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
		return func(ctx context.Context) error { return broker.Ping(ctx, s.file.Cluster()) }
	}
	if service := ownDatabaseOf(name); service != "" {
		return func(ctx context.Context) error { return postgres.Ping(ctx, s.file.DSN[service]) }
	}
	if name == Connect {
		return process.HTTPAnswers(s.file.URL[name] + "/connectors")
	}
	if s.Elsewhere(name) { // a registry; the others are handled above
		return s.askRegistry
	}
	if name == Registry && s.file.Compose { // any registry product may run here: they share only the API
		return process.HTTPAnswers(s.file.URL[name] + "/subjects")
	}
	return process.HTTPReady(s.file.URL[name])
}

// Start starts one process and waits until it is ready. Meanwhile other commands may start what the
// process is waiting for.
func (s *Stack) Start(ctx context.Context, name string) error {
	began := time.Now()
	release, err := s.exclusiveFor(ctx, name)
	if err != nil {
		return err
	}
	err = s.each(name, func(name string) error { return s.launch(ctx, name) })
	release()
	if err != nil {
		return err
	}
	return s.awaitAll(ctx, began, s.members(name))
}

// Kill ends a process with SIGKILL.
func (s *Stack) Kill(ctx context.Context, name string) error {
	if err := s.known(name); err != nil {
		return err
	}
	return s.each(name, func(name string) error { return s.runs().Kill(ctx, name) })
}

// Stop ends one process with its stop signal.
func (s *Stack) Stop(ctx context.Context, name string) error {
	release, err := s.exclusiveFor(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	return s.each(name, func(name string) error { return s.runs().Stop(ctx, name) })
}

// Pause freezes a process (SIGSTOP).
func (s *Stack) Pause(name string) error {
	if err := s.known(name); err != nil {
		return err
	}
	return s.each(name, s.runs().Pause)
}

// Resume continues a frozen process (SIGCONT).
func (s *Stack) Resume(name string) error {
	if err := s.known(name); err != nil {
		return err
	}
	return s.each(name, s.runs().Resume)
}

// Logs writes the last lines of a process's log. With follow it continues until ctx ends. The error
// matches [os.ErrNotExist] if there is no log.
func (s *Stack) Logs(ctx context.Context, name string, out io.Writer, lines int, follow bool) error {
	if err := s.known(name); err != nil {
		return err
	}
	return s.runs().Logs(ctx, name, out, lines, follow)
}

// each calls do for a process, or in parallel for all processes that the name stands for.
func (s *Stack) each(name string, do func(name string) error) error {
	names := s.members(name)
	failures := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { failures[i] = do(name) })
	}
	wg.Wait()
	return errors.Join(failures...)
}

// Down stops everything: services first, their dependencies last.
func (s *Stack) Down(ctx context.Context) error {
	if !s.Known() {
		return nil
	}
	release, err := s.exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	return s.end(ctx)
}

// stopAll stops all processes except those in keep, in the order of Down.
func (s *Stack) stopAll(ctx context.Context, keep map[string]int) error {
	var failures []error
	for _, names := range [][]string{s.services(), s.beside(), append(s.databases(), Registry, Broker)} {
		errs := make([]error, len(names))
		var wg sync.WaitGroup
		for i, name := range names {
			if _, kept := keep[name]; !kept {
				wg.Go(func() { errs[i] = s.runs().Stop(ctx, name) })
			}
		}
		wg.Wait()
		failures = append(failures, errs...)
	}
	if s.file.Compose && len(keep) == 0 {
		failures = append(failures, s.stopJobs(ctx))
	}
	return errors.Join(failures...)
}

// beside returns the processes that use databases and broker, and that services can stop without.
func (s *Stack) beside() []string {
	if s.file.Capture {
		return append(eventshop.Outside(), Connect)
	}
	return eventshop.Outside()
}

func (s *Stack) known(name string) error {
	if names := s.members(name); !slices.Contains(s.Processes(), names[0]) {
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

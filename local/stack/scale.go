package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"eventshop.example/ops/eventshop"
)

// Scale makes a service run as n processes, 1 to [MaxReplicas]: members of one consumer group on
// one database. It starts those that do not run and returns when they are ready. It stops surplus
// processes, those with the highest numbers, with their stop signal. It does not change frozen
// processes. The next [Stack.Up] uses the number, too. While the whole shop is down, Scale only
// stores the number.
func (s *Stack) Scale(ctx context.Context, service string, n int) error {
	if !slices.Contains(eventshop.Services(), service) {
		return fmt.Errorf("there is no service %q to scale; there are %s", service, strings.Join(eventshop.Services(), ", "))
	}
	if n < 1 || n > MaxReplicas {
		return fmt.Errorf("scale %s to %d: want 1 to %d processes", service, n, MaxReplicas)
	}
	began := time.Now()
	started, err := s.scale(ctx, service, n)
	if err != nil {
		return fmt.Errorf("scale %s to %d: %w", service, n, err)
	}
	// Other commands may work during this wait: members that join a group wait for each other, and
	// several services may be scaled at the same time.
	if err := s.awaitAll(ctx, began, started); err != nil {
		return fmt.Errorf("scale %s to %d: %w", service, n, err)
	}
	return nil
}

// scale starts and stops processes and returns the started ones.
func (s *Stack) scale(ctx context.Context, service string, n int) (started []string, err error) {
	release, err := s.exclusiveFor(ctx, service)
	if err != nil {
		return nil, err
	}
	defer release()
	running, err := s.Running()
	if err != nil {
		return nil, err
	}
	// First stopped, then forgotten: in the opposite order, an interruption would leave a process
	// that no command can find.
	if err := s.stopSurplus(ctx, service, n); err != nil {
		return nil, err
	}
	if err := s.resize(service, n); err != nil {
		return nil, err
	}
	if err := s.save(); err != nil {
		return nil, err
	}
	if err := s.giveUpPorts(); err != nil {
		return nil, err
	}
	if len(running) == 0 {
		return nil, nil
	}
	if s.file.Compose {
		if err := s.writeOverride(ctx); err != nil {
			return nil, err
		}
	}
	for _, name := range s.replicas(service) {
		if _, runs := running[name]; runs {
			continue
		}
		if err := s.launch(ctx, name); err != nil {
			return started, err
		}
		started = append(started, name)
	}
	return started, nil
}

// stopSurplus stops the replicas above the n-th in parallel, so that their group rebalances once.
func (s *Stack) stopSurplus(ctx context.Context, service string, n int) error {
	names := s.replicas(service)
	surplus := names[min(n, len(names)):]
	failures := make([]error, len(surplus))
	var wg sync.WaitGroup
	for i, name := range surplus {
		wg.Go(func() {
			if failures[i] = s.runs().Stop(ctx, name); failures[i] == nil {
				failures[i] = s.runs().Forget(ctx, name)
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

// resize stores the number of a service's processes and assigns ports to each new one.
func (s *Stack) resize(service string, n int) error {
	f := &s.file
	if f.Replicas == nil {
		f.Replicas = map[string]int{}
	}
	f.Replicas[service] = n
	if n == 1 {
		delete(f.Replicas, service)
	}
	known := s.listeners()
	ports := maps.Clone(f.Ports)
	maps.DeleteFunc(ports, func(listener string, _ int) bool { return !slices.Contains(known, listener) })
	for _, name := range s.replicas(service) {
		for _, listener := range s.PortsOf(name) {
			if _, has := ports[listener]; has {
				continue
			}
			port, err := s.freePort(ports)
			if err != nil {
				return err
			}
			ports[listener] = port
		}
	}
	s.listen(ports)
	return nil
}

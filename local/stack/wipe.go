package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"eventshop.example/local/postgres"
)

// Wipe deletes the data of a stack that is down. The built programs stay.
func (s *Stack) Wipe() error {
	ctx := context.Background()
	release, err := s.exclusive(ctx)
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
	if s.file.Compose {
		if err := s.wipeContainers(ctx); err != nil {
			return err
		}
	}
	dirs := []string{filepath.Join(s.State, "run"), filepath.Join(s.State, "logs"), s.overrideFile(), s.path()}
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

// WipeBroker deletes the data of a broker that does not run, as the loss of its disk would.
// [Stack.Start] starts an empty broker, and [Stack.Up] creates its topics.
func (s *Stack) WipeBroker(ctx context.Context) error {
	release, err := s.exclusiveFor(ctx, Broker)
	if err != nil {
		return err
	}
	defer release()
	running, err := s.Running()
	if err != nil {
		return err
	}
	if _, runs := running[Broker]; runs {
		return errors.New("the broker runs; stop or kill it first")
	}
	return s.runs().Empty(ctx, Broker)
}

package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"eventshop.example/bench/database"
)

// Stack is a running shop with empty databases. [Program.Up] creates it; Down ends it.
type Stack struct {
	Server *database.Server
	URLs   map[string]string `json:"urls"` // by process
	Kafka  []string          `json:"kafka"`
	PIDs   map[string]int    // by process, without the database server's

	program *Program
}

// Up starts a database server and the shop on it. more are further flags of `shop up`.
func (p *Program) Up(ctx context.Context, more ...string) (*Stack, error) {
	db, err := database.Start(ctx)
	if err != nil {
		return nil, err
	}
	s := &Stack{Server: db, program: p}
	err = p.run(ctx, append([]string{"up", "--detach", "--ports", "auto", "--postgres", db.URL("postgres")}, more...)...)
	if err == nil {
		err = s.read()
	}
	if err != nil {
		return nil, errors.Join(err, s.Down(ctx))
	}
	return s, nil
}

// read reads the state folder.
func (s *Stack) read() error {
	if err := readJSON(filepath.Join(s.program.state, "state.json"), s); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.program.state, "run", "*.pid"))
	if err != nil {
		return err
	}
	s.PIDs = map[string]int{}
	for _, file := range files {
		var p struct {
			PID int `json:"pid"`
		}
		if err := readJSON(file, &p); err != nil {
			return err
		}
		s.PIDs[strings.TrimSuffix(filepath.Base(file), ".pid")] = p.PID
	}
	return nil
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// Stop stops processes of the shop.
func (s *Stack) Stop(ctx context.Context, processes ...string) error {
	for _, name := range processes {
		if err := s.program.run(ctx, "stop", name); err != nil {
			return err
		}
		delete(s.PIDs, name)
	}
	return nil
}

// Kill ends processes of the shop with SIGKILL.
func (s *Stack) Kill(ctx context.Context, processes ...string) error {
	for _, name := range processes {
		if err := s.program.run(ctx, "kill", name); err != nil {
			return err
		}
		delete(s.PIDs, name)
	}
	return nil
}

// Start starts processes of the shop again.
func (s *Stack) Start(ctx context.Context, processes ...string) error {
	for _, name := range processes {
		if err := s.program.run(ctx, "start", name); err != nil {
			return err
		}
	}
	return s.read()
}

// settle is how long a shop may take to come to rest after its last order was delivered. It is
// longer than any backlog of a benchmark takes on a machine that is busy with other work.
const settle = "5m"

// Verify checks the shop's invariants, once it has come to rest. The error has the breaches.
func (s *Stack) Verify(ctx context.Context) error {
	return s.program.run(ctx, "verify", "--settle", settle)
}

// Halt stops all processes of the shop and leaves the database server running. It also works after
// ctx has ended.
func (s *Stack) Halt(ctx context.Context) error {
	return s.program.run(context.WithoutCancel(ctx), "down")
}

// Down stops everything and deletes the data. The programs stay built. It also works after ctx has
// ended.
func (s *Stack) Down(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	err := s.Halt(ctx)
	if err == nil {
		err = s.program.run(ctx, "wipe")
	}
	return errors.Join(err, s.Server.Stop())
}

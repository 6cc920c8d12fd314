package database

import (
	"context"
	"time"

	"eventshop.example/bench/measure"
)

// Postgres is the name of the server among the processes of a [Usage].
const Postgres = "postgres"

// Meter measures what a server and other processes use from one moment to another.
type Meter struct {
	server    *Server
	processes map[string]int
	began     time.Time
	counters  Counters
	spent     map[string]time.Duration
}

// Usage is what was used.
type Usage struct {
	Took time.Duration
	CPU  map[string]time.Duration // by process, the server's under [Postgres]
	Counters
}

// Meter begins to measure. processes are further ones, process ids by name.
func (s *Server) Meter(ctx context.Context, processes map[string]int) (*Meter, error) {
	m := &Meter{server: s, processes: map[string]int{Postgres: s.PID}}
	for name, pid := range processes {
		m.processes[name] = pid
	}
	var err error
	if m.counters, err = s.Counters(ctx); err != nil {
		return nil, err
	}
	if m.spent, err = measure.Spent(m.processes); err != nil {
		return nil, err
	}
	m.began = time.Now()
	return m, nil
}

// Read returns what was used since the beginning. It may be called again.
func (m *Meter) Read(ctx context.Context) (Usage, error) {
	u := Usage{Took: time.Since(m.began), CPU: map[string]time.Duration{}}
	spent, err := measure.Spent(m.processes)
	if err != nil {
		return u, err
	}
	for name, d := range spent {
		u.CPU[name] = d - m.spent[name]
	}
	now, err := m.server.Counters(ctx)
	if err != nil {
		return u, err
	}
	u.Counters = now.Since(m.counters)
	return u, nil
}

// AllCPU returns the sum over all processes.
func (u Usage) AllCPU() (sum time.Duration) {
	for _, d := range u.CPU {
		sum += d
	}
	return sum
}

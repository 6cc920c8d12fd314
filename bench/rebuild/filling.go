package rebuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/bench/database"
	"eventshop.example/bench/infra"
	"eventshop.example/bench/measure"
)

// Service is the name of the projection service among the processes of a usage.
const Service = "projection"

// Version is a version of a projection of the service, with tables in a schema of its own.
type Version struct {
	Projection string
	Number     int
	Tables     []string
	Check      string // a query of one row: what the tables have, in the order of [Sums.of]
	of         func(s Sums) []int64
}

// Versions lists the versions that have schemas of their own.
func Versions() []Version {
	return []Version{
		{
			Projection: "revenue", Number: 2, Tables: []string{"revenue_orders", "revenue_shares", "revenue_money", "revenue_items"},
			Check: `SELECT ARRAY[sum(captured), sum(refunded), sum(payments), sum(refunds)]::bigint[] FROM revenue_v2.revenue_days`,
			of:    func(s Sums) []int64 { return []int64{s.Captured, s.Refunded, s.Payments, s.Refunds} },
		},
		{
			Projection: "customer_orders", Number: 1, Tables: []string{"customer_orders"},
			Check: `SELECT ARRAY[count(*), sum(total_amount) FILTER (WHERE status <> '')]::bigint[] FROM customer_orders_v1.customer_orders`,
			of:    func(s Sums) []int64 { return []int64{s.Orders, s.Ordered} },
		},
		{
			Projection: "customer_activity", Number: 1, Tables: []string{"activity_orders", "customer_activity"},
			Check: `SELECT ARRAY[count(*), count(customer_id), count(DISTINCT order_id)]::bigint[] FROM customer_activity_v1.customer_activity`,
			of:    func(s Sums) []int64 { return []int64{s.Events, s.Events, s.Orders} },
		},
	}
}

// Schema returns the version's schema.
func (v Version) Schema() string { return fmt.Sprintf("%s_v%d", v.Projection, v.Number) }

// Bench has what fillings share.
type Bench struct {
	In      *infra.Infra
	Program *Program

	databases int
}

// Filled is a version that was filled, in a database of its own. [Filled.Close] drops it.
type Filled struct {
	Took   time.Duration // from the operator's request until the consumer feeds the version
	Usage  database.Usage
	Memory int64 // the most resident memory of the service's process, in bytes, sampled ten times a second
	Name   string
	Conn   *pgx.Conn

	bench *Bench
}

// Close drops the database.
func (f *Filled) Close(ctx context.Context) error {
	return errors.Join(f.Conn.Close(context.WithoutCancel(ctx)), f.bench.In.Server.Drop(context.WithoutCancel(ctx), f.Name))
}

// prepare creates a database whose consumer has handled all records, and whose versions are not filled.
func (b *Bench) prepare(ctx context.Context, t *Topics, set int) (f *Filled, s Settings, err error) {
	b.databases++
	f = &Filled{Name: fmt.Sprintf("filling%d", b.databases), bench: b}
	s = Settings{Registry: b.In.Registry, Brokers: t.Brokers(), FillSet: set}
	if s.DatabaseURL, err = b.In.Server.Create(ctx, f.Name); err != nil {
		return nil, s, err
	}
	err = b.Program.Migrate(ctx, s)
	if err == nil {
		f.Conn, err = pgx.Connect(ctx, s.DatabaseURL)
	}
	if err != nil {
		return nil, s, errors.Join(err, b.In.Server.Drop(context.WithoutCancel(ctx), f.Name))
	}
	_, err = f.Conn.Exec(ctx, t.atEnds())
	if err == nil {
		err = t.handle(ctx)
	}
	if err != nil {
		return nil, s, errors.Join(err, f.Close(ctx))
	}
	for _, v := range Versions() { // as after a drop
		_, err := f.Conn.Exec(ctx, `INSERT INTO projection_versions (projection, version, state, attached) VALUES ($1, $2, 'dropped', false)`, v.Projection, v.Number)
		if err != nil {
			return nil, s, errors.Join(err, f.Close(ctx))
		}
	}
	return f, s, nil
}

// Fill fills a version, in sets of up to so many records; 0 is the service's default.
func (b *Bench) Fill(ctx context.Context, t *Topics, v Version, set int) (*Filled, error) {
	f, settings, err := b.prepare(ctx, t, set)
	if err != nil {
		return nil, err
	}
	if err := f.fill(ctx, t, v, settings); err != nil {
		return nil, errors.Join(err, f.Close(ctx))
	}
	return f, nil
}

func (f *Filled) fill(ctx context.Context, t *Topics, v Version, s Settings) (err error) {
	process, err := f.bench.Program.Start(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, process.Stop()) }()
	m, err := f.bench.In.Server.Meter(ctx, map[string]int{Service: process.PID})
	if err != nil {
		return err
	}
	if err := process.Operate(ctx, v.Projection, "rebuild", v.Number); err != nil {
		return err
	}
	if err := f.await(ctx, v, process); err != nil {
		return err
	}
	if f.Usage, err = m.Read(ctx); err != nil {
		return err
	}
	return f.check(ctx, t.Sums, v)
}

// await waits until the consumer feeds the version.
func (f *Filled) await(ctx context.Context, v Version, process *Process) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		used, err := measure.MemoryOf(map[string]int{Service: process.PID})
		if err != nil {
			return err
		}
		f.Memory = max(f.Memory, used[Service].All)
		var seconds *float64
		var state, reason string
		err = f.Conn.QueryRow(ctx, `SELECT extract(epoch FROM attached_at - started_at)::float8, state, reason FROM projection_versions
			WHERE projection = $1 AND version = $2`, v.Projection, v.Number).Scan(&seconds, &state, &reason)
		switch {
		case err != nil:
			return err
		case state == "failed":
			return fmt.Errorf("%s cannot be filled: %s", v.Schema(), reason)
		case seconds != nil:
			f.Took = time.Duration(*seconds * float64(time.Second))
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// check compares the version's tables with what was published.
func (f *Filled) check(ctx context.Context, s Sums, v Version) error {
	var got []int64
	if err := f.Conn.QueryRow(ctx, v.Check).Scan(&got); err != nil {
		return err
	}
	if want := v.of(s); fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s has %v, want %v", v.Schema(), got, want)
	}
	var failures int
	if err := f.Conn.QueryRow(ctx, `SELECT count(*) FROM projection_failures`).Scan(&failures); err != nil || failures > 0 {
		return fmt.Errorf("%d records failed (%w)", failures, err)
	}
	return nil
}

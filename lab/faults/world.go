package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/lab/load"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/saga"
	"eventshop.example/ops/verify"
)

// actor is the name under which the faults' decisions are recorded.
const actor = "shop-faults"

// world is the shop under test with its addresses. newWorld creates it; one fault at a time uses
// it.
type world struct {
	open  func() (*stack.Stack, error)
	file  stack.File // as of the last refresh
	http  *load.Client
	kafka *kgo.Client
	admin *kadm.Client
	sizes Sizes
	check func(f verify.Facts) []verify.Finding
}

// newWorld connects to the shop that open opens. Every operation on its processes opens the shop
// anew, so that several operations can run at once.
func newWorld(open func() (*stack.Stack, error), sizes Sizes) (*world, error) {
	w := &world{open: open, http: load.NewClient(), sizes: sizes}
	if err := w.refresh(); err != nil {
		return nil, err
	}
	var err error
	if w.kafka, err = w.file.Cluster().Client(); err != nil {
		return nil, err
	}
	w.admin = kadm.NewClient(w.kafka)
	return w, nil
}

func (w *world) close() { w.kafka.Close() }

// refresh reads the addresses again after the number of processes has changed.
func (w *world) refresh() error {
	s, err := w.open()
	if err != nil {
		return err
	}
	w.file = s.File()
	return nil
}

// shop calls do with the opened shop.
func (w *world) shop(do func(s *stack.Stack) error) error {
	s, err := w.open()
	if err != nil {
		return err
	}
	return do(s)
}

// heal starts everything that should run, each service as one process, whatever an earlier failed
// fault has left.
func (w *world) heal(ctx context.Context) error {
	err := w.shop(func(s *stack.Stack) error {
		for _, name := range s.Processes() {
			s.Resume(name) //nolint:errcheck // one that does not run is started below
		}
		failures := []error{s.Up(ctx, stack.Options{SkipBuild: true})}
		for _, service := range eventshop.Services() {
			if s.File().Replicas[service] > 1 {
				failures = append(failures, s.Scale(ctx, service, 1))
			}
		}
		return errors.Join(failures...)
	})
	return errors.Join(err, w.refresh())
}

func (w *world) fleet() *operators.Fleet { return operators.NewFleet(w.file.Operators, actor) }

// sagas returns the shop as operators see it.
func (w *world) sagas() *saga.Shop {
	u := w.file.URL
	return saga.New(saga.Endpoints{Order: u["order"], Payment: u["payment"], Inventory: u["inventory"], Shipping: u["shipping"], Orchestrator: u["orchestrator"]}, w.fleet(), nil)
}

// call sends one JSON request to a process and decodes the answer; in and out may be nil.
func (w *world) call(ctx context.Context, method, process, path string, in, out any, headers ...string) error {
	if err := jsonhttp.New(w.file.URL[process], nil).Call(ctx, method, path, nil, in, out, headers...); err != nil {
		return fmt.Errorf("%s %s of %s: %w", method, path, process, err)
	}
	return nil
}

// query runs SQL in a service's database and scans its one row.
func (w *world) query(ctx context.Context, service, sql string, args []any, into ...any) error {
	c, err := pgx.Connect(ctx, w.file.DSN[service])
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	if err := c.QueryRow(ctx, sql, args...).Scan(into...); err != nil {
		return fmt.Errorf("%s's database: %w", service, err)
	}
	return nil
}

// status returns an order's status from the order service.
func (w *world) status(ctx context.Context, orderID string) (string, error) {
	var o struct{ Status string }
	err := w.call(ctx, http.MethodGet, "order", "/orders/"+orderID, nil, &o)
	return o.Status, err
}

// eventually repeats the condition until it holds, or until within is over. An error of the
// condition counts as false and is part of the final error.
func eventually(ctx context.Context, within time.Duration, what string, condition func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		ok, err := condition(ctx)
		if ok && err == nil {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if last != nil {
				return fmt.Errorf("not within %s: %s: %w", within, what, last)
			}
			return fmt.Errorf("not within %s: %s", within, what)
		}
	}
}

// pass waits for a time.
func pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

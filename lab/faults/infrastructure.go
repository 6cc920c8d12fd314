package faults

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"eventshop.example/lab/load"
	"eventshop.example/lab/plant"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
)

func infrastructure() []Fault {
	const family = "infrastructure"
	all := []Fault{
		{Name: "broker-killed", Family: family, run: func(ctx context.Context, t *trial) error { return t.brokerAway(ctx, false) },
			Done: "kill -9 of the broker for a while", Expect: "orders accepted all the same; services say why they are not ready; the outbox drains"},
		{Name: "broker-frozen", Family: family, run: func(ctx context.Context, t *trial) error { return t.brokerAway(ctx, true) },
			Done: "the broker frozen for a while", Expect: "orders accepted all the same; all go on after the thaw"},
		{Name: "postgres-killed", Family: family, run: postgresKilled,
			Done: "kill -9 of the database server, started again", Expect: "no service dies; what was promised exists"},
		{Name: "registry-away-at-start", Family: family, run: registryAtStart,
			Done: "a service started while the schema registry is down", Expect: "not ready, says for what it waits, goes on by itself"},
		{Name: "registry-away-later", Family: family, run: registryLater,
			Done: "the schema registry down while orders come in", Expect: "schemas are cached: nobody notices"},
	}
	for _, c := range []struct{ service, table string }{{"inventory", "inbox"}, {"payment", "outbox"}} {
		all = append(all, Fault{Name: "disk-full-" + c.table, Family: family,
			Done:   fmt.Sprintf("no disk space (SQLSTATE 53100) for %s's %s", c.service, c.table),
			Expect: "not ready, says why; tried again, nothing given up",
			run:    func(ctx context.Context, t *trial) error { return diskFull(ctx, t, c.service, c.table) }})
	}
	return all
}

// brokerAway kills or freezes the broker. The order service still has to accept orders at once.
func (t *trial) brokerAway(ctx context.Context, frozen bool) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	t.load.InsistOnFirst(true)
	before := t.load.Placed()
	var back func(ctx context.Context) error
	var err error
	if frozen {
		back, err = t.freeze(stack.Broker)
	} else {
		back, err = t.take(ctx, stack.Broker)
	}
	if err != nil {
		return err
	}
	if frozen {
		err = pass(ctx, 2*time.Second) // a frozen broker shows only by missing answers
	} else {
		err = t.unready(ctx, "broker", eventshop.Services()...)
	}
	if err == nil {
		err = pass(ctx, 2*t.sizes.Hold)
	}
	if err != nil {
		return err
	}
	accepted := t.load.Placed() - before
	var waiting int
	if err := t.query(ctx, "order", `SELECT count(*) FROM outbox_queue`, nil, &waiting); err != nil {
		return err
	}
	t.expect(accepted > 0 && waiting >= accepted, "%d orders accepted without the broker, %d records in the outbox", accepted, waiting)
	t.see("%d orders accepted meanwhile, %d records waited in the outbox", accepted, waiting)
	if err := back(ctx); err != nil {
		return err
	}
	t.over(ctx)
	t.load.InsistOnFirst(false)
	return t.allReady(ctx, eventshop.Services()...)
}

func postgresKilled(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	start, err := t.take(ctx, stack.Postgres)
	if err != nil {
		return err
	}
	if err := t.unready(ctx, "database", eventshop.Services()...); err != nil {
		return err
	}
	for _, name := range eventshop.Services() {
		a, err := t.http.Send(ctx, http.MethodGet, t.file.URL[name]+"/livez", "")
		t.expect(err == nil && a.Status == http.StatusOK, "%s: /livez says %d %v", name, a.Status, err)
	}
	if err := pass(ctx, t.sizes.Hold); err != nil {
		return err
	}
	if err := start(ctx); err != nil {
		return err
	}
	t.over(ctx)
	return t.allReady(ctx, eventshop.Services()...)
}

func registryAtStart(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	registry, err := t.take(ctx, stack.Registry)
	if err != nil {
		return err
	}
	const late = "payment"
	if err := t.shop(func(s *stack.Stack) error { return s.Stop(ctx, late) }); err != nil {
		return err
	}
	start := t.once(func(ctx context.Context) error {
		return t.shop(func(s *stack.Stack) error { return s.Start(ctx, late) })
	})
	started := make(chan error, 1)
	go func() { started <- start(ctx) }()
	if err := t.unready(ctx, strings.TrimPrefix(t.file.RegistryForServices(), "http://"), late); err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered) // the orders wait for their charges
	if err != nil {
		return err
	}
	if err := registry(ctx); err != nil {
		return err
	}
	t.over(ctx)
	if err := <-started; err != nil {
		return err
	}
	t.see("%s ready %.1f s after the registry", late, time.Since(t.healed).Seconds())
	return t.reach(ctx, ids, delivered)
}

func registryLater(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	registry, err := t.take(ctx, stack.Registry)
	if err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	if err := t.allReady(ctx, eventshop.Services()...); err != nil {
		return err
	}
	t.see("orders delivered meanwhile, all services ready")
	if err := registry(ctx); err != nil {
		return err
	}
	t.over(ctx)
	return nil
}

func diskFull(ctx context.Context, t *trial, service, table string) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	mend, err := t.refuse(ctx, service, plant.Fault{Table: table, State: plant.DiskFull, Times: forEver,
		Message: "could not extend file: no space left on device"})
	if err != nil {
		return err
	}
	if err := t.unready(ctx, "no space left on device", service); err != nil {
		return err
	}
	tried := 0
	err = eventually(ctx, 30*time.Second, "what was refused is tried again", func(ctx context.Context) (bool, error) {
		tried, err = plant.Refused(ctx, t.file.DSN[service])
		return tried >= 4, err
	})
	if err == nil {
		err = pass(ctx, t.sizes.Hold)
	}
	if err != nil {
		return err
	}
	if err := mend(ctx); err != nil {
		return err
	}
	t.over(ctx)
	t.see("%d refusals", tried)
	if err := t.allReady(ctx, service); err != nil {
		return err
	}
	letters, err := t.openLetters(ctx)
	t.expect(err != nil || letters == 0, "%d dead letters are open", letters)
	return err
}

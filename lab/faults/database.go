package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/lab/load"
	"eventshop.example/lab/plant"
	"eventshop.example/pkg/events"
)

// databaseRefuses are faults of a database server that runs and refuses to work. The cause is the
// environment, not the record or request being handled.
func databaseRefuses() []Fault {
	const family = "database refuses"
	return []Fault{
		{Name: "dead-letters-refused", Family: family, run: deadLettersRefused,
			Done:   "no grant on payment's dead letters, and bytes that are no event to bury; the grant given back",
			Expect: "payment waits and says why, then goes on; one dead letter"},
		{Name: "table-and-grant-away", Family: family, run: tableAndGrantAway,
			Done:   "payment's main table renamed away and projection's grant on the timeline taken, then both put right",
			Expect: "not ready, says why; no attempt is spent, no dead letter"},
		{Name: "login-refused", Family: family, run: loginRefused,
			Done: "payment's role may not log in, its sessions are ended", Expect: "the service stays up and says why it is not ready"},
		{Name: "database-read-only", Family: family, run: databaseReadOnly,
			Done:   "the order service's sessions end, and new ones are read-only, for a while",
			Expect: "orders are refused with 503 meanwhile; connections that stay read-only are dropped"},
		{Name: "keys-locked", Family: family, run: keysLocked,
			Done:   "the table of idempotency keys is locked while 20 clients place orders at once",
			Expect: "each client gets an answer; other orders go on and are shown"},
	}
}

func deadLettersRefused(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	survived, err := t.survivors()
	if err != nil {
		return err
	}
	back, err := plant.Withhold(ctx, t.file.DSN["payment"], "INSERT", "dead_letters")
	if err != nil {
		return err
	}
	back = t.once(back)
	// The payment service has to make it a dead letter, and so do all other readers, which can.
	record := &kgo.Record{Topic: events.TopicOrderEvents, Value: []byte("x")}
	if err := t.kafka.ProduceSync(ctx, record).FirstErr(); err != nil {
		return err
	}
	if err := t.unready(ctx, "dead_letters", "payment"); err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered) // the orders wait for their charges
	if err == nil {
		err = pass(ctx, t.sizes.Hold)
	}
	if err != nil {
		return err
	}
	if err := survived(); err != nil {
		return err
	}
	if err := back(ctx); err != nil {
		return err
	}
	t.over(ctx)
	if err := t.allReady(ctx, "payment"); err != nil {
		return err
	}
	t.see("ready %.1f s after the grant", time.Since(t.healed).Seconds())
	if _, err := t.buriedBy(ctx, onePerReader(events.TopicOrderEvents)); err != nil {
		return err
	}
	return t.reach(ctx, ids, delivered)
}

func tableAndGrantAway(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	check, err := t.unscathed(ctx)
	if err != nil {
		return err
	}
	show, err := plant.Hide(ctx, t.file.DSN["payment"], "payments")
	if err != nil {
		return err
	}
	show = t.once(show)
	back, err := plant.Withhold(ctx, t.file.DSN["projection"], "INSERT", "timeline")
	if err != nil {
		return err
	}
	back = t.once(back)
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	if err := t.unready(ctx, "payments", "payment"); err != nil {
		return err
	}
	if err := t.unready(ctx, "timeline", "projection"); err != nil {
		return err
	}
	// Longer than all attempts of a record would take.
	if err := pass(ctx, t.sizes.Hold+time.Second); err != nil {
		return err
	}
	if err := errors.Join(show(ctx), back(ctx)); err != nil {
		return err
	}
	t.over(ctx)
	if err := t.allReady(ctx, "payment", "projection"); err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	if err := t.caughtUp(ctx, "projection"); err != nil {
		return err
	}
	return check(ctx)
}

// role returns the role of a service's connections and the URL of the server's superuser.
func (w *world) role(service string) (role, admin string, err error) {
	if w.file.Admin == "" {
		return "", "", fmt.Errorf("alter the role of %s: this shop has no URL of the server's superuser", service)
	}
	cfg, err := pgx.ParseConfig(w.file.DSN[service])
	if err != nil {
		return "", "", err
	}
	return cfg.User, w.file.Admin, nil
}

func loginRefused(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	role, admin, err := t.role("payment")
	if err != nil {
		return err
	}
	check, err := t.unscathed(ctx)
	if err != nil {
		return err
	}
	admit, err := plant.Bar(ctx, admin, role)
	if err != nil {
		return err
	}
	admit = t.once(admit)
	if err := t.unready(ctx, "not permitted to log in", "payment"); err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err == nil {
		err = pass(ctx, t.sizes.Hold)
	}
	if err == nil {
		err = admit(ctx)
	}
	if err != nil {
		return err
	}
	t.over(ctx)
	if err := t.allReady(ctx, "payment"); err != nil {
		return err
	}
	t.see("ready %.1f s after it may log in again", time.Since(t.healed).Seconds())
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	return check(ctx)
}

func databaseReadOnly(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	role, admin, err := t.role("order")
	if err != nil {
		return err
	}
	check, err := t.unscathed(ctx)
	if err != nil {
		return err
	}
	writable, err := plant.ReadOnly(ctx, admin, role)
	if err != nil {
		return err
	}
	writable = t.once(writable)
	if err := t.unready(ctx, "read-only", "order"); err != nil {
		return err
	}
	a, err := t.http.Send(ctx, http.MethodPost, t.file.URL["order"]+"/orders", load.Order{Customer: t.customer, SKU: t.sku, Quantity: 1}.Body())
	t.expect(err == nil && a.Status == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "",
		"an order meanwhile is answered with %d %s %v", a.Status, a.Body, err)
	if err := pass(ctx, t.sizes.Hold); err != nil {
		return err
	}
	if err := writable(ctx); err != nil {
		return err
	}
	t.over(ctx)
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	t.see("orders taken again after %.1f s", time.Since(t.healed).Seconds())
	if err := t.allReady(ctx, "order"); err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	return check(ctx)
}

// clients is how many clients place orders while the keys are locked: more than the service has
// connections.
const clients = 20

func keysLocked(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	check, err := t.unscathed(ctx)
	if err != nil {
		return err
	}
	// Slow enough to be still under way when the lock is taken.
	_, err = t.rule(ctx, "gateway", map[string]any{"match": map[string]any{"customerId": t.customer, "operation": "charge"},
		"latencyMs": (callTimeout * 7 / 10).Milliseconds()})
	if err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	release, err := plant.Lock(ctx, t.file.DSN["order"], "idempotency_keys")
	if err != nil {
		return err
	}
	release = t.once(release)
	at := t.file.URL["order"] + "/orders"
	body := load.Order{Customer: t.customer, SKU: t.sku, Quantity: 1}.Body()
	key := func(i int) string { return fmt.Sprintf("%s-locked-%d", t.customer, i) }
	answers, failures := make([]load.Answer, clients), make([]error, clients)
	var all sync.WaitGroup
	began := time.Now()
	for i := range clients {
		all.Go(func() {
			answers[i], failures[i] = t.http.Send(ctx, http.MethodPost, at, body, "Idempotency-Key", key(i))
		})
	}
	// The saga's own work and read requests need no key.
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	t.see("%d orders delivered within %.1f s of the lock", len(ids), time.Since(began).Seconds())
	all.Wait()
	t.see("each of %d clients answered within %.1f s", clients, time.Since(began).Seconds())
	for i, a := range answers {
		t.expect(failures[i] == nil && a.Status == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "",
			"client %d has the answer %d %s %v", i, a.Status, strings.TrimSpace(string(a.Body)), failures[i])
	}
	if err := release(ctx); err != nil {
		return err
	}
	t.over(ctx)
	for i := range clients {
		a, err := t.http.Insist(ctx, func() string { return at }, body, key(i), http.StatusCreated)
		if err != nil {
			return err
		}
		t.wants[a.OrderID()] = delivered
	}
	if err := t.allReady(ctx, "order"); err != nil {
		return err
	}
	return check(ctx)
}

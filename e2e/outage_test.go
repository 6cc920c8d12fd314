package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"eventshop.example/lab/plant"
	"eventshop.example/ops/eventshop"
)

// longVariable is the environment variable that makes the outages as long as real ones, and runs
// tests that take minutes. Without it an outage lasts until every timeout involved has passed once.
const longVariable = "EVENTSHOP_E2E_LONG"

func long() bool { return os.Getenv(longVariable) != "" }

// TestBrokerAway stops the broker while orders are placed. They are accepted all the same and wait
// in the outbox, not in memory. Every service reports why it is not ready. When the broker is back
// everything continues by itself.
func TestBrokerAway(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	s := shared(t)
	outage, perSecond := 15*time.Second, 20
	if long() {
		outage, perSecond = time.Minute, 30
	}
	const stock = plenty
	const growth = 60 << 20 // maximum growth of a service's memory, in bytes
	sku := s.stock(t, "AWAY-1", stock)

	l := s.startLoad(t, sku, perSecond, "away")
	l.await(t, 3*perSecond)
	before := map[string]int64{}
	for _, name := range eventshop.Services() {
		before[name] = s.memory(t, name)
	}
	l.insistOnFirst(true) // 201 at once: accepting an order needs no broker
	s.must(t, "kill", "broker")
	down := time.Now()
	t.Cleanup(func() { s.command("start", "broker") }) //nolint:errcheck // the next test brings up what is missing
	accepted := l.placed()
	s.awaitUnready(t, "broker", eventshop.Services()...)
	most := maps.Clone(before)
	eventually(t, outage+30*time.Second, "the outage is over", func() bool {
		for _, name := range eventshop.Services() {
			most[name] = max(most[name], s.memory(t, name))
		}
		return time.Since(down) > outage
	})
	accepted = l.placed() - accepted
	if want := int(outage.Seconds()) * perSecond / 2; accepted < want {
		t.Errorf("%d orders accepted while the broker was away, want %d at least", accepted, want)
	}
	waiting := s.unpublished(t, "order")
	if waiting < accepted {
		t.Errorf("%d orders were accepted and %d events wait in the outbox", accepted, waiting)
	}
	for _, name := range eventshop.Services() {
		why := "" // on a busy machine the reason may only be that there was no time to check
		eventuallySay(t, 15*time.Second, func() string { return fmt.Sprintf("%s says what it waits for at the end of the outage: %q", name, why) },
			func() bool { why = s.unready(t, name); return strings.Contains(why, "broker") })
	}

	s.must(t, "start", "broker")
	back := time.Now()
	s.awaitReady(t, eventshop.Services()...)
	for _, name := range eventshop.Services() {
		if kind, _ := kindOfStack(); kind == "debezium" {
			break // rows are marked when the log is confirmed, which always takes some seconds
		}
		eventually(t, time.Minute, name+"'s outbox is drained", func() bool { return s.unpublished(t, name) < perSecond })
	}
	t.Logf("%d orders accepted in %s, %d events in the outbox; drained %s after the start", accepted, outage, waiting, time.Since(back).Round(time.Millisecond))
	orders := l.stop()
	ended := s.endOf(t, orders)
	if ended["DELIVERED"] != len(orders) {
		t.Errorf("of %d orders ended %v, want all delivered", len(orders), ended)
	}
	for _, name := range eventshop.Services() {
		most[name] = max(most[name], s.memory(t, name)) // after the backlog has been published
		t.Logf("%s: %d MiB before, %d MiB at most", name, before[name]>>20, most[name]>>20)
		if most[name]-before[name] > growth {
			t.Errorf("%s took %d MiB more than before", name, (most[name]-before[name])>>20)
		}
	}
	s.wantStock(t, sku, stock, len(orders))
	s.verify(t)
}

// unpublished counts the events that wait in a service's outbox.
func (s *stack) unpublished(t testing.TB, service string) (n int) {
	t.Helper()
	s.query(t, service, `SELECT count(*) FROM outbox_queue`, &n)
	return n
}

// TestDatabaseRestarts kills the database server under load, twice, and starts it again. Requests
// fail meanwhile and are repeated with their key. Everything that was promised before or was under
// way exists.
func TestDatabaseRestarts(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	s := shared(t)
	const stock = plenty
	sku := s.stock(t, "RESTART-1", stock)
	adm := s.admin(t)
	before := deadLetters(t, adm)
	l := s.startLoad(t, sku, 15, "restart")
	for round := range 2 {
		l.await(t, 15)
		if kind, _ := kindOfStack(); kind == "debezium" {
			// A connector that is interrupted while it starts has failed, and stays failed until
			// "shop relay use debezium" restarts it. An order that ends shows that all connectors
			// run.
			probe := s.stock(t, fmt.Sprintf("RESTART-PROBE-%d", round), 1)
			a := post(t, s.URL["order"]+"/orders", orderBody("restart-probe", probe, 1))
			if a.status != http.StatusCreated {
				t.Fatalf("%d %s", a.status, a.body)
			}
			s.awaitStatus(t, a.field(t, "orderId"), "DELIVERED")
		}
		s.must(t, "kill", "postgres")
		s.awaitUnready(t, "database", eventshop.Services()...)
		for _, name := range eventshop.Services() { // no service ends
			if a := get(t, s.URL[name]+"/livez"); a.status != http.StatusOK {
				t.Errorf("%s: /livez says %d", name, a.status)
			}
		}
		s.must(t, "start", "postgres")
		s.awaitReady(t, eventshop.Services()...)
		t.Logf("round %d: all are ready again at %d orders", round+1, l.placed())
	}
	l.await(t, 15)
	orders := l.stop()
	ended := s.endOf(t, orders)
	if ended["DELIVERED"] != len(orders) {
		t.Errorf("of %d orders ended %v, want all delivered", len(orders), ended)
	}
	s.wantStock(t, sku, stock, len(orders))
	if after := deadLetters(t, adm); after != before {
		t.Errorf("%d records became dead letters", after-before)
	}
	s.verify(t)
}

// TestRegistryAway starts a service while the schema registry is down: it waits, reports the
// reason, and continues when the registry is back. The other services, and later this one, have
// their schemas and need no registry.
func TestRegistryAway(t *testing.T) {
	s := shared(t)
	const stock = 100
	sku := s.stock(t, "SCHEMA-1", stock)
	adm := s.admin(t)
	before := deadLetters(t, adm)
	// Every service has read and written each type of event once.
	orders := []string{s.place(t, "schema", sku, 1)}
	s.awaitSaga(t, orders[0], "DELIVERED", "OrderDelivered")

	s.must(t, "stop", "registry")
	t.Cleanup(func() { s.command("start", "registry") }) //nolint:errcheck // the next test brings up what is missing
	for range 5 {
		orders = append(orders, s.place(t, "schema", sku, 1))
	}
	s.endOf(t, orders)
	for _, name := range eventshop.Services() {
		if why := s.unready(t, name); why != "" {
			t.Errorf("%s has its schemas and is not ready: %s", name, why)
		}
	}

	address := strings.TrimPrefix(s.URL["registry"], "http://")
	if composed() { // at the address that the services use
		address = "//registry:8081"
	}
	for _, name := range []string{"payment", "order"} {
		s.must(t, "stop", name)
		started := make(chan error, 1)
		go func() {
			out, err := s.command("start", name)
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, out)
			}
			started <- err
		}()
		s.awaitUnready(t, address, name)
		if name == "payment" {
			orders = append(orders, s.place(t, "schema", sku, 1)) // it waits for its charge
		}
		s.must(t, "start", "registry")
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		orders = append(orders, s.place(t, "schema", sku, 1))
		s.endOf(t, orders) // so that it has read every schema before the registry stops again
		s.must(t, "stop", "registry")
	}
	for range 5 {
		orders = append(orders, s.place(t, "schema", sku, 1))
	}
	ended := s.endOf(t, orders)
	if ended["DELIVERED"] != len(orders) {
		t.Errorf("of %d orders ended %v, want all delivered", len(orders), ended)
	}
	s.must(t, "start", "registry")
	s.wantStock(t, sku, stock, len(orders))
	if after := deadLetters(t, adm); after != before {
		t.Errorf("%d records became dead letters", after-before)
	}
	s.verify(t)
}

// TestDiskFull makes the database refuse the rows of an inbox, an outbox or positions under load, as a server
// without disk space does. The cause is the server: the service reports that it is not ready and
// why, retries, gives no record up, and continues by itself when there is space.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	s := shared(t)
	const stock = plenty
	sku := s.stock(t, "FULL-1", stock)
	adm := s.admin(t)
	before := deadLetters(t, adm)
	l := s.startLoad(t, sku, 10, "full")
	for _, c := range []struct {
		service, table string
	}{
		{"inventory", "inbox"},
		{"projection", "consumer_positions"},
		{"payment", "outbox"},
		{"order", "outbox"},
	} {
		t.Run(c.service+"'s "+c.table, func(t *testing.T) {
			l.await(t, 5)
			const forEver = 1 << 30 // refusals are only counted if there is a number
			remove, err := plant.Refuse(t.Context(), s.DSN[c.service], plant.Fault{Table: c.table, State: plant.DiskFull,
				Message: "could not extend file: no space left on device", Times: forEver})
			if err != nil {
				t.Fatal(err)
			}
			planted := time.Now()
			t.Cleanup(func() { s.unplant(t, c.service) })
			s.awaitUnready(t, "no space left on device", c.service)
			eventually(t, 30*time.Second, "for three seconds the refused is tried again", func() bool {
				return s.refused(t, c.service) >= 4 && time.Since(planted) > 3*time.Second
			})
			if c.service == "order" { // the order service promises only orders that it has stored
				a := post(t, s.URL["order"]+"/orders", orderBody("full", sku, 1))
				if a.status != http.StatusServiceUnavailable {
					t.Errorf("order placed on a full disk: %d %s", a.status, a.body)
				}
				problem(t, a, "")
			}
			if err := remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.awaitReady(t, c.service)
		})
	}
	orders := l.stop()
	ended := s.endOf(t, orders)
	if ended["DELIVERED"] != len(orders) {
		t.Errorf("of %d orders ended %v, want all delivered", len(orders), ended)
	}
	s.wantStock(t, sku, stock, len(orders))
	if after := deadLetters(t, adm); after != before {
		t.Errorf("%d records became dead letters", after-before)
	}
	s.verify(t)
}

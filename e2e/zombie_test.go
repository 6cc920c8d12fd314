package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/ops/eventshop"
)

// charges counts the captures in the gateway's own ledger.
func (s *stack) charges(t testing.TB) (n int) {
	t.Helper()
	for after := int64(0); ; {
		a := get(t, fmt.Sprintf("%s/v1/ledger?after=%d", s.URL["gateway"], after))
		var page struct {
			Entries []struct {
				Seq  int64
				Kind string
			}
		}
		if err := json.Unmarshal(a.body, &page); err != nil || a.status != http.StatusOK {
			t.Fatalf("ledger: %d %s %v", a.status, a.body, err)
		}
		if len(page.Entries) == 0 {
			return n
		}
		for _, e := range page.Entries {
			after = e.Seq
			if e.Kind == "capture" {
				n++
			}
		}
	}
}

// TestZombiesHaveNoEffect freezes (SIGSTOP) one of the two replicas of every service in the middle
// of its work, with charges and bookings under way, for longer than its group session. The other
// replica takes over and finishes all orders. Then the frozen replicas resume (SIGCONT) and
// continue as if their partitions and shards were still assigned to them: this must have no effect.
func TestZombiesHaveNoEffect(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	s := shared(t)
	const stock = plenty
	sku := s.stock(t, "ZOMBIE-1", stock)
	// The calls take long enough to be frozen in the middle, and less than the services' timeout
	// for a request.
	s.fault(t, "gateway", `{"match":{"customerId":"zombie","operation":"charge"},"latencyMs":800}`)
	s.fault(t, "carrier", `{"match":{"customerId":"zombie","operation":"schedule"},"latencyMs":800}`)
	adm := s.admin(t)
	s.scaled(t, 2, eventshop.Services()...)
	awaitMembers(t, adm, 2, eventshop.Services()...)
	before := s.charges(t)

	l := s.startLoad(t, sku, 10, "zombie")
	eventually(t, 30*time.Second, "charges are being made", func() bool { return s.charges(t) > before })
	for _, name := range eventshop.Services() {
		s.must(t, "pause", name+"-2")
		t.Cleanup(func() { s.command("resume", name+"-2") }) //nolint:errcheck // it may be gone
	}
	awaitMembers(t, adm, 1, eventshop.Services()...)
	t.Logf("the zombies are out of their groups at %d orders", l.placed())
	l.await(t, 10)
	orders := l.stop()
	// The work of the frozen processes is finished without them, too.
	s.endOf(t, orders)

	for _, name := range eventshop.Services() {
		s.must(t, "resume", name+"-2")
	}
	awaitMembers(t, adm, 2, eventshop.Services()...)
	l = s.startLoad(t, sku, 10, "zombie")
	l.await(t, 20)
	orders = append(orders, l.stop()...)
	ended := s.endOf(t, orders)
	if ended["DELIVERED"] != len(orders) {
		t.Errorf("of %d orders ended %v, want all delivered", len(orders), ended)
	}
	if got := s.charges(t) - before; got != len(orders) {
		t.Errorf("the gateway made %d charges for %d orders", got, len(orders))
	}
	s.wantStock(t, sku, stock, len(orders))
	s.verify(t)
}

// TestAZombieInsideItsTransaction freezes a replica with an open transaction that has locks: on the
// receipts of its batch and on the stock of a SKU that all orders need. The other replica waits for
// these locks until the database ends the idle transaction.
func TestAZombieInsideItsTransaction(t *testing.T) {
	if !long() {
		t.Skipf("it waits for the database's timeout of idle transactions; runs with %s=1", longVariable)
	}
	s := shared(t)
	const stock = 100
	sku := s.stock(t, "HELD-1", stock)
	adm := s.admin(t)
	s.scaled(t, 2, "inventory")
	awaitMembers(t, adm, 2, "inventory")
	sessions := func(condition string) (n int) {
		s.query(t, "inventory", `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'inventory' AND `+condition, &n)
		return n
	}

	// Every reservation waits for this row, in the middle of a transaction.
	conn, err := pgx.Connect(t.Context(), s.DSN["inventory"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM stock WHERE sku = $1 FOR UPDATE`, sku); err != nil {
		t.Fatal(err)
	}
	var orders []string
	for range 20 {
		orders = append(orders, s.place(t, "held", sku, 1))
	}
	eventually(t, 20*time.Second, "both replicas wait for the stock", func() bool { return sessions(`wait_event_type = 'Lock'`) == 2 })
	s.must(t, "pause", "inventory-2")
	frozen := time.Now()
	t.Cleanup(func() { s.command("resume", "inventory-2") }) //nolint:errcheck // it may be gone
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the zombie's transaction is open and idle", func() bool {
		return sessions(`state = 'idle in transaction' AND state_change < clock_timestamp() - interval '1 second'`) > 0
	})
	eventually(t, 3*time.Minute, "the zombie's transaction is over", func() bool {
		return sessions(`state = 'idle in transaction' AND state_change < clock_timestamp() - interval '1 second'`) == 0
	})
	t.Logf("the zombie's locks were held for %s", time.Since(frozen).Round(time.Second))
	s.endOf(t, orders)
	t.Logf("all orders have ended without it after %s", time.Since(frozen).Round(time.Second))
	s.must(t, "resume", "inventory-2")
	awaitMembers(t, adm, 2, "inventory")
	s.wantStock(t, sku, stock, len(orders))
	s.verify(t)
}

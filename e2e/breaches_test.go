package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestVerifySeesPlantedBreaches breaks one invariant at a time in the running system's databases.
// It expects `shop verify` to report the invariant, to name the order, and to exit non-zero. Then
// it undoes the damage. Breaches that cannot be undone in place (topics and ledgers are
// append-only) are planted on loaded facts in ops/verify.
func TestVerifySeesPlantedBreaches(t *testing.T) {
	s := shared(t)
	s.receive(t, "BREACH-1", 10)
	a := post(t, s.URL["order"]+"/orders", orderBody("breach", "BREACH-1", 1), "Idempotency-Key", "breach-1")
	if a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	id := a.field(t, "orderId")
	s.awaitStatus(t, id, "DELIVERED")
	s.verify(t)

	for _, c := range []struct {
		invariant, service string
		plant, undo        string
		names              string
	}{
		{"I2", "inventory",
			`UPDATE stock SET available = available + 1, initial = initial + 1, shipped = shipped - 1, restocked = restocked - 1 WHERE sku = 'BREACH-1'`,
			`UPDATE stock SET available = available - 1, initial = initial - 1, shipped = shipped + 1, restocked = restocked + 1 WHERE sku = 'BREACH-1'`,
			"BREACH-1"},
		{"I4", "order",
			`UPDATE outbox SET topic = 'payment.events' WHERE aggregate_id = '` + id + `' AND event_type = 'OrderShipped'`,
			`UPDATE outbox SET topic = 'order.events' WHERE aggregate_id = '` + id + `' AND event_type = 'OrderShipped'`,
			id},
		{"I8", "order",
			`UPDATE idempotency_keys SET body = convert_to(replace(convert_from(body, 'UTF8'), '` + id + `', '01890a5d-ac96-774b-bcce-b302099a8057'), 'UTF8') WHERE key = 'breach-1'`,
			`UPDATE idempotency_keys SET body = convert_to(replace(convert_from(body, 'UTF8'), '01890a5d-ac96-774b-bcce-b302099a8057', '` + id + `'), 'UTF8') WHERE key = 'breach-1'`,
			"01890a5d-ac96-774b-bcce-b302099a8057"},
		{"I10", "projection",
			`UPDATE orders SET total_amount = total_amount + 1 WHERE order_id = '` + id + `'`,
			`UPDATE orders SET total_amount = total_amount - 1 WHERE order_id = '` + id + `'`,
			id},
	} {
		t.Run(c.invariant, func(t *testing.T) {
			s.exec(t, c.service, c.plant)
			t.Cleanup(func() { s.exec(t, c.service, c.undo) })
			out, err := s.command("verify", "--settle", "2s")
			if err == nil {
				t.Fatalf("verify passed over the breach:\n%s", out)
			}
			if !strings.Contains(out, c.names) || !strings.Contains(out, c.invariant) {
				t.Errorf("verify does not name %s and %s:\n%s", c.invariant, c.names, out)
			}
		})
	}
	s.verify(t)
}

// exec changes a service's database without the service.
func (s *stack) exec(t testing.TB, service, sql string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // clean-up runs after the test's context
	c, err := pgx.Connect(ctx, s.DSN[service])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

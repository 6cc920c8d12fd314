package projection

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	kit "eventshop.example/pkg/projection"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/readmodeltest"
)

// TestRoundTripsOfASet: a set takes two, whatever its size, and one per version with a schema of its own
// that the reader feeds.
func TestRoundTripsOfASet(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, Components()...)
	counted, trips := pgtest.RoundTrips(t, pool)
	models, err := app.Assemble(counted, kit.Config[app.Fact]{Pool: counted, Versions: versions()})
	if err != nil {
		t.Fatal(err)
	}
	react := func(orders int) int {
		t.Helper()
		var steps []reaction.Step[app.Fact]
		for range orders {
			id := uuid.Must(uuid.NewV7()).String()
			for _, g := range []readmodeltest.Given{
				readmodeltest.Event(app.OnOrderCreated, 1, readmodeltest.Created(id, "c", events.OrderItem{SKU: "A", Quantity: 1, UnitPrice: 5})),
				readmodeltest.Event(app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: id, Amount: 5, Currency: "GBP", OccurredAt: readmodeltest.Noon()}),
			} {
				steps = append(steps, models.ReadModels.Step(g.Order, g.Fact, outbox.Cause{}))
			}
		}
		before := trips()
		err := postgres.InPipeline(t.Context(), counted, func(tx pgx.Tx) error {
			_, err := models.ReadModels.Run(t.Context(), tx, steps...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return trips() - before
	}
	for _, state := range []struct {
		name, sql string
		want      int
	}{
		{"no version is attached", `SELECT 1`, 2},
		{"three are", `INSERT INTO projection_versions (projection, version, state, attached) VALUES
			('customer_orders', 1, 'live', true), ('customer_activity', 1, 'live', true), ('revenue', 2, 'following', true)`, 5},
	} {
		if _, err := pool.Exec(t.Context(), state.sql); err != nil {
			t.Fatal(err)
		}
		react(1) // the first use of a statement prepares it
		for _, orders := range []int{1, 250} {
			if n := react(orders); n != state.want {
				t.Errorf("%s: %d orders take %d round trips, want %d", state.name, orders, n, state.want)
			}
		}
	}
}

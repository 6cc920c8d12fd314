// Package readmodeltest tests one version of a projection: given events, then these rows. It is for tests
// only.
package readmodeltest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/projection/internal/app"
)

// Given is an event with its fact.
type Given struct {
	Order string
	Fact  app.Fact
}

// Event returns an event of a version of its aggregate.
func Event[T event.Event](handle func(consumer.Event[T]) app.Fact, version int64, data T) Given {
	typ := events.TypeOf[T]()
	e := consumer.Event[T]{Data: data, Topic: typ.Topic}
	e.ID, e.Type, e.AggregateVersion = uuid.Must(uuid.NewV7()), typ.Name, version
	return Given{data.AggregateKey(), handle(e)}
}

// Site is a database of a test with one version that the reader feeds and queries read.
type Site struct {
	App  *app.App
	Pool *pgxpool.Pool // with the service's role of production

	version projection.Version[app.Fact]
}

// New returns a site. comps are the components of the service.
func New(t *testing.T, v projection.Version[app.Fact], comps []postgres.Component) *Site {
	t.Helper()
	db := pgtest.NewSeparate(t, comps...)
	db.Migrate(t)
	s := &Site{Pool: db.App(t), version: v}
	var err error
	if s.App, err = app.Assemble(s.Pool, projection.Config[app.Fact]{Pool: s.Pool, Versions: []projection.Version[app.Fact]{v}}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Pool.Exec(t.Context(), `INSERT INTO projection_versions (projection, version, state, attached) VALUES ($1, $2, 'live', true)`, v.Projection, v.Number)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Apply applies events as one set.
func (s *Site) Apply(ctx context.Context, tx pgx.Tx, given ...Given) error {
	steps := make([]reaction.Step[app.Fact], len(given))
	for i, g := range given {
		steps[i] = s.App.ReadModels.Step(g.Order, g.Fact, outbox.Cause{})
	}
	_, err := s.App.ReadModels.Run(ctx, tx, steps...)
	return err
}

// Then checks the rows of query, which returns one text column, after the events: in their order and any
// other one, one by one and in sets, and each of them twice.
func (s *Site) Then(t *testing.T, given []Given, query string, want []string) {
	t.Helper()
	rapid.Check(t, func(r *rapid.T) {
		all := rapid.Permutation(append(slices.Clone(given), given...)).Draw(r, "arrival")
		var got []string
		rolledBack := postgres.InTx(t.Context(), s.Pool, func(tx pgx.Tx) error {
			for len(all) > 0 {
				n := rapid.IntRange(1, len(all)).Draw(r, "set")
				if err := s.Apply(t.Context(), tx, all[:n]...); err != nil {
					r.Fatal(err)
				}
				all = all[n:]
			}
			path := pgx.Identifier{projection.Schema(s.version.Projection, s.version.Number)}.Sanitize()
			if _, err := tx.Exec(t.Context(), `SET LOCAL search_path TO `+path); err != nil {
				r.Fatal(err)
			}
			rows, err := tx.Query(t.Context(), query)
			if err != nil {
				r.Fatal(err)
			}
			if got, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
				r.Fatal(err)
			}
			return context.Canceled
		})
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatalf("rows (-want +got), %v:\n%s", rolledBack, diff)
		}
	})
}

// Noon is a time for events.
func Noon() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

// Created returns an order of a customer in Great Britain.
func Created(order, customer string, items ...events.OrderItem) events.OrderCreated {
	e := events.OrderCreated{
		OrderID: order, Customer: events.Customer{ID: customer}, ShippingAddress: events.Address{Country: "GB"}, Items: items,
		Currency: "GBP", ConfirmBy: Noon(), OccurredAt: Noon(),
	}
	for _, it := range items {
		e.TotalAmount += int64(it.Quantity) * it.UnitPrice
	}
	return e
}

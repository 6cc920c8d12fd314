// Package app maintains the read models. There is one file for the events of each service, one for each
// projection of the first release with its tables, and one for the queries. A [Fact] is what an event
// means to the read models, and one function per event type returns it. Package reaction loads, decides
// and saves; package projection hands the facts to every version of every projection.
//
// Nothing is read before it is written. All facts of a batch are folded in memory, and each table is
// written by one statement. An event that a version contains changes nothing in it, at whatever offset it
// comes again. No read model depends on the order of arrival between topics, or on a dead letter that is
// resubmitted late. So a rebuild from offset 0 produces the same rows.
package app

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/reaction"
)

// App holds the projections and the queries on them.
type App struct {
	// ReadModels applies facts to the read models.
	ReadModels *reaction.Model[Order, Fact]
	// Projections is all versions of all projections.
	Projections *projection.Set[Fact]

	// Reached is called after a commit for each of the order's own events that it contains; nil: not
	// called. It is set before the consumer starts.
	Reached func(orderID string, version int64)

	pool *pgxpool.Pool
}

// New returns an App on a database with the projections of the first release, which need no other
// tables than their own.
func New(pool *pgxpool.Pool) *App {
	a, err := Assemble(pool, projection.Config[Fact]{})
	if err != nil {
		panic(fmt.Sprintf("the projections of the first release: %v", err)) // a constant set
	}
	return a
}

// Assemble returns an App whose queries run on pool. To the versions of cfg it adds those of the first
// release, with the timeline as the facts that they have in common. Everything else in cfg is the caller's.
func Assemble(pool *pgxpool.Pool, cfg projection.Config[Fact]) (*App, error) {
	cfg.Versions = append([]projection.Version[Fact]{ordersVersion(), detailsVersion(), revenueVersion()}, cfg.Versions...)
	cfg.Base = addToTimeline
	set, err := projection.New(cfg)
	if err != nil {
		return nil, err
	}
	a := &App{pool: pool, Projections: set}
	a.ReadModels = &reaction.Model[Order, Fact]{Load: a.load, Decide: a.decide}
	return a, nil
}

// decide adds a fact, and has the version announced when it is committed.
func (a *App) decide(o Order, s reaction.Step[Fact]) (reaction.Decision[Order], error) {
	d, err := decide(o, s)
	if s.Input.Status != "" && a.Reached != nil {
		d.Committed = func(context.Context) { a.Reached(s.Key, s.Input.Version) }
	}
	return d, err
}

// Live runs queries on the live version of a projection; see [projection.Control.Read].
func (a *App) Live(ctx context.Context, name string, query func(tx pgx.Tx, version int) error) error {
	return a.Projections.Read(ctx, a.pool, name, query)
}

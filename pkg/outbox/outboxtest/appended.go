package outboxtest

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// Row is what a row of the outbox says of its event besides the payload.
type Row struct {
	Event string // its type and the version of its aggregate: Happened@3
	Style string // of its saga
	Cause string // the id of the event or command that led to it
}

// Rows returns the rows of an aggregate in the order in which they are published.
func Rows(t testing.TB, q postgres.Querier, aggregateID string) []Row {
	t.Helper()
	rows, err := q.Query(t.Context(), `SELECT event_type || '@' || ce_aggregateversion, ce_sagastyle, ce_causationid
		FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, aggregateID)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Row])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

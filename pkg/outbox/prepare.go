package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Prepared is an event that is encoded but not written yet. It has its id already.
type Prepared struct{ row row }

// Prepare encodes events for [Write]. It returns the errors of [Outbox.Append] except those of the
// database.
func (o *Outbox) Prepare(ctx context.Context, entries ...Entry) ([]Prepared, error) {
	rows := make([]Prepared, len(entries))
	for i, e := range entries {
		r, err := o.row(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("append %s to outbox: %w", e.Event.EventType(), err)
		}
		rows[i] = Prepared{r}
	}
	return rows, nil
}

// Write writes prepared events to the outbox within tx, in the given order, with one statement, which
// runs [postgres.Later]. Call [Outbox.Wake] after the commit. Errors: [errs.Transient] when the
// database fails.
func Write(ctx context.Context, tx pgx.Tx, events ...Prepared) error {
	rows := make([]row, len(events))
	for i, e := range events {
		rows[i] = e.row
	}
	return insert(ctx, tx, rows)
}

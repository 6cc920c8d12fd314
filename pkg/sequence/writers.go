package sequence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"eventshop.example/pkg/postgres"
)

// writing lists the transactions that may have inserted into a table. An INSERT takes the lock before
// it draws a number, and keeps it to the end of its transaction. The transactions of other databases
// cannot insert here. The ids are never used again while the server runs, and when it stops the
// transactions end, except prepared ones, which keep their ids.
const writing = `SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') FROM pg_locks
	WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND relation = $1::text::regclass AND mode = 'RowExclusiveLock' AND granted`

// preparedPrefix begins the ids of prepared transactions, which belong to no session.
const preparedPrefix = "-1/"

// Writers are the transactions that were writing to a table at one moment and have not ended. A row
// that is not visible when they have ended either does not exist, or has a number that was drawn after
// that moment.
type Writers struct {
	table    string
	open     []string
	prepared []string // all prepared ones, as of the last look
}

// Note returns the writers to a table at this moment.
func Note(ctx context.Context, q postgres.Querier, table string) (Writers, error) {
	now, err := look(ctx, q, table)
	if err != nil {
		return Writers{}, err
	}
	return Writers{table: table, open: now, prepared: slices.DeleteFunc(slices.Clone(now), ofSession)}, nil
}

// Ended looks again and reports whether all writers have ended. A statement that begins afterwards
// sees what they committed.
//
// PREPARE TRANSACTION gives a transaction another id. So when a writer is gone, the prepared
// transactions that are new since the last look count as writers too: one of them may be the same.
// Those that appear while no writer goes are none of these, and are not waited for.
func (w *Writers) Ended(ctx context.Context, q postgres.Querier) (bool, error) {
	if len(w.open) == 0 {
		return true, nil
	}
	now, err := look(ctx, q, w.table)
	if err != nil {
		return false, err
	}
	w.step(now)
	return len(w.open) == 0, nil
}

func (w *Writers) step(now []string) {
	gone := false // a writer of a session
	w.open = slices.DeleteFunc(w.open, func(id string) bool {
		ended := !slices.Contains(now, id)
		gone = gone || ended && ofSession(id)
		return ended
	})
	prepared := slices.DeleteFunc(slices.Clone(now), ofSession)
	if gone {
		for _, id := range prepared {
			if !slices.Contains(w.prepared, id) {
				w.open = append(w.open, id)
			}
		}
	}
	w.prepared = prepared
}

func ofSession(id string) bool { return !strings.HasPrefix(id, preparedPrefix) }

func look(ctx context.Context, q postgres.Querier, table string) (ids []string, err error) {
	if err := q.QueryRow(ctx, writing, table).Scan(&ids); err != nil {
		return nil, fmt.Errorf("look for writers to %s: %w", table, err)
	}
	return ids, nil
}

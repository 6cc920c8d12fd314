// Package sequence finds the number up to which the rows of a table are complete, when an INSERT draws
// each row's number from a sequence. Transactions draw numbers in one order and commit in another, so
// the highest number that is visible proves nothing about those below it. A reader that remembers it
// skips what commits later, for ever.
//
// It guarantees that no row up to [Start.Last] can appear once [Writers.Ended] has returned true. It
// knows only rows whose INSERT draws the number itself: an INSERT takes the table's lock before, and
// keeps it to the end of its transaction. It works for tables of one database, and only for sequences
// without a cache ([ErrCache]).
//
// A crash of the server ends a moment: numbers that no committed row had may be drawn again. A caller
// that notes a moment and reads on one connection notices, because the connection breaks. A caller
// that uses several has to notice by other means. Functions fail when the database does.
package sequence

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// ErrCache reports a sequence with a cache. Its last value says nothing: the cached numbers of a
// session are below it and not drawn yet.
var ErrCache = errors.New("the sequence has a cache, so that no number of it bounds the others; set it to CACHE 1")

// Start is a moment: all rows up to Last are visible, or will never exist, when the writers have ended.
type Start struct {
	Last    int64 // the last number that had been drawn; 0: none
	Writers Writers
}

// Begin returns this moment for a table and the sequence of its numbers. It reads the sequence before
// the writers: a number that is drawn later is above Last, and a transaction that had drawn one has
// its lock.
func Begin(ctx context.Context, q postgres.Querier, table, sequence string) (s Start, err error) {
	usable := false
	name := pgx.Identifier{sequence}.Sanitize()
	err = q.QueryRow(ctx, `SELECT seqcache = 1, CASE WHEN is_called THEN last_value ELSE last_value - 1 END
		FROM `+name+`, pg_sequence WHERE seqrelid = $1::text::regclass`, name).Scan(&usable, &s.Last)
	switch {
	case err != nil:
		return Start{}, fmt.Errorf("read the sequence %s: %w", sequence, err)
	case !usable:
		return Start{}, fmt.Errorf("%s: %w", sequence, ErrCache)
	}
	s.Writers, err = Note(ctx, q, table)
	return s, err
}

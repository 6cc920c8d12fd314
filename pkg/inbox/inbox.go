// Package inbox remembers which messages a consumer group has taken in, in
// the same transaction as the effect they had (the idempotent receiver of
// Hohpe & Woolf, "Enterprise Integration Patterns").
//
// It guarantees one effect per (consumer group, message id), if the handler
// does all its writes in the transaction in which [Receive] called the message
// fresh: the receipt and the effect commit or roll back together. Two
// consumers that hold the same message at the same time are serialised by the
// primary key: the second waits for the first to end.
//
// It says nothing about effects outside the database, and nothing about
// messages older than what [Upkeep] keeps: redelivered after that, they count
// as fresh, and the handler's own tables have to know what they had. Errors are classified by package postgres; when the database is
// away they are Transient.
package inbox

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// table is partitioned by the day in the message id.
const table = "inbox"

// daysAhead is how many days' partitions exist in advance. A week gives
// somebody time to notice that upkeep fails.
const daysAhead = 7

// Component returns the migrations of the table inbox.
func Component() postgres.Component {
	return postgres.Component{
		Name: "inbox", FS: migrations,
		// An event of an old day may have been received late, so the day alone does not decide.
		Partitioned: []postgres.Partitioned{{Table: table, KeepIf: "received_at >= $1"}},
		Grants: []postgres.Grant{
			{Table: table, App: "SELECT, INSERT"},
			{Table: "inbox_default", App: "SELECT, DELETE"}, // its rows go one by one
		},
	}
}

// Message identifies a received message.
type Message struct {
	ID   uuid.UUID // the CloudEvents id; a UUIDv7, so that it carries its day
	Type string    // for people who read the table
}

// Receive records the messages for the group and returns which of them are
// fresh, that is, were not received before. The others, and repetitions within
// msgs, had their effect already and are to be left out. It waits for
// transactions that are receiving the same messages; because it takes them in
// the order of their ids, batches that overlap do not deadlock.
func Receive(ctx context.Context, tx pgx.Tx, group string, msgs []Message) (fresh map[uuid.UUID]bool, err error) {
	fresh = make(map[uuid.UUID]bool, len(msgs))
	if len(msgs) == 0 {
		return fresh, nil
	}
	sorted := slices.Clone(msgs)
	slices.SortFunc(sorted, func(a, b Message) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	ids := make([]uuid.UUID, len(sorted))
	types := make([]string, len(sorted))
	for i, m := range sorted {
		ids[i], types[i] = m.ID, m.Type
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO inbox (consumer_group, message_id, event_type)
		SELECT $1, m.id, m.type
		FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY AS m (id, type, n)
		ORDER BY m.n
		ON CONFLICT DO NOTHING
		RETURNING message_id`, group, ids, types)
	if err == nil {
		err = collect(rows, fresh)
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("record receipt: %w", err))
	}
	return fresh, nil
}

// Seen returns which of the ids the group has received. It is a cheap look
// before a call to the outside world, not a substitute for [Receive]: another
// process may be receiving the message at this moment.
func Seen(ctx context.Context, q postgres.Querier, group string, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	seen := make(map[uuid.UUID]bool, len(ids))
	if len(ids) == 0 {
		return seen, nil
	}
	rows, err := q.Query(ctx, `SELECT message_id FROM inbox WHERE consumer_group = $1 AND message_id = ANY ($2)`, group, ids)
	if err == nil {
		err = collect(rows, seen)
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("look for earlier receipts: %w", err))
	}
	return seen, nil
}

func collect(rows pgx.Rows, into map[uuid.UUID]bool) error {
	var id uuid.UUID
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		into[id] = true
		return nil
	})
	return err
}

// Upkeep creates the partitions of today and the coming days and drops what was
// received more than keep ago. now is the clock: time.Now. keep (0:
// postgres.KeepInbox) must exceed the longest
// possible redelivery: the retention of the topics as far as a group's offset may be
// set back, the time a dead letter may wait to be resubmitted, and the age of what a
// producer's outbox may publish again. Several processes may do it at once.
//
// A message keeps its day by its id. One whose day had no partition (older
// than the table, or an id that is no UUIDv7) is in the default partition and
// is deleted there by the time of its receipt.
func Upkeep(pool *pgxpool.Pool, now func() time.Time, keep time.Duration) postgres.Upkeep {
	keep = cmp.Or(keep, postgres.KeepInbox)
	return postgres.Upkeep{
		Table: table,
		Prepare: func(ctx context.Context) error {
			today := now()
			if err := postgres.EnsurePartitions(ctx, pool, table, today, today.AddDate(0, 0, daysAhead)); err != nil {
				return fmt.Errorf("inbox upkeep: %w", err)
			}
			return nil
		},
		Prune: func(ctx context.Context) ([]string, error) { return prune(ctx, pool, now().Add(-keep)) },
	}
}

func prune(ctx context.Context, pool *pgxpool.Pool, oldest time.Time) (dropped []string, err error) {
	// An event of an old day may have been received late, so the day alone
	// does not decide.
	lately := func(ctx context.Context, tx pgx.Tx, partition string) (reason string, err error) {
		var found bool
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+pgx.Identifier{partition}.Sanitize()+` WHERE received_at >= $1)`, oldest).Scan(&found)
		if err != nil || !found {
			return "", err
		}
		return "it holds messages received since " + oldest.UTC().Format(time.RFC3339), nil
	}
	dropped, err = postgres.DropPartitions(ctx, pool, table, oldest, lately)
	if err != nil {
		return dropped, fmt.Errorf("inbox upkeep: %w", err)
	}
	if _, err := pool.Exec(ctx, `DELETE FROM inbox_default WHERE received_at < $1`, oldest); err != nil {
		return dropped, postgres.Classify(fmt.Errorf("inbox upkeep: prune the default partition: %w", err))
	}
	return dropped, nil
}

// Package inbox records which messages a consumer group has received, in the same transaction as
// their effect (the idempotent receiver of Hohpe & Woolf, "Enterprise Integration Patterns").
//
// It guarantees one effect per (consumer group, message id), if the handler does all its writes in
// the transaction in which [Receive] returned the message as fresh. The receipt and the effect
// commit or roll back together. The primary key serialises two consumers that receive the same
// message at the same time: the second waits until the first ends.
//
// It guarantees nothing about effects outside the database, nor about messages older than what
// [Upkeep] keeps. Such messages count as fresh when they are delivered again, and the handler's own
// tables have to recognise them. Errors are classified by package postgres; while the database is
// down they are Transient.
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

// daysAhead is how many days' partitions exist in advance. A week leaves operators time to notice
// that upkeep fails.
const daysAhead = 7

// Component returns the migrations of the table inbox.
func Component() postgres.Component {
	return postgres.Component{
		Name: "inbox", FS: migrations,
		// An event of an old day may have been received late, so the day by itself does not decide.
		Partitioned: []postgres.Partitioned{{Table: table, KeepIf: "received_at >= $1"}},
		Grants: []postgres.Grant{
			{Table: table, App: "SELECT, INSERT"},
			{Table: "inbox_default", App: "SELECT, DELETE"}, // its rows are deleted one by one
		},
	}
}

// Message identifies a received message.
type Message struct {
	ID   uuid.UUID // the CloudEvents id; a UUIDv7, so that it carries its day
	Type string    // for operators who read the table
}

// Receive records the messages for the group and returns the fresh ones, which were not received
// before. The caller leaves out the others and repetitions within msgs, because they had their
// effect already. Receive waits for transactions that are receiving the same messages. It inserts
// messages in the order of their ids, so that overlapping batches do not deadlock.
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

// Seen returns which of the ids the group has received. It is a cheap look before a call to the
// outside world and does not replace [Receive]: another process may be receiving the message at
// this moment.
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

// Any reports whether the inbox knows any message that the group has received.
func Any(ctx context.Context, q postgres.Querier, group string) (some bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM inbox WHERE consumer_group = $1)`, group).Scan(&some)
	if err != nil {
		return false, postgres.Classify(fmt.Errorf("look for any receipt: %w", err))
	}
	return some, nil
}

func collect(rows pgx.Rows, into map[uuid.UUID]bool) error {
	var id uuid.UUID
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		into[id] = true
		return nil
	})
	return err
}

// Upkeep creates the partitions of today and the next 7 days, and drops what was received more than
// keep ago. now is the clock, for example time.Now. keep (0: postgres.KeepInbox) must exceed the
// longest possible redelivery: the retention of the topics as far as a group's offset may be set
// back, the time a dead letter may wait to be resubmitted, and the age of what a producer's outbox
// may publish again. Several processes may run it at once.
//
// A message is filed under the day in its id. A message whose day had no partition (older than the
// table, or an id that is no UUIDv7) is in the default partition and is deleted there by the time
// of its receipt.
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
	// An event of an old day may have been received late, so the day by itself does not decide.
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

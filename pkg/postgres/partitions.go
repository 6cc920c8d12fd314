package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ddlLockTimeout bounds how long a change of partitions may wait for its locks. Everything after a
// waiting DDL statement queues behind it. A short wait that fails and is repeated at the next
// upkeep is better than a table that stalls behind a long transaction.
const ddlLockTimeout = "2s"

// LowerBound returns the smallest UUID whose first 48 bits hold t in Unix
// milliseconds. Every UUIDv7 (RFC 9562, section 5.7) of t or later is equal or
// greater, every one of an earlier millisecond is smaller. Postgres compares
// UUIDs byte by byte, so a day is a range.
func LowerBound(t time.Time) uuid.UUID {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(t.UnixMilli(), 0))<<16)
	var id uuid.UUID
	copy(id[:6], b[:6])
	return id
}

// PartitionName returns the name of the table's partition for t's UTC day.
func PartitionName(table string, t time.Time) string {
	return table + "_p" + t.UTC().Format("20060102")
}

// PartitionDay is the inverse of PartitionName: it returns the UTC day of one of the table's
// partitions. It returns false for the default partition and for any other name.
func PartitionDay(table, partition string) (time.Time, bool) {
	digits, ok := strings.CutPrefix(partition, table+"_p")
	if !ok || len(digits) != len("20060102") {
		return time.Time{}, false
	}
	day, err := time.Parse("20060102", digits)
	return day, err == nil
}

// EnsurePartitions creates the missing day partitions of a table that is PARTITION BY RANGE of a
// UUIDv7 column and registered by a [Partitioned], from the UTC day of from to the UTC day of to,
// both included. Several processes may call it at once.
//
// It does not delay writers: it creates the partition as a table of its own and then attaches it,
// while reads and writes of the other partitions continue. If the table has a default partition,
// attaching takes an exclusive lock on it and scans it for rows of the new range. That is fast as
// long as the default is nearly empty, so call EnsurePartitions for days ahead. When the default
// contains rows of a day, EnsurePartitions skips that day with a warning in the log. Its rows stay
// in the default, which is correct but cannot be pruned by dropping a partition.
//
// The error is Transient when the locks were not obtained within two seconds.
func EnsurePartitions(ctx context.Context, pool *pgxpool.Pool, table string, from, to time.Time) error {
	for day := from.UTC().Truncate(24 * time.Hour); !day.After(to); day = day.AddDate(0, 0, 1) {
		err := ensurePartition(ctx, pool, table, day)
		if State(err) == "23514" {
			slog.WarnContext(ctx, "partition skipped: the default partition holds rows of its range",
				"table", table, "partition", PartitionName(table, day))
			continue
		}
		if err != nil {
			return fmt.Errorf("create partition %s: %w", PartitionName(table, day), err)
		}
	}
	return nil
}

func ensurePartition(ctx context.Context, pool *pgxpool.Pool, table string, day time.Time) error {
	name := PartitionName(table, day)
	if ok, err := attached(ctx, pool, table, name); err != nil || ok {
		return Classify(err)
	}
	return InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := lockUpkeep(ctx, tx, table); err != nil {
			return err
		}
		if ok, err := attached(ctx, tx, table, name); err != nil || ok {
			return err
		}
		_, err := tx.Exec(ctx, `SELECT create_day_partition($1, $2::date)`, table, day)
		return err
	})
}

// Guard examines a partition before it is dropped and before the table is locked. A non-empty
// reason keeps the partition. The condition that the table's [Partitioned] registers is checked at
// the drop itself.
type Guard func(ctx context.Context, tx pgx.Tx, partition string) (reason string, err error)

// GuardNone is the [Guard] that keeps a partition in which any row meets the
// SQL condition, for example "published_at IS NULL".
func GuardNone(condition string) Guard {
	return func(ctx context.Context, tx pgx.Tx, partition string) (string, error) {
		var found bool
		err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT 1 FROM %s WHERE %s)`,
			pgx.Identifier{partition}.Sanitize(), condition)).Scan(&found)
		if err != nil || !found {
			return "", err
		}
		return "it holds rows where " + condition, nil
	}
}

// DropPartitions drops the day partitions of the table that end at or before the instant before and
// are over by the database's clock. It keeps and logs those that a guard or the table's registered
// condition refuses. It returns the names of the dropped ones. The table is locked only during each
// drop; the error is Transient when the lock was not obtained within two seconds.
func DropPartitions(ctx context.Context, pool *pgxpool.Pool, table string, before time.Time, guards ...Guard) (dropped []string, err error) {
	names, err := partitions(ctx, pool, table)
	if err != nil {
		return nil, Classify(fmt.Errorf("list the partitions of %s: %w", table, err))
	}
	for _, name := range names {
		day, ok := PartitionDay(table, name)
		if !ok || day.AddDate(0, 0, 1).After(before) {
			continue
		}
		// A guard may have to read the whole partition, so it runs before the table is locked. The
		// registered condition runs while the table is locked, and will most likely agree.
		reason, err := ask(ctx, pool, name, guards)
		if err == nil && reason == "" {
			reason, err = dropPartition(ctx, pool, table, day, before)
		}
		if err != nil {
			return dropped, fmt.Errorf("drop partition %s: %w", name, err)
		}
		if reason != "" {
			slog.WarnContext(ctx, "old partition kept", "table", table, "partition", name, "reason", reason)
			continue
		}
		dropped = append(dropped, name)
	}
	return dropped, nil
}

// ask runs the guards without any lock.
func ask(ctx context.Context, pool *pgxpool.Pool, name string, guards []Guard) (reason string, err error) {
	err = InTx(ctx, pool, func(tx pgx.Tx) error {
		for _, guard := range guards {
			if reason, err = guard(ctx, tx, name); err != nil || reason != "" {
				return err
			}
		}
		return nil
	})
	return reason, err
}

func dropPartition(ctx context.Context, pool *pgxpool.Pool, table string, day, before time.Time) (reason string, err error) {
	err = InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := lockUpkeep(ctx, tx, table); err != nil {
			return err
		}
		if ok, err := attached(ctx, tx, table, PartitionName(table, day)); err != nil || !ok {
			return err // another process dropped it meanwhile
		}
		var kept *string
		if err := tx.QueryRow(ctx, `SELECT drop_day_partition($1, $2::date, $3)`, table, day, before).Scan(&kept); err != nil {
			return err
		}
		if kept != nil {
			reason = *kept
		}
		return nil
	})
	return reason, err
}

// lockUpkeep lets one process at a time change the table's partitions.
func lockUpkeep(ctx context.Context, tx pgx.Tx, table string) error {
	if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, ddlLockTimeout); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('partitions of ' || $1, 0))`, table)
	return err
}

func attached(ctx context.Context, q Querier, table, partition string) (ok bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_inherits
		WHERE inhparent = $1::regclass AND inhrelid = to_regclass($2))`,
		pgx.Identifier{table}.Sanitize(), pgx.Identifier{partition}.Sanitize()).Scan(&ok)
	return ok, err
}

func partitions(ctx context.Context, q Querier, table string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::regclass ORDER BY c.relname`, pgx.Identifier{table}.Sanitize())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

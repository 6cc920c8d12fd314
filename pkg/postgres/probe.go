package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
)

// probeLockTimeout bounds how long [Probe] waits for a row that another session changes. Probe
// skips rows that are locked already, so it hardly ever waits.
const probeLockTimeout = "500ms"

// InDoubt reports that the database refused a statement and that the SQLSTATE does not identify the
// cause. 54000 is a value too large for an index, and also a server that has stopped before
// transaction ids wrap around. 23502 is a missing value, and also a column that a newer release has
// added. [Settle] decides. Errors that [Classify] attributes to the environment are not in doubt.
func InDoubt(err error) bool {
	_, refused := errors.AsType[*pgconn.PgError](err)
	return refused && errs.KindOf(Classify(err)) != errs.Transient
}

// Settle decides about an error whose transaction has ended. It returns err unchanged, unless the
// error is in doubt and a harmless write (see [Probe]) fails as well. Then the environment is at
// fault and the result is of kind errs.Transient.
func Settle(ctx context.Context, pool *pgxpool.Pool, err error) error {
	if !InDoubt(err) {
		return err
	}
	probe := InTx(ctx, pool, func(tx pgx.Tx) error { return Probe(ctx, tx) })
	return Blame(err, probe)
}

// Blame returns err unchanged when the probe worked, and as errs.Transient, with both texts, when
// the probe failed.
func Blame(err, probe error) error {
	if probe == nil {
		return err
	}
	return errs.New(errs.Transient, "%w (a harmless write fails as well: %v)", err, probe)
}

// Probe makes a harmless write to every table of the current schema that the role may write to, and
// undoes it. It inserts a copy of one row, which conflicts with the row itself, and sets a column
// of one row to its present value. Triggers, constraints, privileges and storage treat these writes
// like any other. Probe writes nothing to an empty table. It draws a transaction id in any case,
// which a server that protects itself from wraparound refuses.
//
// It runs inside tx, which must be healthy, and leaves it unchanged. The error contains the table's
// name and keeps the server's error in its chain; its kind is that of [Classify].
func Probe(ctx context.Context, tx pgx.Tx) error {
	sub, err := tx.Begin(ctx) // a savepoint
	if err != nil {
		return Classify(fmt.Errorf("probe: set a savepoint: %w", err))
	}
	failure := probe(ctx, sub)
	if err := sub.Rollback(ctx); err != nil && failure == nil {
		failure = fmt.Errorf("probe: roll back: %w", err)
	}
	return Classify(failure)
}

func probe(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true), pg_current_xact_id()`, probeLockTimeout); err != nil {
		return fmt.Errorf("probe: draw a transaction id: %w", err)
	}
	tables, err := writable(ctx, tx)
	if err != nil {
		return fmt.Errorf("probe: list tables: %w", err)
	}
	for _, t := range tables {
		for _, statement := range t.statements() {
			if _, err := tx.Exec(ctx, statement, pgx.QueryExecModeExec); err != nil {
				return fmt.Errorf("probe: write to %s: %w", t.name, err)
			}
		}
	}
	return nil
}

// probed is a table that the role may write to.
type probed struct {
	name    string   // quoted
	columns []string // that may be read and inserted, quoted; empty: no INSERT
	update  string   // a column that may be updated, quoted; "": no UPDATE
}

func (t probed) statements() []string {
	var all []string
	if len(t.columns) > 0 {
		columns := strings.Join(t.columns, ", ")
		all = append(all, fmt.Sprintf(
			`INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s LIMIT 1 ON CONFLICT DO NOTHING`,
			t.name, columns, columns, t.name))
	}
	if t.update != "" {
		all = append(all, fmt.Sprintf(
			`UPDATE %[1]s SET %[2]s = %[2]s
				WHERE ctid = (SELECT ctid FROM %[1]s LIMIT 1 FOR UPDATE SKIP LOCKED)
				  AND tableoid = (SELECT tableoid FROM %[1]s LIMIT 1 FOR UPDATE SKIP LOCKED)`,
			t.name, t.update))
	}
	return all
}

// writable lists the database's tables without the partitions, and the role's privileges on
// their columns. Generated columns cannot be written.
func writable(ctx context.Context, tx pgx.Tx) ([]probed, error) {
	rows, err := tx.Query(ctx, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname),
			coalesce(array_agg(quote_ident(a.attname) ORDER BY a.attnum)
				FILTER (WHERE has_column_privilege(c.oid, a.attnum, 'INSERT') AND has_column_privilege(c.oid, a.attnum, 'SELECT')), '{}'),
			coalesce(min(quote_ident(a.attname))
				FILTER (WHERE has_column_privilege(c.oid, a.attnum, 'UPDATE') AND has_table_privilege(c.oid, 'SELECT') AND a.attidentity <> 'a'
					AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgenabled <> 'D'
						AND g.tgtype & 1 = 0 AND g.tgtype & 2 <> 0 AND g.tgtype & 16 <> 0)), '') -- for each statement, before, update
		FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
		GROUP BY 1
		HAVING bool_or(has_column_privilege(c.oid, a.attnum, 'INSERT') OR has_column_privilege(c.oid, a.attnum, 'UPDATE'))
		ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t probed, err error) {
		err = row.Scan(&t.name, &t.columns, &t.update)
		return t, err
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"eventshop.example/bench/database"
	"eventshop.example/ops/eventshop"
)

// script is the side that writes the rows of the shop once more, without the shop.
const script = "script"

// setSize is how many sagas' rows one transaction of the script writes.
const setSize = 100

// writeAgain writes the rows that the services' databases have into empty copies of their tables,
// with all indexes and constraints, in transactions of the rows of 100 sagas and one INSERT per
// table. It returns the bytes of write-ahead log. Rows that were changed or deleted since count as
// written once or not at all, so it is a lower limit. The databases must have no connections.
func writeAgain(ctx context.Context, s *database.Server, sagas int) (wal int64, err error) {
	for _, service := range eventshop.Services() {
		bytes, err := writeDatabase(ctx, s, service, sagas)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", service, err)
		}
		wal += bytes
	}
	return wal, nil
}

// copied is one table of a database and the rows to write into it.
type copied struct {
	table   string // quoted
	columns string // those that are not generated
	rows    int64
}

// source is the name of the table that has the rows.
func source(i int) string { return fmt.Sprintf("bench_rows_%d", i) }

func writeDatabase(ctx context.Context, s *database.Server, service string, sagas int) (wal int64, err error) {
	name := "script_" + service
	if err := s.Copy(ctx, name, service); err != nil {
		return 0, err
	}
	conn, err := pgx.Connect(ctx, s.URL(name))
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	// Rows of any order: no trigger and no foreign key.
	if _, err := conn.Exec(ctx, `SET session_replication_role = replica`); err != nil {
		return 0, err
	}
	tables, err := takeRows(ctx, conn)
	if err != nil {
		return 0, err
	}
	before, err := s.Counters(ctx)
	if err != nil {
		return 0, err
	}
	sets := int64(sagas/setSize + 1)
	for set := range sets {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			for i, t := range tables {
				_, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %[2]s FROM %s WHERE bench_n > $1 AND bench_n <= $2 ORDER BY bench_n`,
					t.table, t.columns, source(i)), set*t.rows/sets, (set+1)*t.rows/sets)
				if err != nil {
					return fmt.Errorf("write %s: %w", t.table, err)
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	after, err := s.Counters(ctx)
	return after.Since(before).WAL, err
}

// takeRows moves the rows of all tables to tables without constraints.
func takeRows(ctx context.Context, conn *pgx.Conn) (tables []copied, err error) {
	rows, err := conn.Query(ctx, `
		SELECT c.oid::regclass::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
			AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND c.relname NOT LIKE 'goose%' AND c.relname NOT LIKE '%migrations%'
		GROUP BY c.oid ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t copied, err error) { return t, row.Scan(&t.table, &t.columns) })
	if err != nil {
		return nil, err
	}
	if len(tables) == 0 {
		return nil, errors.New("the database has no tables")
	}
	var quoted []string
	for i := range tables {
		t := &tables[i]
		_, err := conn.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s AS SELECT row_number() OVER () AS bench_n, %s FROM %s`, source(i), t.columns, t.table))
		if err == nil {
			_, err = conn.Exec(ctx, fmt.Sprintf(`CREATE INDEX ON %s (bench_n)`, source(i)))
		}
		if err == nil {
			// Later reads set no hint bits, which would be logged.
			_, err = conn.Exec(ctx, fmt.Sprintf(`VACUUM (FREEZE, ANALYZE) %s`, source(i)))
		}
		if err == nil {
			err = conn.QueryRow(ctx, fmt.Sprintf(`SELECT count(*) FROM %s`, source(i))).Scan(&t.rows)
		}
		if err != nil {
			return nil, fmt.Errorf("take the rows of %s: %w", t.table, err)
		}
		quoted = append(quoted, t.table)
	}
	_, err = conn.Exec(ctx, `TRUNCATE `+strings.Join(quoted, ", "))
	return tables, err
}

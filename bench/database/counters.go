package database

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Counters are counts since the server's start, or between two moments.
type Counters struct {
	// Statements are the calls that pg_stat_statements counted, by database, without BEGIN, COMMIT and
	// ROLLBACK: PostgreSQL 15 counts those only the first time when they are sent as prepared
	// statements, as postgres.InPipeline does. It is empty without the extension.
	Statements map[string]int64
	// Commits are the transactions that pg_stat_database counted, those that only read included. A
	// session reports its count up to a second late.
	Commits int64
	// Writes are the transaction ids that were drawn: the transactions that wrote something, and
	// savepoints within which something was written. The count is exact.
	Writes int64
	// WAL is bytes of write-ahead log.
	WAL int64
}

// Counters reads the counts of all databases but the maintenance database.
func (s *Server) Counters(ctx context.Context) (Counters, error) {
	c := Counters{Statements: map[string]int64{}}
	err := s.admin.QueryRow(ctx, `
		SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
			pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
			(SELECT coalesce(sum(xact_commit), 0)::bigint FROM pg_stat_database WHERE datname <> 'postgres')`).
		Scan(&c.WAL, &c.Writes, &c.Commits)
	if err != nil || !s.counts {
		return c, err
	}
	rows, err := s.admin.Query(ctx, `
		SELECT d.datname, sum(s.calls)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname <> 'postgres' AND s.query !~* '^\s*(BEGIN|COMMIT|ROLLBACK)\M' GROUP BY d.datname`)
	if err != nil {
		return c, err
	}
	var name string
	var calls int64
	_, err = pgx.ForEachRow(rows, []any{&name, &calls}, func() error { c.Statements[name] = calls; return nil })
	return c, err
}

// Since returns the difference of two readings.
func (c Counters) Since(before Counters) Counters {
	d := Counters{
		Statements: map[string]int64{}, Commits: c.Commits - before.Commits,
		Writes: c.Writes - before.Writes, WAL: c.WAL - before.WAL,
	}
	for name, n := range c.Statements {
		d.Statements[name] = n - before.Statements[name]
	}
	return d
}

// AllStatements returns the sum over all databases.
func (c Counters) AllStatements() (sum int64) {
	for _, n := range c.Statements {
		sum += n
	}
	return sum
}

// Statement is a statement of one database since [Server.Reset].
type Statement struct {
	Text    string
	Calls   int64
	Buffers float64 // per call: pages of 8 kB that it looked at, cached or not
}

// Reset begins the counts of statements anew.
func (s *Server) Reset(ctx context.Context) error {
	if !s.counts {
		return fmt.Errorf("the server has no %s", extension)
	}
	_, err := s.admin.Exec(ctx, `SELECT pg_stat_statements_reset()`)
	return err
}

// Statements returns the statements of a database since Reset that were called at least so many
// times, most buffers per call first.
func (s *Server) Statements(ctx context.Context, database string, least int) ([]Statement, error) {
	rows, err := s.admin.Query(ctx, `
		SELECT s.query, s.calls, (s.shared_blks_hit + s.shared_blks_read)::float8 / s.calls
		FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname = $1 AND s.calls >= $2 ORDER BY 3 DESC`, database, least)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Statement])
}

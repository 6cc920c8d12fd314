package postgres

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"slices"
)

// Partitioned registers a table for [EnsurePartitions] and [DropPartitions]: functions of
// the tables' owner, which serve registered tables only, make and drop its day partitions.
type Partitioned struct {
	Table string
	// KeepIf is a SQL condition, asked behind the lock under which a day would be dropped:
	// one row that meets it keeps its day. $1 is the instant before which days may go.
	KeepIf string
}

//go:embed migrations/*.sql
var partitionFunctions embed.FS

// WithPartitions returns the components as [Migrate] runs them: in front of those with day
// partitions comes the one with the functions that make and drop them.
func WithPartitions(comps []Component) []Component {
	if !slices.ContainsFunc(comps, func(c Component) bool { return len(c.Partitioned) > 0 }) {
		return comps
	}
	return append([]Component{{Name: "partitions", FS: partitionFunctions, Grants: []Grant{{Table: "partitioned_tables"}}}}, comps...)
}

func register(ctx context.Context, db *sql.DB, tables []Partitioned) error {
	for _, t := range tables {
		_, err := db.ExecContext(ctx, `INSERT INTO partitioned_tables AS p (name, keep_if) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET keep_if = excluded.keep_if WHERE p.keep_if <> excluded.keep_if`, t.Table, t.KeepIf)
		if err != nil {
			return fmt.Errorf("register the partitions of %s: %w", t.Table, err)
		}
	}
	return nil
}

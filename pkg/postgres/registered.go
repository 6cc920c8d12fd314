package postgres

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"slices"
)

// Partitioned registers a table for [EnsurePartitions] and [DropPartitions]. Functions of the
// tables' owner create and drop its day partitions; they serve registered tables only.
type Partitioned struct {
	Table string
	// KeepIf is a SQL condition. It is checked under the lock with which a day would be dropped:
	// one row that meets it keeps its day. $1 is the instant before which days may be dropped.
	KeepIf string
}

//go:embed migrations/*.sql
var partitionFunctions embed.FS

// WithPartitions returns the components as [Migrate] runs them. If any of them has day partitions,
// it adds the component with the functions that create and drop them, as the first.
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

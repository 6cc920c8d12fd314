package rebuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// copied is the schema of the copies.
const copied = "copied"

// Copy writes the rows of a version and of its facts to empty tables by COPY, builds the indexes, and
// commits. It returns how long that took. The rows are in files of dir before it begins.
func (f *Filled) Copy(ctx context.Context, v Version, dir string) (took time.Duration, err error) {
	var tables []*table
	for _, name := range v.Tables {
		tables = append(tables, &table{schema: v.Schema(), name: name, rows: "TABLE " + v.Schema() + "." + name})
	}
	tables = append(tables, &table{schema: "public", name: "projection_facts", rows: fmt.Sprintf(
		`SELECT * FROM public.projection_facts WHERE projection = '%s' AND version = %d`, v.Projection, v.Number)})
	if _, err := f.Conn.Exec(ctx, `CREATE SCHEMA `+copied); err != nil {
		return 0, err
	}
	for _, t := range tables {
		if err := t.unload(ctx, f.Conn, dir); err != nil {
			return 0, errors.Join(fmt.Errorf("unload %s: %w", t.name, err), closeAll(tables))
		}
	}
	if _, err := f.Conn.Exec(ctx, `CHECKPOINT`); err != nil {
		return 0, errors.Join(err, closeAll(tables))
	}
	began := time.Now()
	err = pgx.BeginFunc(ctx, f.Conn, func(tx pgx.Tx) error {
		for _, t := range tables {
			if err := t.load(ctx, tx); err != nil {
				return fmt.Errorf("load %s: %w", t.name, err)
			}
		}
		return nil
	})
	took = time.Since(began)
	if err == nil {
		_, err = f.Conn.Exec(ctx, `DROP SCHEMA `+copied+` CASCADE`)
	}
	return took, errors.Join(err, closeAll(tables))
}

// table is a table that is copied.
type table struct {
	schema, name string
	rows         string // a query
	indexes      []string
	file         *os.File
	count        int64
}

func closeAll(tables []*table) error {
	var all error
	for _, t := range tables {
		if t.file != nil {
			all = errors.Join(all, t.file.Close(), os.Remove(t.file.Name()))
		}
	}
	return all
}

// unload writes the rows to a file, makes an empty table, and notes which indexes the original has.
func (t *table) unload(ctx context.Context, conn *pgx.Conn, dir string) (err error) {
	if t.file, err = os.Create(filepath.Join(dir, t.name)); err != nil {
		return err
	}
	tag, err := conn.PgConn().CopyTo(ctx, t.file, `COPY (`+t.rows+`) TO STDOUT (FORMAT binary)`)
	if err != nil {
		return err
	}
	if t.count = tag.RowsAffected(); t.count == 0 {
		return errors.New("there is no row")
	}
	if _, err := t.file.Seek(0, 0); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s.%s (LIKE %s.%s)`, copied, t.name, t.schema, t.name)); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, `SELECT indexdef FROM pg_indexes WHERE schemaname = $1 AND tablename = $2`, t.schema, t.name)
	if err != nil {
		return err
	}
	t.indexes, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

// load copies the rows and builds the indexes.
func (t *table) load(ctx context.Context, tx pgx.Tx) error {
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, t.file, fmt.Sprintf(`COPY %s.%s FROM STDIN (FORMAT binary)`, copied, t.name))
	if err != nil {
		return err
	}
	if tag.RowsAffected() != t.count {
		return fmt.Errorf("%d rows of %d", tag.RowsAffected(), t.count)
	}
	for _, sql := range t.indexes {
		there := strings.Replace(sql, " ON "+t.schema+"."+t.name+" ", " ON "+copied+"."+t.name+" ", 1)
		if there == sql {
			return fmt.Errorf("cannot build %q on another table", sql)
		}
		if _, err := tx.Exec(ctx, there); err != nil {
			return err
		}
	}
	return nil
}

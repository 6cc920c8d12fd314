package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// examples is how many rows that differ a comparison returns.
const examples = 20

// Difference is what two versions have under one key; "" where a version has no row.
type Difference struct{ Key, Live, Other string }

// Compared is the result of one [Comparison].
type Compared struct {
	Name        string
	Rows        int64 // keys in either version
	Differences int64
	Examples    []Difference // the first of them, by key
}

// Diff is a comparison of two versions at equal offsets.
type Diff struct {
	Projection  string
	Live, Other int
	Offsets     int64 // records that both contain
	Compared    []Compared
	Declared    []string // differences between the two that are on purpose
	Failures    int64    // records that the other version does not contain
	Held        int64    // records that the reader holds back, or gave up without a decision; they may explain differences
}

// Count returns the number of rows that differ.
func (d Diff) Count() int64 {
	var n int64
	for _, c := range d.Compared {
		n += c.Differences
	}
	return n
}

// Diff compares a version with the live one, in what their comparisons have in common. One snapshot of
// the database has both at equal offsets, because the reader feeds both in one transaction. number 0 is
// the newest version that follows. Errors: errs.NotFound; errs.Conflict when the versions cannot be
// compared now.
func (c *Control) Diff(ctx context.Context, projection string, number int) (Diff, error) {
	d := Diff{Projection: projection, Other: number}
	err := postgres.InTx(ctx, c.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
			return fmt.Errorf("take a snapshot: %w", err)
		}
		all, err := c.list(ctx, tx, projection, 0)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return unknown(projection)
		}
		slices.SortFunc(all, newest)
		for _, s := range all {
			switch {
			case s.State == Live:
				d.Live, d.Offsets = s.Version, s.Total
			case number == 0 && s.State == Following:
				d.Other = s.Version
			}
		}
		if err := c.comparable(ctx, tx, all, d); err != nil {
			return err
		}
		for _, s := range all {
			if s.Version > min(d.Live, d.Other) && s.Version <= max(d.Live, d.Other) {
				d.Declared = append(d.Declared, s.Differences...)
			}
			if s.Version == d.Other {
				d.Failures = s.Failures
			}
		}
		err = tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM public.parked_keys WHERE consumer_group = $1)
			+ (SELECT count(*) FROM public.parked_records WHERE consumer_group = $1)
			+ (SELECT count(*) FROM public.dead_letters WHERE consumer_group = $1 AND status IN ('open', 'resubmitted') AND NOT parks)`, c.group).Scan(&d.Held)
		if err != nil {
			return fmt.Errorf("count what the reader holds back: %w", err)
		}
		live, other := id{projection, d.Live}, id{projection, d.Other}
		for _, one := range c.known[live].comparisons {
			i := slices.IndexFunc(c.known[other].comparisons, func(two Comparison) bool { return two.Name == one.Name })
			if i < 0 {
				continue
			}
			compared, err := c.compare(ctx, tx, live, one, other, c.known[other].comparisons[i])
			if err != nil {
				return err
			}
			d.Compared = append(d.Compared, compared)
		}
		return nil
	})
	return d, err
}

// comparable returns an error when the snapshot does not have both versions at equal offsets.
func (c *Control) comparable(ctx context.Context, tx pgx.Tx, all []Status, d Diff) error {
	switch {
	case d.Live == 0:
		return errs.New(errs.Conflict, "%s has no live version yet", d.Projection)
	case d.Other == 0:
		return errs.New(errs.Conflict, "no version of %s follows the live one", d.Projection)
	case d.Other == d.Live:
		return errs.New(errs.Conflict, "%s is the live one", id{d.Projection, d.Live})
	}
	for _, number := range []int{d.Live, d.Other} {
		v := id{d.Projection, number}
		i := slices.IndexFunc(all, func(s Status) bool { return s.Version == number })
		switch {
		case i < 0:
			return errs.New(errs.NotFound, "there is no %s", v)
		case !all[i].Known:
			return errs.New(errs.Conflict, "this program does not have %s", v)
		case !all[i].Attached:
			return errs.New(errs.Conflict, "%s is %s and contains %d of %d records; versions are compared when the reader feeds both", v, all[i].State, all[i].Done, all[i].Total)
		}
		if err := c.equal(ctx, tx, v); err != nil {
			return err
		}
	}
	return nil
}

// compare runs a query of each version and compares the results.
func (c *Control) compare(ctx context.Context, tx pgx.Tx, live id, one Comparison, other id, two Comparison) (Compared, error) {
	out := Compared{Name: one.Name}
	err := errors.Join(
		c.collect(ctx, tx, live, "compared_live", one.Query),
		c.collect(ctx, tx, other, "compared_other", two.Query),
	)
	if err != nil {
		return out, err
	}
	rows, err := tx.Query(ctx, `
		SELECT coalesce(l.key, o.key), coalesce(l.value, ''), coalesce(o.value, ''), count(*) OVER ()
		FROM compared_live l FULL JOIN compared_other o ON o.key = l.key
		WHERE l.value IS DISTINCT FROM o.value ORDER BY 1 LIMIT $1`, examples)
	if err == nil {
		var d Difference
		_, err = pgx.ForEachRow(rows, []any{&d.Key, &d.Live, &d.Other, &out.Differences}, func() error {
			out.Examples = append(out.Examples, d)
			return nil
		})
	}
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT key FROM compared_live UNION SELECT key FROM compared_other) k`).Scan(&out.Rows)
	}
	if err == nil {
		_, err = tx.Exec(ctx, `DROP TABLE compared_live, compared_other`)
	}
	if err != nil {
		return out, fmt.Errorf("compare %s of %s with %s: %w", one.Name, live, other, err)
	}
	return out, nil
}

// collect stores the result of a version's query in a temporary table.
func (c *Control) collect(ctx context.Context, tx pgx.Tx, v id, table, query string) error {
	if !c.known[v].base {
		if err := enterSchema(ctx, tx, v); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `CREATE TEMP TABLE `+table+` ON COMMIT DROP AS SELECT key::text, value::text FROM (`+query+`) AS compared (key, value)`)
	if err == nil {
		_, err = tx.Exec(ctx, `SET LOCAL search_path TO DEFAULT`)
	}
	if err != nil {
		return fmt.Errorf("read %s for the comparison: %w", v, err)
	}
	return nil
}

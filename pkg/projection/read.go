package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Read runs queries on the live version of a projection. query gets a snapshot in which the version
// stays live, and in which unqualified names are those of its schema; so a switch never disturbs it.
//
// The error has kind errs.Transient while the first version of the projection is being filled, and when
// this program does not have the code of the live one.
func (c *Control) Read(ctx context.Context, pool *pgxpool.Pool, projection string, query func(tx pgx.Tx, version int) error) error {
	return postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY`); err != nil {
			return fmt.Errorf("take a snapshot: %w", err)
		}
		v := id{projection: projection}
		var err error = pgx.ErrNoRows
		if !c.onlyBase() {
			err = tx.QueryRow(ctx, `SELECT version FROM public.projection_versions WHERE projection = $1 AND state = 'live'`, projection).Scan(&v.number)
		}
		if errors.Is(err, pgx.ErrNoRows) {
			v.number, err = c.undeclared(projection)
		}
		if err != nil {
			return fmt.Errorf("find the live version of %s: %w", projection, err)
		}
		d, known := c.known[v]
		switch {
		case !known:
			return errs.New(errs.Transient, "%s is live, and this program does not have it", v)
		case !d.base:
			if err := enterSchema(ctx, tx, v); err != nil {
				return err
			}
		}
		return query(tx, v.number)
	})
}

// undeclared returns the version that will be live once the versions are declared: the base version. No
// other version is read before it is filled.
func (c *Control) undeclared(projection string) (int, error) {
	for v, d := range c.known {
		if v.projection == projection && d.base {
			return v.number, nil
		}
	}
	return 0, errs.New(errs.Transient, "%s is being filled for the first time", projection)
}

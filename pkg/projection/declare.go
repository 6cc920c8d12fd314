package projection

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// declare inserts a row for each version that has none. Of a new projection, the lowest version goes
// live: a base version at once, any other when it is filled.
func (s *Set[F]) declare(ctx context.Context) error {
	return postgres.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(`+lockKey+`)`); err != nil {
			return fmt.Errorf("lock the projections: %w", err)
		}
		for _, v := range s.versions {
			_, err := tx.Exec(ctx, `
				INSERT INTO public.projection_versions (projection, version, state, attached, live_at, started_at)
				SELECT $1, $2, CASE WHEN EXISTS (SELECT FROM public.projection_versions WHERE projection = $1) THEN $3 ELSE $4 END, $5,
					CASE WHEN $5 THEN now() END, CASE WHEN NOT $5 THEN now() END
				ON CONFLICT (projection, version) DO NOTHING`,
				v.Projection, v.Number, string(s.later(v)), string(s.first(v)), v.Base)
			if err != nil {
				return fmt.Errorf("declare %s: %w", v.id(), err)
			}
		}
		return nil
	})
}

// first and later return the state of a new version that is the first of its projection, or not.
func (s *Set[F]) first(v Version[F]) State {
	if v.Base {
		return Live
	}
	return Filling
}

func (s *Set[F]) later(v Version[F]) State {
	if v.Base {
		return Following
	}
	return Waiting
}

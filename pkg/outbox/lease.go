package outbox

import (
	"context"
	"fmt"
	"time"

	"eventshop.example/pkg/postgres"
)

// claimShards says "I am alive", computes the fair share, renews or takes that
// many leases, and returns them. It is one statement, because a relay that is
// frozen between two statements of a transaction would keep its row locks, and
// every other relay out, until it is thawed. SKIP LOCKED serves the same end:
// nobody ever waits for a lease row.
//
// While there is a hold nobody takes a shard. Those that a relay has it keeps, above its
// share as well, until it hands them back: a lease that lasts says that there may be
// something in flight.
const claimShards = `
WITH alive AS (
	INSERT INTO outbox_relay (id, expires_at) VALUES ($1, clock_timestamp() + $2::interval)
	ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
), dead AS (
	DELETE FROM outbox_relay WHERE id <> $1 AND expires_at < clock_timestamp() - interval '1 minute'
), share AS (
	SELECT ceil((SELECT count(*) FROM outbox_lease)::numeric
		/ (1 + (SELECT count(*) FROM outbox_relay WHERE id <> $1 AND expires_at > clock_timestamp())))::bigint AS n
), held AS (
	SELECT string_agg(name || ': ' || reason, '; ' ORDER BY since) AS reason FROM outbox_hold WHERE expires_at > clock_timestamp()
), wanted AS (
	SELECT shard FROM outbox_lease
	WHERE holder = $1 OR (holder IS NULL OR expires_at <= clock_timestamp()) AND (SELECT reason FROM held) IS NULL
	ORDER BY holder = $1 DESC NULLS LAST, shard
	LIMIT (SELECT CASE WHEN reason IS NULL THEN (SELECT n FROM share) END FROM held)
	FOR UPDATE SKIP LOCKED
), claimed AS (
	UPDATE outbox_lease l SET holder = $1, expires_at = clock_timestamp() + $2::interval
	FROM wanted w WHERE l.shard = w.shard
	RETURNING l.shard
)
SELECT coalesce(array_agg(shard), '{}'), coalesce((SELECT reason FROM held), ''), (SELECT mode FROM outbox_mode) FROM claimed`

// leaseLoop keeps the leases until ctx is done. It renews three times per
// lifetime, so that one lost renewal costs nothing.
func (r *Relay) leaseLoop(ctx context.Context) {
	every := r.cfg.Lease / 3
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		r.at(beforeClaim)
		started := r.clock()
		attempt, cancel := context.WithTimeout(ctx, r.cfg.Lease)
		shards, held, err := r.claim(attempt)
		switch {
		case err != nil:
		case held != "":
			err = r.handBack(attempt, r.stand(shards, held))
		default:
			r.standDown()
			// Counted from before the statement, so that we stop believing
			// before the database does.
			surplus := r.flight.lead(shards, started, started.Add(r.cfg.Lease))
			err = r.handBack(attempt, surplus)
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		r.metrics.leased.Set(float64(len(shards)))
		r.trouble("lease", err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (r *Relay) claim(ctx context.Context) (shards []int16, held string, err error) {
	var mode Mode
	if err := r.pool.QueryRow(ctx, claimShards, r.id, r.cfg.Lease).Scan(&shards, &held, &mode); err != nil {
		return nil, "", fmt.Errorf("renew outbox leases: %w", postgres.Classify(err))
	}
	r.mode.Store(&mode)
	return shards, held, nil
}

// handBack frees shards that are above the fair share and have nothing in
// flight any more, before their lease runs out.
func (r *Relay) handBack(ctx context.Context, shards []int16) error {
	if len(shards) == 0 {
		return nil
	}
	const q = `UPDATE outbox_lease SET holder = NULL, expires_at = '-infinity' WHERE holder = $1 AND shard = ANY ($2)`
	if _, err := r.pool.Exec(ctx, q, r.id, shards); err != nil {
		return fmt.Errorf("hand back outbox shards: %w", postgres.Classify(err))
	}
	return nil
}

// release ends all leases at once, so that the next leader need not wait for
// them to run out. When it fails, they do run out.
func (r *Relay) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Lease)
	defer cancel()
	const q = `WITH gone AS (DELETE FROM outbox_relay WHERE id = $1)
		UPDATE outbox_lease SET holder = NULL, expires_at = '-infinity' WHERE holder = $1`
	if _, err := r.pool.Exec(ctx, q, r.id); err != nil {
		r.cfg.Logger.Warn("outbox leases were not released and will run out", "error", err, "after", r.cfg.Lease.String())
	}
	r.metrics.leased.Set(0)
}

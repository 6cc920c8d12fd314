package relay

import (
	"context"
	"fmt"
	"time"

	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/postgres"
)

// claimShards records that this relay is alive, computes the fair share, renews or takes that many
// leases, and returns them. It is one statement: a relay that freezes between two statements of a
// transaction would keep its row locks, and exclude every other relay, until it continues. SKIP
// LOCKED has the same purpose: no relay ever waits for a lease row.
//
// During a hold no relay takes a shard. A relay keeps the shards that it has, even above its share,
// until it hands them back: an unexpired lease means that rows may be in flight.
//
// Relays of the release before stand by: they neither count for the share nor get a shard. The
// database recognises them by claims, which they do not increase.
const claimShards = `
WITH alive AS (
	INSERT INTO outbox_relay (id, expires_at, queue) VALUES ($1, clock_timestamp() + $2::interval, true)
	ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
), dead AS (
	DELETE FROM outbox_relay WHERE id <> $1 AND expires_at < clock_timestamp() - interval '1 minute'
), share AS (
	SELECT ceil((SELECT count(*) FROM outbox_lease)::numeric
		/ (1 + (SELECT count(*) FROM outbox_relay WHERE id <> $1 AND queue AND expires_at > clock_timestamp())))::bigint AS n
), held AS (
	SELECT string_agg(name || ': ' || reason, '; ' ORDER BY since) AS reason FROM outbox_hold WHERE expires_at > clock_timestamp()
), wanted AS (
	SELECT shard FROM outbox_lease
	WHERE holder = $1 OR (holder IS NULL OR expires_at <= clock_timestamp()) AND (SELECT reason FROM held) IS NULL
	ORDER BY holder = $1 DESC NULLS LAST, shard
	LIMIT (SELECT CASE WHEN reason IS NULL THEN (SELECT n FROM share) END FROM held)
	FOR UPDATE SKIP LOCKED
), claimed AS (
	UPDATE outbox_lease l SET holder = $1, expires_at = clock_timestamp() + $2::interval, claims = l.claims + 1
	FROM wanted w WHERE l.shard = w.shard
	RETURNING l.shard
)
SELECT coalesce(array_agg(shard), '{}'), coalesce((SELECT reason FROM held), ''), (SELECT mode FROM outbox_mode) FROM claimed`

// claimGrace is how long a claim may take to end when the relay stops.
const claimGrace = time.Second

// leaseLoop keeps the leases until ctx is done. It renews three times per lease, so that one lost
// renewal has no effect.
func (r *Relay) leaseLoop(ctx context.Context) {
	ticker := time.NewTicker(r.cfg.Lease / 3)
	defer ticker.Stop()
	for {
		r.at(beforeClaim)
		started := r.clock()
		// A claim that is cut off may still take effect, after the leases were released. So the stop
		// gives one that is under way a second.
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Lease)
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(claimGrace, cancel) })
		shards, held, err := r.table.claim(attempt)
		switch {
		case err != nil:
		case held != "":
			err = r.table.handBack(attempt, r.pauseForHold(shards, held))
		default:
			r.endHold()
			// The lease counts from before the statement, so that this relay stops before the
			// database lets another one lead.
			idle := r.flight.setLeases(shards, started, started.Add(r.cfg.Lease))
			err = r.table.handBack(attempt, idle)
		}
		stop()
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

// claim returns the shards that this relay leads, and why the outbox is on hold ("": it is not). It
// also stores the mode.
func (t *table) claim(ctx context.Context) (shards []int16, held string, err error) {
	var mode capture.Mode
	if err := t.pool.QueryRow(ctx, claimShards, t.id, t.lease).Scan(&shards, &held, &mode); err != nil {
		return nil, "", fmt.Errorf("renew outbox leases: %w", postgres.Classify(err))
	}
	t.mode.Store(&mode)
	return shards, held, nil
}

// handBack ends the leases of shards that have nothing in flight any more, before they expire.
func (t *table) handBack(ctx context.Context, shards []int16) error {
	if len(shards) == 0 {
		return nil
	}
	const q = `UPDATE outbox_lease SET holder = NULL, expires_at = '-infinity' WHERE holder = $1 AND shard = ANY ($2)`
	if _, err := t.pool.Exec(ctx, q, t.id, shards); err != nil {
		return fmt.Errorf("hand back outbox shards: %w", postgres.Classify(err))
	}
	return nil
}

// release ends all leases at once, so that the next leader need not wait until they expire. When
// release fails, they expire. The relay's own row stays until another relay removes it: for a minute
// it shows the database that relays of this release run.
func (t *table) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.lease)
	defer cancel()
	const q = `WITH gone AS (UPDATE outbox_relay SET expires_at = clock_timestamp() WHERE id = $1)
		UPDATE outbox_lease SET holder = NULL, expires_at = '-infinity' WHERE holder = $1`
	_, err := t.pool.Exec(ctx, q, t.id)
	return err
}

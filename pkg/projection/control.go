package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Control is what operators and queries do with the versions of a [Set]. Its changes have their effect
// in every process of the service, because they are rows of the database.
type Control struct {
	pool  *pgxpool.Pool
	group string
	known map[id]declared
	// begins checks that a filling can begin at offset 0.
	begins func(ctx context.Context) error
}

// onlyBase reports whether all versions are base versions.
func (c *Control) onlyBase() bool {
	for _, d := range c.known {
		if !d.base {
			return false
		}
	}
	return true
}

// declared is what this program knows about a version.
type declared struct {
	base        bool
	tables      []string
	comparisons []Comparison
	differences []string
}

// Status is the present state of a version.
type Status struct {
	Projection  string
	Version     int
	State       State
	Known       bool // this program has its code
	Base        bool
	Attached    bool // the reader feeds it
	Reason      string
	Done, Total int64   // records that it contains, and that the reader has handled
	PerSecond   float64 // while it is filled
	Failures    int64
	Listed      []Failure // the first of them; only of [Control.Status]
	Differences []string  // declared, to the version before

	StartedAt, AttachedAt, LiveAt time.Time // zero: never

	run     int
	cleared bool
}

// Left returns how long a filling will take at the present rate; 0: unknown, or it is not filled.
func (s Status) Left() time.Duration {
	if s.State != Filling || s.PerSecond <= 0 || s.Done >= s.Total {
		return 0
	}
	return time.Duration(float64(s.Total-s.Done) / s.PerSecond * float64(time.Second))
}

// List returns all versions, by projection and number.
func (c *Control) List(ctx context.Context) ([]Status, error) {
	return c.list(ctx, c.pool, "", 0)
}

// Status returns the versions of a projection with what they list, by number.
func (c *Control) Status(ctx context.Context, projection string) ([]Status, error) {
	all, err := c.list(ctx, c.pool, projection, 0)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, unknown(projection)
	}
	for i, s := range all {
		if s.Failures == 0 {
			continue
		}
		if all[i].Listed, err = failuresIn(ctx, c.pool, id{s.Projection, s.Version}, byPlace, settleAtOnce); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func unknown(projection string) error {
	return errs.New(errs.NotFound, "there is no projection %q", projection)
}

func (c *Control) status(ctx context.Context, q postgres.Querier, v id) (Status, error) {
	all, err := c.list(ctx, q, v.projection, v.number)
	if err == nil && len(all) == 0 {
		err = errs.New(errs.NotFound, "there is no %s", v)
	}
	if err != nil {
		return Status{}, err
	}
	return all[0], nil
}

// list returns the versions of one projection or of all, and one version or all.
func (c *Control) list(ctx context.Context, q postgres.Querier, projection string, number int) ([]Status, error) {
	rows, err := q.Query(ctx, `
		WITH reader AS (SELECT topic_id, topic_partition, next_offset FROM public.consumer_positions WHERE consumer_group = $3)
		SELECT v.projection, v.version, v.state, v.attached, v.reason, v.per_second, v.started_at, v.attached_at, v.live_at, v.run, v.cleared,
			(SELECT coalesce(sum(next_offset), 0) FROM reader)::bigint,
			(SELECT coalesce(sum(p.next_offset), 0) FROM public.projection_positions p JOIN reader USING (topic_id, topic_partition)
				WHERE p.projection = v.projection AND p.version = v.version)::bigint,
			(SELECT count(*) FROM public.projection_failures f WHERE f.projection = v.projection AND f.version = v.version)
		FROM public.projection_versions v
		WHERE ($1 = '' OR v.projection = $1) AND ($2 = 0 OR v.version = $2) ORDER BY v.projection, v.version`, projection, number, c.group)
	var all []Status
	if err == nil {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Status, err error) {
			var started, attached, live *time.Time
			err = row.Scan(&s.Projection, &s.Version, &s.State, &s.Attached, &s.Reason, &s.PerSecond, &started, &attached, &live,
				&s.run, &s.cleared, &s.Total, &s.Done, &s.Failures)
			s.StartedAt, s.AttachedAt, s.LiveAt = orZero(started), orZero(attached), orZero(live)
			d, known := c.known[id{s.Projection, s.Version}]
			if s.Known, s.Base, s.Differences = known, d.base, d.differences; s.Base && s.Attached {
				s.Done = s.Total // its positions are the reader's
			}
			return s, err
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("list projections: %w", err))
	}
	return all, nil
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// Rebuild begins to fill a version from offset 0. number 0 is the newest version of this program that
// does not follow and is not live. Errors: errs.NotFound; errs.Conflict with the reason why the version
// is not filled, such as a topic that does not begin at offset 0.
func (c *Control) Rebuild(ctx context.Context, projection string, number int) (Status, error) {
	all, err := c.Status(ctx, projection)
	if err != nil {
		return Status{}, err
	}
	i := slices.IndexFunc(all, func(s Status) bool { return s.Version == number })
	if number == 0 {
		for j, s := range all {
			if s.Known && !s.Base && !s.Attached && s.State != Live {
				i = j
			}
		}
		if i < 0 {
			return Status{}, errs.New(errs.Conflict, "every version of %s in this program is live or follows; a rebuild fills another version: declare one, or drop one first", projection)
		}
	}
	switch {
	case i < 0:
		return Status{}, errs.New(errs.NotFound, "there is no %s", id{projection, number})
	case !all[i].Known:
		return Status{}, errs.New(errs.Conflict, "this program does not have %s", id{projection, number})
	case all[i].Base:
		return Status{}, errs.New(errs.Conflict, "%s has the tables of an earlier release, which are not filled: a rebuild fills a further version", id{projection, number})
	}
	if err := c.begins(ctx); err != nil {
		return Status{}, err
	}
	v := id{projection, all[i].Version}
	tag, err := c.pool.Exec(ctx, `
		UPDATE public.projection_versions SET state = 'filling', attached = false, run = run + 1, cleared = false, reason = '', per_second = 0,
			filler = '', filler_until = NULL, started_at = clock_timestamp(), attached_at = NULL
		WHERE projection = $1 AND version = $2 AND state IN ('waiting', 'failed', 'dropped')`, v.projection, v.number)
	if err != nil {
		return Status{}, postgres.Classify(fmt.Errorf("begin to fill %s: %w", v, err))
	}
	s, err := c.status(ctx, c.pool, v)
	if err == nil && tag.RowsAffected() == 0 {
		return s, errs.New(errs.Conflict, "%s is %s; only a version that waits, failed or was dropped is filled", v, s.State)
	}
	return s, err
}

// Switch makes a version that follows the live one, in one transaction. The one that was live follows.
// Without force it first compares the two, and refuses when they differ. A version that is live already
// stays so, and that is no error. number 0 is the newest version that follows.
//
// Errors: errs.NotFound; errs.Conflict with the reason why not.
func (c *Control) Switch(ctx context.Context, projection string, number int, force bool) (Status, error) {
	all, err := c.Status(ctx, projection)
	if err != nil {
		return Status{}, err
	}
	if number == 0 {
		for _, s := range all {
			if s.State == Following {
				number = s.Version
			}
		}
		if number == 0 {
			return Status{}, errs.New(errs.Conflict, "no version of %s follows the live one", projection)
		}
	}
	v := id{projection, number}
	if s, err := c.status(ctx, c.pool, v); err != nil || s.State == Live {
		return s, err
	}
	if !force {
		d, err := c.Diff(ctx, projection, number)
		if err != nil {
			return Status{}, err
		}
		if n := d.Count(); n > 0 {
			return Status{}, errs.New(errs.Conflict, "%s differs from the live version in %d rows", v, n)
		}
	}
	err = postgres.InTx(ctx, c.pool, func(tx pgx.Tx) error {
		if err := alone(ctx, tx); err != nil {
			return err
		}
		s, err := c.status(ctx, tx, v)
		switch {
		case err != nil:
			return err
		case s.State == Live:
			return nil
		case s.State != Following || !s.Attached:
			return errs.New(errs.Conflict, "%s is %s; only a version that follows goes live", v, s.State)
		case s.Failures > 0:
			return errs.New(errs.Conflict, "%s does not contain %d records that failed", v, s.Failures)
		}
		if err := c.equal(ctx, tx, v); err != nil {
			return err
		}
		for _, sql := range []string{
			`UPDATE public.projection_versions SET state = 'following' WHERE projection = $1 AND version <> $2 AND state = 'live' AND attached`,
			`UPDATE public.projection_versions SET state = 'filling' WHERE projection = $1 AND version <> $2 AND state = 'live'`,
			`UPDATE public.projection_versions SET state = 'live', live_at = clock_timestamp() WHERE projection = $1 AND version = $2`,
		} {
			if _, err := tx.Exec(ctx, sql, projection, number); err != nil {
				return fmt.Errorf("switch to %s: %w", v, err)
			}
		}
		return nil
	})
	if err != nil {
		return Status{}, err
	}
	return c.status(ctx, c.pool, v)
}

// Drop ends the following or filling of a version. Its tables are emptied. number 0 is the only version
// that is not live and has rows. Errors: errs.NotFound; errs.Conflict for the live version.
func (c *Control) Drop(ctx context.Context, projection string, number int) (Status, error) {
	all, err := c.Status(ctx, projection)
	if err != nil {
		return Status{}, err
	}
	if number == 0 {
		drops := slices.DeleteFunc(slices.Clone(all), func(s Status) bool { return s.State == Live || s.State == Waiting || s.State == Dropped })
		if len(drops) != 1 {
			return Status{}, errs.New(errs.Conflict, "%s has %d versions that can be dropped: name one", projection, len(drops))
		}
		number = drops[0].Version
	}
	v := id{projection, number}
	err = postgres.InTx(ctx, c.pool, func(tx pgx.Tx) error {
		if err := alone(ctx, tx); err != nil {
			return err
		}
		s, err := c.status(ctx, tx, v)
		switch {
		case err != nil:
			return err
		case s.State == Live:
			return errs.New(errs.Conflict, "%s is live; switch to another version first", v)
		case s.State == Dropped:
			return nil
		}
		_, err = tx.Exec(ctx, `UPDATE public.projection_versions SET state = 'dropped', attached = false, run = run + 1, cleared = false,
			filler = '', filler_until = NULL, reason = '' WHERE projection = $1 AND version = $2`, projection, number)
		return err
	})
	if err != nil {
		return Status{}, fmt.Errorf("drop %s: %w", v, err)
	}
	s, err := c.status(ctx, c.pool, v)
	if d, known := c.known[v]; err == nil && known && !s.cleared {
		err = postgres.InTx(ctx, c.pool, func(tx pgx.Tx) error { return clearIn(ctx, tx, v, d.base, d.tables, s.run) })
		if errors.Is(err, errOver) { // another process has emptied them
			err = nil
		}
	}
	return s, err
}

// equal returns an error when a version does not contain exactly what the reader has handled, in the
// present snapshot.
func (c *Control) equal(ctx context.Context, tx pgx.Tx, v id) error {
	if c.known[v].base {
		return nil
	}
	reader, err := ofReader(ctx, tx, c.group)
	if err != nil {
		return err
	}
	own, err := ofVersion(ctx, tx, v)
	if err != nil {
		return err
	}
	for at, offset := range reader {
		if own[at] != offset {
			return errs.New(errs.Conflict, "%s is not at the reader's offsets: partition %d of topic %s has %d of %d", v, at.number, at.topic, own[at], offset)
		}
	}
	return nil
}

// newest orders statuses by number, the newest last.
func newest(a, b Status) int { return cmp.Compare(a.Version, b.Version) }

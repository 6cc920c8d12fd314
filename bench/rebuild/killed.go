package rebuild

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"eventshop.example/bench/infra"
)

// Killed is a filling whose process was killed by SIGKILL in the middle.
type Killed struct {
	Committed int64         // records, at the kill
	Again     int64         // committed records that the next process read again
	Start     time.Duration // from the kill until the next process is ready
	Took      time.Duration // from the kill until the consumer feeds the version
}

// follows is the line of the log about the end of a filling.
var follows = regexp.MustCompile(`projection follows.*"records":([0-9]+)`)

// Kill fills a version, kills the process when half of the records are filled, starts another, and compares
// the tables with what was published.
func (b *Bench) Kill(ctx context.Context, t *Topics, v Version) (k *Killed, err error) {
	f, settings, err := b.prepare(ctx, t, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(ctx)) }()
	first, err := b.Program.Start(ctx, settings)
	if err != nil {
		return nil, err
	}
	if err := first.Operate(ctx, v.Projection, "rebuild", v.Number); err != nil {
		return nil, errors.Join(err, first.Kill())
	}
	k = &Killed{}
	err = infra.Until(ctx, func() (err error) {
		if k.Committed, err = f.committed(ctx, v); err == nil && k.Committed < t.Events/2 {
			err = errors.New("not half is filled")
		}
		return err
	})
	if err := errors.Join(err, first.Kill()); err != nil {
		return nil, err
	}
	began := time.Now()
	if k.Committed, err = f.committed(ctx, v); err != nil {
		return nil, err
	}
	if k.Committed >= t.Events {
		return nil, fmt.Errorf("all %d records were filled before the process was killed", t.Events)
	}
	second, err := b.Program.Start(ctx, settings)
	if err != nil {
		return nil, err
	}
	k.Start = time.Since(began)
	err = f.await(ctx, v, second)
	k.Took = time.Since(began)
	if err := errors.Join(err, second.Stop()); err != nil {
		return nil, err
	}
	line := follows.FindStringSubmatch(second.output.String())
	if line == nil {
		return nil, errors.New("the log has no line about the end of the filling")
	}
	passed, err := strconv.ParseInt(line[1], 10, 64)
	if err != nil {
		return nil, err
	}
	k.Again = passed - (t.Events - k.Committed)
	return k, f.check(ctx, t.Sums, v)
}

// committed returns how many records a version contains. It waits for a transaction that is under way.
func (f *Filled) committed(ctx context.Context, v Version) (n int64, err error) {
	_, err = f.Conn.Exec(ctx, `SELECT FROM projection_versions WHERE projection = $1 AND version = $2 FOR UPDATE`, v.Projection, v.Number)
	if err == nil {
		err = f.Conn.QueryRow(ctx, `SELECT coalesce(sum(next_offset), 0)::bigint FROM projection_positions WHERE projection = $1 AND version = $2`,
			v.Projection, v.Number).Scan(&n)
	}
	return n, err
}

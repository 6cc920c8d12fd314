package saga

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/ops/operators"
)

const (
	// relayGrace is how long an event may stay in the outbox before its order counts as blocked. A
	// relay publishes within milliseconds, and another takes over within the lease, some seconds.
	// With Debezium, rows are marked as published some seconds after they are on the topic.
	relayGrace = 15 * time.Second
	// mostUnpublished bounds the rows read from one outbox. After a long outage of the broker an
	// outbox has more, but any of them show the outage.
	mostUnpublished = 10_000
	// outboxWithin bounds the query of a service's database.
	outboxWithin = 5 * time.Second
)

// unpublished is a row of an outbox that is on no topic yet. Raw rows are retries and dead letters.
type unpublished struct {
	Key, Topic, Type string
	Raw              bool
	CreatedAt        time.Time
}

// relayHolds finds the events that wait for a relay: those that have waited for longer than a relay
// needs, and immediately those that a relay reports as kept back. It returns one hold per order,
// service and topic.
func (s *Shop) relayHolds(ctx context.Context, key string, h *holds) {
	if len(s.databases) == 0 {
		return
	}
	described := map[string]operators.Outbox{}
	for _, a := range operators.AskAll(ctx, s.fleet.Groups, func(ctx context.Context, c *operators.Client) (operators.Outbox, error) { return c.Outbox(ctx) }) {
		if a.Err == nil { // otherwise the rows have no reason here, and the other questions report the group
			described[a.From] = a.Value
		}
	}
	// A key that is not text comes from a foreign record and belongs to no order.
	rows, failed := readOutboxes[unpublished](ctx, s, `SELECT encode(key, 'escape'), topic, event_type, ce_specversion IS NULL, created_at
		FROM outbox_queue q JOIN outbox o USING (id)
		WHERE octet_length(key) = 36 AND (octet_length($1::bytea) = 0 OR key = $1)
		ORDER BY q.shard, q.seq LIMIT $2`, []byte(key), mostUnpublished)
	h.failed = append(h.failed, failed...)
	for _, service := range slices.Sorted(maps.Keys(rows)) {
		seen := map[[2]string]bool{}
		for _, row := range rows[service] {
			place := [2]string{row.Key, row.Topic}
			hold, kept := notRelayed(service, row, described[service])
			if seen[place] || !kept && s.now().Sub(row.CreatedAt) < relayGrace {
				continue
			}
			seen[place] = true
			h.byOrder[row.Key] = append(h.byOrder[row.Key], hold)
		}
	}
}

// readOutboxes reads rows of all outboxes at the same time, and returns them by service. failed has an error
// for each outbox that cannot be read.
func readOutboxes[T any](ctx context.Context, s *Shop, sql string, args ...any) (rows map[string][]T, failed []error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	rows = map[string][]T{}
	for service, dsn := range s.databases {
		all.Go(func() {
			found, err := readOutbox[T](ctx, dsn, sql, args...)
			mu.Lock()
			defer mu.Unlock()
			rows[service] = found
			if err != nil {
				failed = append(failed, fmt.Errorf("%s's outbox cannot be read: %w", service, err))
			}
		})
	}
	all.Wait()
	return rows, failed
}

func readOutbox[T any](ctx context.Context, dsn, sql string, args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, outboxWithin)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	found, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	return pgx.CollectRows(found, pgx.RowToStructByPos[T])
}

// notRelayed returns why a row is not published. kept reports whether the relay itself reports the
// reason.
func notRelayed(service string, row unpublished, o operators.Outbox) (h Hold, kept bool) {
	h = Hold{Kind: NotRelayed, Group: service, Topic: row.Topic, Type: row.Type}
	for _, hold := range o.Holds {
		h.Detail = fmt.Sprintf("the outbox is on hold by %s: %s", hold.Name, hold.Reason)
		return h, true
	}
	for _, r := range o.Refused {
		if r.Topic == row.Topic && (r.WholeTopic || r.Key == row.Key) {
			h.Detail, h.Attempts, h.Next = "the broker refuses it: "+r.Reason, int(r.Attempts), &r.NextTry
			return h, true
		}
	}
	return h, false
}

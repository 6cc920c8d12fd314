package verify

import (
	"bytes"
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/pkg/consumer"
)

const (
	// tickEvery is how often the system is looked at.
	tickEvery = 250 * time.Millisecond
	// calmTicks: an event may be between its outbox and its consumer.
	calmTicks = 2
	// calmTicksHeld is for when orders are held, and so their state does not tell whether
	// they are still under way: something outside (the carrier, a worker) may move them.
	calmTicksHeld = 12
)

// rest waits until nothing moves: every order of the event store has ended, asks for
// attention or is held by a failed event; every outbox is drained; every group has read
// its topics and retry topics to the end; no retry is due before the wait is over. When
// settle is over it returns nil all the same: what still moves is then for the checks to
// report.
func rest(ctx context.Context, src Sources, conns map[string]*pgx.Conn, settle time.Duration) error {
	cl, err := src.Kafka.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	deadline := time.Now().Add(settle)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	quiet := 0
	for {
		calm, held, err := atRest(ctx, adm, conns, deadline)
		if err != nil {
			return err
		}
		if calm {
			quiet++
		} else {
			quiet = 0
		}
		enough := calmTicks
		if held {
			enough = calmTicksHeld
		}
		if quiet >= enough || time.Now().After(deadline) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// atRest looks once. held tells that there are orders that have not ended because a
// failed event holds them.
func atRest(ctx context.Context, adm *kadm.Client, conns map[string]*pgx.Conn, deadline time.Time) (calm, held bool, err error) {
	waiting := false // retries due later than anybody waits here
	for _, service := range groups() {
		var unpublished, due, later int
		err := conns[service].QueryRow(ctx, `SELECT (SELECT count(*) FROM outbox WHERE published_at IS NULL),
			count(*) FILTER (WHERE not_before < $1), count(*) FILTER (WHERE not_before >= $1)
			FROM parked_keys WHERE state = 'retrying'`, deadline).Scan(&unpublished, &due, &later)
		if err != nil {
			return false, false, fmt.Errorf("%s's outbox and retries: %w", service, err)
		}
		if unpublished > 0 || due > 0 {
			return false, false, nil
		}
		waiting = waiting || later > 0
	}
	keys, err := heldKeys(ctx, conns)
	if err != nil {
		return false, false, err
	}
	var moving, stopped int
	err = conns["order"].QueryRow(ctx, `SELECT count(*) FILTER (WHERE NOT held), count(*) FILTER (WHERE held) FROM (
		SELECT right(stream_id, 36) = ANY ($1) AS held FROM events GROUP BY stream_id
		HAVING NOT bool_or(event_type IN ('OrderCancelled', 'OrderDelivered', 'OrderNeedsAttention'))) AS under_way`, keys).Scan(&moving, &stopped)
	if err != nil || moving > 0 {
		return false, false, err
	}
	read := groups()
	if !waiting { // else a retry topic is not read to its end
		for _, group := range groups() {
			read = append(read, consumer.RetryGroup(group))
		}
	}
	lags, err := adm.Lag(ctx, read...)
	if err != nil {
		return false, false, fmt.Errorf("consumer lag: %w", err)
	}
	for _, l := range lags {
		if l.Error() != nil || l.Lag.Total() > 0 {
			return false, false, nil
		}
	}
	return true, stopped > 0, nil
}

// heldKeys returns the keys that wait for a person, or for a retry, in the groups of the
// saga, and those whose event a person has discarded.
func heldKeys(ctx context.Context, conns map[string]*pgx.Conn) ([]string, error) {
	keys := []string{}
	for _, group := range groups() {
		if group == projector {
			continue // the saga goes on without it
		}
		found, err := collect(ctx, conns[group], `SELECT key FROM parked_keys
			UNION SELECT key FROM given_up WHERE decision = 'discarded' AND key IS NOT NULL`,
			pgx.RowTo[[]byte])
		if err != nil {
			return nil, fmt.Errorf("%s's parked keys: %w", group, err)
		}
		for _, key := range found {
			if utf8.Valid(key) && !bytes.ContainsRune(key, 0) {
				keys = append(keys, string(key))
			}
		}
	}
	return keys, nil
}

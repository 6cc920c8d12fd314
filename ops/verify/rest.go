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
	// tickEvery is the polling interval.
	tickEvery = 250 * time.Millisecond
	// calmTicks is more than one because an event may be between its outbox and its consumer.
	calmTicks = 2
	// calmTicksHeld applies while orders are held. Their state does not show whether they are still
	// under way: the carrier or a worker may move them.
	calmTicksHeld = 12
)

// rest waits until nothing moves: every order of the event store has ended, needs attention, has a
// saga that needs it, or is held by a failed event; every outbox is drained; every group has read its
// topics and retry topics to the end; no mail is to be sent; no retry is due before the wait ends. When
// settle is over, rest returns nil all the same: the checks report what still moves.
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
		calm, held, err := atRest(ctx, src, adm, conns, deadline)
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

// atRest checks once. held reports whether some orders have not ended because a failed event holds
// them, or because their sagas ask for attention.
func atRest(ctx context.Context, src Sources, adm *kadm.Client, conns map[string]*pgx.Conn, deadline time.Time) (calm, held bool, err error) {
	waiting := false // there are retries due after the end of this wait
	for _, service := range installed(conns) {
		var unpublished, due, later int
		err := conns[service].QueryRow(ctx, `SELECT (SELECT count(*) FROM outbox_queue),
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
	if calm, err := noMailDue(ctx, conns[mailer]); err != nil || !calm {
		return false, false, err
	}
	keys, err := heldKeys(ctx, conns)
	if err != nil {
		return false, false, err
	}
	var moving, stopped int
	err = conns["order"].QueryRow(ctx, `SELECT count(*) FILTER (WHERE NOT held), count(*) FILTER (WHERE held) FROM (
		SELECT right(stream_id, 36) = ANY ($1) AS held FROM events GROUP BY stream_id
		HAVING bool_or(event_type = 'OrderCreated')
			AND NOT bool_or(event_type IN ('OrderCancelled', 'OrderDelivered', 'OrderNeedsAttention'))) AS under_way`, keys).Scan(&moving, &stopped)
	if err != nil || moving > 0 {
		return false, false, err
	}
	read := installed(conns)
	if !waiting { // otherwise a retry topic is not read to its end
		for _, group := range installed(conns) {
			read = append(read, consumer.RetryGroup(group))
		}
	}
	lags, err := adm.Lag(ctx, read...)
	if err != nil {
		return false, false, fmt.Errorf("consumer lag: %w", src.kafkaAway(err))
	}
	for _, l := range lags {
		if l.Error() != nil || l.Lag.Total() > 0 {
			return false, false, nil
		}
	}
	return true, stopped > 0, nil
}

// heldKeys returns the keys that wait for an operator or for a retry in the groups of the saga, those
// whose event an operator has discarded, and the orders whose sagas ask for attention.
func heldKeys(ctx context.Context, conns map[string]*pgx.Conn) ([]string, error) {
	keys := []string{}
	for _, group := range installed(conns) {
		if !inSaga(group) {
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
	asking, err := sagasAsking(ctx, conns)
	return append(keys, asking...), err
}

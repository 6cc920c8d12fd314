package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

// rest waits until nothing moves: every order of the event store has ended or
// asks for attention, every outbox is drained, every group has read to the end.
// When settle is over it returns nil all the same: what still moves is then for
// the checks to report.
func rest(ctx context.Context, src Sources, conns map[string]*pgx.Conn, settle time.Duration) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(src.Brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	deadline := time.Now().Add(settle)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	quiet := 0
	for {
		calm, err := atRest(ctx, adm, conns)
		if err != nil {
			return err
		}
		if calm {
			quiet++
		} else {
			quiet = 0
		}
		// Twice in a row: an event may be between its outbox and its consumer.
		if quiet == 2 || time.Now().After(deadline) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func atRest(ctx context.Context, adm *kadm.Client, conns map[string]*pgx.Conn) (bool, error) {
	var moving int
	err := conns["order"].QueryRow(ctx, `SELECT count(DISTINCT stream_id) FROM events a WHERE NOT EXISTS (
		SELECT 1 FROM events b WHERE b.stream_id = a.stream_id
		AND b.event_type IN ('OrderCancelled', 'OrderDelivered', 'OrderNeedsAttention'))`).Scan(&moving)
	if err != nil || moving > 0 {
		return false, err
	}
	for service, c := range conns {
		if err := c.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE published_at IS NULL`).Scan(&moving); err != nil {
			return false, fmt.Errorf("%s's outbox: %w", service, err)
		}
		if moving > 0 {
			return false, nil
		}
	}
	lags, err := adm.Lag(ctx, slices.Sorted(maps.Keys(conns))...) // a group is named as its service
	if err != nil {
		return false, fmt.Errorf("consumer lag: %w", err)
	}
	for _, l := range lags {
		if l.Error() != nil || l.Lag.Total() > 0 {
			return false, nil
		}
	}
	return true, nil
}

// readTopics reads every topic of the catalogue, and every retry and dead-letter
// topic, from offset 0 to the end as of now.
func readTopics(ctx context.Context, src Sources) ([]Record, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(src.Brokers...))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	listed, err := adm.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range listed.Names() {
		if !listed[t].IsInternal {
			names = append(names, t)
		}
	}
	ends, err := adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	begins, err := adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	starts := map[string]map[int32]kgo.Offset{}
	left := 0
	want := map[string]map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if first, _ := begins.Lookup(o.Topic, o.Partition); first.Offset >= o.Offset {
			return // empty, or emptied by retention: there is no record to wait for
		}
		if starts[o.Topic] == nil {
			starts[o.Topic], want[o.Topic] = map[int32]kgo.Offset{}, map[int32]int64{}
		}
		starts[o.Topic][o.Partition] = kgo.NewOffset().AtStart()
		want[o.Topic][o.Partition] = o.Offset
		left++
	})
	if left == 0 {
		return nil, nil
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(src.Brokers...), kgo.ConsumePartitions(starts))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	codec := schema.NewCodec(schema.NewClient(src.RegistryURL))
	var out []Record
	for left > 0 {
		fetches := reader.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if errors := fetches.Errors(); len(errors) > 0 {
			return nil, fmt.Errorf("fetch %s: %w", errors[0].Topic, errors[0].Err)
		}
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			end, open := want[r.Topic][r.Partition]
			if !open {
				return
			}
			if r.Offset < end {
				rec, err := recordOf(ctx, codec, r)
				if err != nil {
					failed = err
				}
				out = append(out, rec)
			}
			if r.Offset >= end-1 {
				delete(want[r.Topic], r.Partition)
				left--
			}
		})
		if failed != nil {
			return nil, failed
		}
	}
	slices.SortStableFunc(out, func(a, b Record) int {
		switch {
		case a.Topic != b.Topic:
			if a.Topic < b.Topic {
				return -1
			}
			return 1
		case a.Partition != b.Partition:
			return int(a.Partition - b.Partition)
		default:
			return int(a.Offset - b.Offset)
		}
	})
	return out, nil
}

// recordOf decodes what can be decoded; a record that is no event keeps its
// place with a zero id. Only a registry that does not answer is an error.
func recordOf(ctx context.Context, codec *schema.Codec, r *kgo.Record) (Record, error) {
	rec := Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Time: r.Timestamp}
	hs := make([]events.Header, len(r.Headers))
	deadLetter := ""
	for i, h := range r.Headers {
		hs[i] = events.Header{Key: h.Key, Value: h.Value}
		if h.Key == "dlq_id" && strings.HasSuffix(r.Topic, ".dlq") {
			deadLetter = string(h.Value)
		}
	}
	if deadLetter != "" {
		// The dead letter is an outbox row of its own; the event inside is its cargo.
		id, err := uuid.Parse(deadLetter)
		if err == nil {
			rec.ID, rec.Type = id, "dead letter"
		}
		return rec, nil
	}
	env, err := events.ParseEnvelope(hs)
	if err != nil {
		return rec, nil
	}
	rec.ID, rec.Type, rec.Version, rec.Causation = env.ID, env.Type, env.AggregateVersion, env.CausationID
	t, ok := events.Lookup(env.Type)
	if !ok || t.Topic != r.Topic {
		return rec, nil
	}
	event, err := codec.Decode(ctx, t, r.Value)
	switch {
	case err == nil:
		rec.Event = event
	case errs.KindOf(err) != errs.Hopeless:
		return rec, err
	}
	return rec, nil
}

package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
)

// readRows finds what to send next. There is no "seq > last" in it: sequence
// numbers are drawn before the commit, so a lower one may become visible later,
// and a cursor would skip it for ever. What this relay has in memory is excluded
// instead. NOT IN is deliberate: it becomes a hashed filter, which keeps the
// order of the index and so lets LIMIT end the scan, whereas an anti-join would
// sort the whole backlog. The join with the lease makes a relay that lost its
// shards read nothing. The running sum bounds memory; the first row always comes.
const readRows = readFrom + readOn + ` AND EXISTS (SELECT FROM outbox_mode WHERE mode = 'polling')` + readTo

// readRest is for mode debezium: raw rows, and what is published again. See Mode.
const readRest = readFrom + ` AND (o.ce_specversion IS NULL OR o.publication > 1)` + readOn + readTo

const readFrom = `
SELECT seq, id, shard, topic, key, payload, created_at, size, publication,
	event_type, aggregate_id, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid,
	content_type, traceparent, tracestate, headers
FROM (
	SELECT r.*, sum(r.size) OVER (ORDER BY r.seq) - r.size AS before
	FROM outbox_lease l CROSS JOIN LATERAL (
		SELECT o.*, coalesce(octet_length(o.payload), 0) + coalesce(octet_length(o.key), 0)
			+ coalesce(pg_column_size(o.headers), 0) AS size
		FROM outbox o
		WHERE o.shard = l.shard AND o.published_at IS NULL`

const readOn = `
			AND o.seq NOT IN (SELECT unnest($3::bigint[]))
			AND o.topic <> ALL ($4::text[])
			AND (o.key IS NULL OR (o.topic, o.key) NOT IN (SELECT t, k FROM unnest($5::text[], $6::bytea[]) AS held (t, k)))
		ORDER BY o.seq
		LIMIT $7
	) r
	WHERE l.holder = $1 AND l.shard = ANY ($2::smallint[]) AND l.expires_at > clock_timestamp()`

const readTo = `
) w
WHERE before < $8
ORDER BY seq`

// readLoop reads and sends until ctx is done.
func (r *Relay) readLoop(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		r.at(beforeRead)
		v := r.flight.view(r.clock(), r.cfg.MaxInFlight)
		r.followRecreated() // after the look: with shards to read, the end of a hold is noted
		r.replaceRefused()
		room := r.cfg.MaxInFlight - len(v.inFlight)
		roomBytes := r.cfg.MaxInFlightBytes - v.bytes
		// Below half a batch of room, reads would be many and small.
		if room < (r.cfg.BatchSize+1)/2 || roomBytes <= 0 || len(v.shards) == 0 {
			r.wait(ctx, v.nextDue, nil)
			continue
		}
		more, err := r.readOnce(ctx, v, min(room, r.cfg.BatchSize), roomBytes)
		if ctx.Err() != nil {
			return
		}
		r.trouble("read", err)
		if err != nil {
			sleep(ctx, min(pause(failures), 5*time.Second))
			failures++
			continue
		}
		failures = 0
		if !more {
			r.wait(ctx, v.nextDue, r.out.wake)
		}
	}
}

// wait returns on a wake-up, when there is news from the producer and no
// wake-up is listened to, when a hold ends, or when it is time to poll.
func (r *Relay) wait(ctx context.Context, due time.Time, wake <-chan struct{}) {
	d := r.cfg.PollEvery
	if !due.IsZero() {
		d = min(d, max(0, due.Sub(r.clock())))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	progress := r.flight.progress
	if wake != nil {
		progress = r.flight.reread
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	case <-progress:
	}
}

// statementTimeout bounds a statement of the relay. A connection that died without a
// word would otherwise hold its loop until the system gives it up after a quarter of
// an hour, while the leases go on over another one.
const statementTimeout = 15 * time.Second

// readOnce reads one batch and sends it. more says that there may be further
// rows to read at once.
func (r *Relay) readOnce(ctx context.Context, v view, limit, limitBytes int) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	perShard := (limit + len(v.shards) - 1) / len(v.shards)
	query := readRows
	if *r.mode.Load() == Debezium {
		query = readRest
	}
	rows, err := r.pool.Query(ctx, query, r.id, v.shards, slices.Concat(v.inFlight, v.laneRows), v.topics, v.laneTopics, v.laneKeys, perShard, limitBytes)
	if err != nil {
		return false, fmt.Errorf("read outbox: %w", postgres.Classify(err))
	}
	records, err := pgx.CollectRows(rows, scanRecord)
	if err != nil {
		return false, fmt.Errorf("read outbox: %w", postgres.Classify(err))
	}
	size := 0
	counts := map[int16]int{}
	for _, rec := range records {
		size += rec.size
		counts[rec.shard]++
		more = more || counts[rec.shard] >= perShard
	}
	r.at(beforeAdmit)
	send, ok := r.flight.admit(records, v.generation, r.clock())
	if !ok {
		return true, nil
	}
	for _, rec := range records {
		r.readOf[rec.lane.topic] = true
	}
	for _, rec := range send {
		r.send(rec)
	}
	return more || size >= limitBytes, nil
}

// send gives a record to the producer. The context is not that of Run: giving up
// on a record whose request may be on its way would leave its fate unknown, and a
// stop waits for it anyway.
func (r *Relay) send(rec *record) {
	if rec.broken != nil {
		r.sent(rec, rec.broken)
		return
	}
	r.company.get().Produce(context.Background(), rec.kafka, func(_ *kgo.Record, err error) {
		r.at(afterReplied)
		r.sent(rec, err)
	})
}

// followRecreated takes new clients when topics were deleted and made again. The ones that it
// has would refuse their records for ever: kgo never takes over a new topic id by itself.
// To make the client forget the topic would not do: it would count the topic's batches from
// the beginning again, under the same producer id, and a broker that has the topic still
// takes the first ones for repetitions, acknowledges them, and drops them. It is called by
// the read loop, because it waits for the client and a promise must not.
func (r *Relay) followRecreated() {
	r.mu.Lock()
	if r.released {
		maps.Copy(r.recreated, r.readOf)
		r.released = false
	}
	topics := slices.Sorted(maps.Keys(r.recreated))
	clear(r.recreated)
	r.mu.Unlock()
	if len(topics) == 0 {
		return
	}
	r.cfg.Logger.Warn("topics were made again, or may have been, while the outbox relay runs", "topics", topics)
	for _, p := range r.producers() {
		if err := r.open(p); err != nil {
			r.cfg.Logger.Error("outbox relay can not make another Kafka client", "error", err)
		}
	}
}

// sent is the producers' promise.
func (r *Relay) sent(rec *record, err error) {
	now := r.clock()
	if err == nil {
		r.metrics.published.WithLabelValues(rec.lane.topic).Inc()
		r.metrics.seconds.Observe(max(0, now.Sub(rec.created).Seconds()))
		if next := r.flight.acknowledged(rec, now); next != nil {
			r.send(next)
		}
		return
	}
	if r.sendAgainAlone(rec, err) {
		return
	}
	if errors.Is(err, kerr.UnknownTopicID) {
		r.mu.Lock()
		r.recreated[rec.lane.topic] = true
		r.mu.Unlock()
	}
	wide := topicWide(err)
	h := r.flight.refused(rec, err, wide, now)
	if givenUp(err) {
		return
	}
	r.metrics.errors.WithLabelValues("produce").Inc()
	r.suspect.Store(true)
	r.metrics.refusals.WithLabelValues(rec.lane.topic, reason(err)).Inc()
	if h.quiet {
		return
	}
	r.cfg.Logger.Warn("broker refused an outbox record; later ones of its key wait", "error", err,
		"topic", rec.lane.topic, "key", rec.lane.key, "event_id", rec.id, "attempts", h.attempts,
		"whole_topic", wide, "next_try_in", h.until.Sub(now).String())
}

// scanRecord never fails because of what is in a row: one that can not be made a record is
// refused like one that the broker does not take, and holds back its key only.
func scanRecord(row pgx.CollectableRow) (*record, error) {
	var (
		rec                                         record
		key, payload, headers                       []byte
		eventType, subject                          string
		source, at, correlation, causation, content *string
		parent, state                               *string
		version                                     *int64
	)
	err := row.Scan(&rec.seq, &rec.id, &rec.shard, &rec.lane.topic, &key, &payload, &rec.created, &rec.size, &rec.publication,
		&eventType, &subject, &source, &at, &version, &correlation, &causation, &content, &parent, &state, &headers)
	if err != nil {
		return nil, err
	}
	rec.lane.key = string(key)
	if key == nil {
		rec.lane.row = rec.seq
	}
	rec.kafka = &kgo.Record{Topic: rec.lane.topic, Key: key, Value: payload}
	if source != nil {
		e := events.Envelope{
			ID: rec.id, Source: *source, Type: eventType, Subject: subject,
			CorrelationID: text(correlation), CausationID: text(causation), ContentType: text(content),
			TraceParent: text(parent), TraceState: text(state),
		}
		if version != nil {
			e.AggregateVersion = *version
		}
		if e.Time, err = time.Parse(time.RFC3339Nano, text(at)); err != nil {
			rec.broken = fmt.Errorf("ce_time of outbox row %s: %w", rec.id, err)
		}
		addHeaders(rec.kafka, e.Headers()...)
	}
	if headers != nil {
		var stored []events.Header
		if err := json.Unmarshal(headers, &stored); err != nil {
			rec.broken = fmt.Errorf("headers of outbox row %s: %w", rec.id, err)
		}
		addHeaders(rec.kafka, stored...)
	}
	return &rec, nil
}

func addHeaders(rec *kgo.Record, hs ...events.Header) {
	for _, h := range hs {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

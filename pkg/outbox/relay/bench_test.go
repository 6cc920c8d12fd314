package relay

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
)

// BenchmarkRelayBacklog publishes 100,000 rows of 20,000 keys, the backlog after a broker was
// unavailable. The target is 10,000 rows/s on two cores, database and broker included.
func BenchmarkRelayBacklog(b *testing.B) {
	const rows, distinct = 100_000, 20_000
	for range b.N {
		b.StopTimer()
		f := newFixture(b, kafkatest.Start(b, testTopic))
		all := outboxtest.Keys(rows, distinct)
		for ; len(all) > 0; all = all[5000:] {
			f.Append(b, all[:5000]...)
		}
		r := New(f.Pool, f.Out, Config{Brokers: f.brokers})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		b.StartTimer()
		go func() { done <- r.Run(ctx) }()
		f.awaitPublished(b)
		b.StopTimer()
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		f.verify(b)
		b.StartTimer()
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkReadAndProduce is the limit of [BenchmarkRelayBacklog]: one query reads the same rows, and
// the producer sends them. Nothing is marked.
func BenchmarkReadAndProduce(b *testing.B) {
	const rows, distinct = 100_000, 20_000
	for range b.N {
		b.StopTimer()
		f := newFixture(b, kafkatest.Start(b, testTopic))
		all := outboxtest.Keys(rows, distinct)
		for ; len(all) > 0; all = all[5000:] {
			f.Append(b, all[:5000]...)
		}
		producers := newProducers(Config{Brokers: f.brokers}.withDefaults())
		if err := producers.open(&producers.batched); err != nil {
			b.Fatal(err)
		}
		client := producers.batched.get()
		b.StartTimer()
		found, err := f.Pool.Query(b.Context(), `SELECT seq, 0::bigint, id, shard, topic, key, payload, created_at, 0,
			event_type, aggregate_id, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid,
			content_type, traceparent, tracestate, headers FROM outbox ORDER BY id`)
		if err != nil {
			b.Fatal(err)
		}
		_, err = pgx.CollectRows(found, func(row pgx.CollectableRow) (struct{}, error) {
			rec, err := scanRecord(row)
			if err == nil {
				client.Produce(b.Context(), rec.kafka, nil)
			}
			return struct{}{}, err
		})
		if err == nil {
			err = client.Flush(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		client.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkMark marks 50,000 rows in batches of the relay: by an entry in the queue each, and as the
// release before did, by updating the rows.
func BenchmarkMark(b *testing.B) {
	const rows = 50_000
	for _, c := range []struct {
		name string
		mark func(f *fixture, batch []*record) error
	}{
		{"queue", func(f *fixture, batch []*record) error {
			return New(f.Pool, f.Out, Config{}).table.mark(context.Background(), batch)
		}},
		{"update", func(f *fixture, batch []*record) error {
			ids := make([]uuid.UUID, len(batch))
			for i, rec := range batch {
				ids[i] = rec.id
			}
			var p pgx.Batch
			p.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
			p.Queue(formerMark, ids, ids[0], ids[len(ids)-1], 1)
			return f.Pool.SendBatch(context.Background(), &p).Close()
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var wal int64
			for range b.N {
				b.StopTimer()
				f := newFixture(b, nil)
				if c.name == "update" { // a table of the release before
					f = newBeforeUpgrade(b, nil)
				}
				p := f.before()
				for n := range rows / 5000 {
					p.insertMany(b, n*5000, 5000)
				}
				batches := slices.Collect(slices.Chunk(f.allRows(b), markBatch))
				before := f.wal(b)
				b.StartTimer()
				for _, batch := range batches {
					if err := c.mark(f, batch); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				wal += f.wal(b) - before
				b.StartTimer()
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(wal)/float64(rows*b.N), "WAL-bytes/row")
		})
	}
}

// insertMany appends rows as the release before did, whose tables and the present ones take them.
func (p before) insertMany(b *testing.B, from, n int) {
	b.Helper()
	p.Exec(b, `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload,
		ce_specversion, ce_source, ce_time, ce_aggregateversion, ce_correlationid, ce_causationid, content_type, traceparent, tracestate)
		SELECT id, shard, 'Sample', key, 'Happened', 'sample.events', convert_to(key, 'UTF8'), decode(repeat('ab', 300), 'hex'),
			'1.0', '/test', '2026-03-01T12:00:00.000000Z', 1, key, id::text, 'application/avro', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', ''
		FROM (SELECT (lpad(to_hex((1.8e12)::bigint + n), 12, '0') || '7000' || '8' || substr(md5(n::text), 1, 15))::uuid AS id, n % 4 AS shard,
			substr(md5(n::text), 1, 32) || 'abcd' AS key FROM generate_series($1::int, $1::int + $2::int - 1) n) r`, from, n)
}

// allRows returns all rows with the numbers of their first publications.
func (f *fixture) allRows(b *testing.B) (all []*record) {
	b.Helper()
	rows, err := f.Pool.Query(b.Context(), `SELECT seq, id, shard FROM outbox ORDER BY seq`)
	if err != nil {
		b.Fatal(err)
	}
	all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*record, error) {
		rec := record{publication: 1}
		return &rec, row.Scan(&rec.seq, &rec.id, &rec.shard)
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

func (f *fixture) wal(b *testing.B) (bytes int64) {
	b.Helper()
	if err := f.Pool.QueryRow(b.Context(), `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint`).Scan(&bytes); err != nil {
		b.Fatal(err)
	}
	return bytes
}

// BenchmarkRelayLatency measures one event from after its commit until a consumer has the record.
func BenchmarkRelayLatency(b *testing.B) {
	f := newFixture(b, kafkatest.Start(b, testTopic))
	r := f.start(b, Config{PollEvery: time.Hour})
	kafkatest.Eventually(b, "the relay to lead", func() bool { return f.Holders(b)[r.table.id] == outbox.Shards })
	consumer := kafkatest.NewClient(b, f.brokers, kgo.ConsumeTopics(testTopic.Name))
	var spent time.Duration
	for b.Loop() {
		f.Append(b, "k")
		started := time.Now()
		f.Out.Wake()
		if err := consumer.PollFetches(context.Background()).Err(); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(started)
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "µs/event")
}

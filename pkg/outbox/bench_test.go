package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/kafkatest"
)

// BenchmarkRelayBacklog drains 100,000 rows of 20,000 keys, which a service finds
// after its broker was away. The aim is 10,000 rows/s on two cores, database and
// broker included.
func BenchmarkRelayBacklog(b *testing.B) {
	const rows, distinct = 100_000, 20_000
	for range b.N {
		b.StopTimer()
		f := newFixture(b, kafkatest.Start(b, testTopic))
		all := keys(rows, distinct)
		for ; len(all) > 0; all = all[5000:] {
			f.append(b, all[:5000]...)
		}
		r := NewRelay(f.pool, f.out, RelayConfig{Brokers: f.brokers})
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

// BenchmarkRelayLatency is the way of one event: from after its commit to the
// record being at a consumer.
func BenchmarkRelayLatency(b *testing.B) {
	f := newFixture(b, kafkatest.Start(b, testTopic))
	r := f.start(b, RelayConfig{PollEvery: time.Hour})
	kafkatest.Eventually(b, "the relay to lead", func() bool { return f.holders(b)[r.id] == shards })
	consumer := kafkatest.NewClient(b, f.brokers, kgo.ConsumeTopics(testTopic.Name))
	var spent time.Duration
	for b.Loop() {
		f.append(b, "k")
		started := time.Now()
		f.out.Wake()
		if err := consumer.PollFetches(context.Background()).Err(); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(started)
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "µs/event")
}

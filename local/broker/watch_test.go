package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/local/broker"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
)

func TestSharesOfAGroup(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, event.Topic{Name: "t", Partitions: 5})
	admin := kadm.NewClient(kafkatest.NewClient(t, brokers))
	wait := func(members, partitions int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			shares, err := broker.Shares(ctx, admin, "g")
			sum := 0
			for _, n := range shares {
				sum += n
			}
			if err == nil && len(shares) == members && sum == partitions {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("shares are %v (%v), want %d of %d members", shares, err, partitions, members)
			}
		}
	}
	join := func() *kgo.Client {
		cl := kafkatest.NewClient(t, brokers, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.HeartbeatInterval(100*time.Millisecond))
		go func() {
			for !cl.PollFetches(t.Context()).IsClientClosed() && t.Context().Err() == nil {
			}
		}()
		return cl
	}
	first := join()
	wait(1, 5)
	second := join()
	wait(2, 5)
	second.Close()
	wait(1, 5)
	first.Close()
	wait(0, 0)
}

func TestCountOfTopicsByTheirEnd(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, event.Topic{Name: "a.dlq", Partitions: 2}, event.Topic{Name: "b.dlq", Partitions: 1}, event.Topic{Name: "b", Partitions: 1})
	kafkatest.Produce(t, brokers,
		&kgo.Record{Topic: "a.dlq", Value: []byte("1")}, &kgo.Record{Topic: "a.dlq", Value: []byte("2")},
		&kgo.Record{Topic: "b.dlq", Value: []byte("3")}, &kgo.Record{Topic: "b", Value: []byte("4")})
	n, err := broker.Count(t.Context(), kadm.NewClient(kafkatest.NewClient(t, brokers)), ".dlq")
	if n != 3 || err != nil {
		t.Errorf("counted %d, %v; want 3", n, err)
	}
}

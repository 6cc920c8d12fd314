package kafkatest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
)

func TestReadAllReturnsWhatTheTopicHolds(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, event.Topic{Name: "things", Partitions: 3}, event.Topic{Name: "nothing", Partitions: 1})
	var want []string
	var records []*kgo.Record
	for partition := range int32(2) { // the third stays empty
		for n := range 5 {
			value := fmt.Sprintf("%d/%d", partition, n)
			want = append(want, value)
			records = append(records, &kgo.Record{Topic: "things", Partition: partition, Value: []byte(value)})
		}
	}
	producer := kafkatest.NewClient(t, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := producer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range kafkatest.ReadAll(t, brokers, "things") {
		got = append(got, string(r.Value))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := kafkatest.ReadAll(t, brokers, "nothing"); len(got) != 0 {
		t.Errorf("%d records of an empty topic", len(got))
	}
	kafkatest.Produce(t, brokers, &kgo.Record{Topic: "nothing", Value: []byte("something")})
	if got := kafkatest.ReadAll(t, brokers, "nothing"); len(got) != 1 {
		t.Errorf("%d records, want the one produced", len(got))
	}
}

func TestTopicsHaveTheirSettings(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, event.Topic{Name: "things", Partitions: 6, Config: map[string]string{"retention.ms": "-1", "cleanup.policy": "compact"}})
	admin := kadm.NewClient(kafkatest.NewClient(t, brokers))
	topics, err := admin.ListTopics(context.Background(), "things")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(topics["things"].Partitions); got != 6 {
		t.Errorf("%d partitions, want 6", got)
	}
	configs, err := admin.DescribeTopicConfigs(context.Background(), "things")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range configs[0].Configs {
		got[c.Key] = c.MaybeValue()
	}
	if got["retention.ms"] != "-1" || got["cleanup.policy"] != "compact" {
		t.Errorf("settings: %v", got)
	}
}

func TestEventually(t *testing.T) {
	t.Parallel()
	calls := 0
	kafkatest.Eventually(t, "the third call", func() bool { calls++; return calls == 3 })
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}

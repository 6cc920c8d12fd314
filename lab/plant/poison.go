package plant

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Poison writes undecodable records to every partition of the topics, three of different kinds on
// each: bytes without headers, bytes with headers whose id is invalid, and a tombstone without key.
// The marker is part of the bytes, so that they can be found again. It returns the number of
// records per topic.
func Poison(ctx context.Context, brokers []string, marker string, topics ...string) (perTopic map[string]int, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	known, err := kadm.NewClient(cl).ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("look up the topics for poison records: %w", err)
	}
	perTopic = map[string]int{}
	for _, topic := range topics {
		if len(known[topic].Partitions) == 0 {
			return nil, fmt.Errorf("put poison records on %s: there is no such topic", topic)
		}
		for partition := range known[topic].Partitions {
			key, value := []byte("\xff\x00key"), []byte("\x00\x00\x00\x00\x63 "+marker)
			records := []*kgo.Record{
				{Topic: topic, Partition: partition, Key: key, Value: value},
				{Topic: topic, Partition: partition, Key: key, Value: value, Headers: []kgo.RecordHeader{
					{Key: "ce_id", Value: []byte("not-a-uuid")}, {Key: "ce_type", Value: []byte("OrderCreated")},
				}},
				{Topic: topic, Partition: partition},
			}
			if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
				return nil, fmt.Errorf("put poison records on %s: %w", topic, err)
			}
			perTopic[topic] += len(records)
		}
	}
	return perTopic, nil
}

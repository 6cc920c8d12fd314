package plant

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Rubbish puts records that are no events on every partition of the topics, three of
// different kinds on each: bytes without headers, with headers whose id is none, and a
// tombstone without key. The marker is part of the bytes, for finding them again. It
// returns how many there are on each topic.
func Rubbish(ctx context.Context, brokers []string, marker string, topics ...string) (perTopic map[string]int, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	known, err := kadm.NewClient(cl).ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("look up the topics for rubbish: %w", err)
	}
	perTopic = map[string]int{}
	for _, topic := range topics {
		if len(known[topic].Partitions) == 0 {
			return nil, fmt.Errorf("put rubbish on %s: there is no such topic", topic)
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
				return nil, fmt.Errorf("put rubbish on %s: %w", topic, err)
			}
			perTopic[topic] += len(records)
		}
	}
	return perTopic, nil
}

package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/local/topics"
	"eventshop.example/pkg/events"
)

// Ping asks the cluster for its metadata. It tells that the broker answers, not
// only that the port is open.
func Ping(ctx context.Context, brokers ...string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Ping(ctx)
}

// CreateTopics creates the topics that do not exist yet, as [topics.Create] does.
func CreateTopics(ctx context.Context, brokers []string, declared ...events.Topic) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	return topics.Create(ctx, client, declared, 0)
}

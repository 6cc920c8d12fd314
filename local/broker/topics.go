package broker

import (
	"context"

	"eventshop.example/ops/topics"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafka"
)

// Ping requests the cluster's metadata. Success means that the broker answers, not only that the
// port is open.
func Ping(ctx context.Context, cluster kafka.Cluster) error {
	client, err := cluster.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Ping(ctx)
}

// CreateTopics creates the missing topics, as [topics.Create] does.
func CreateTopics(ctx context.Context, cluster kafka.Cluster, declared ...event.Topic) error {
	client, err := cluster.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	return topics.Create(ctx, client, declared, 0)
}

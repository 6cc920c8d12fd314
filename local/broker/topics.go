package broker

import (
	"context"

	"eventshop.example/local/topics"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
)

// Ping asks the cluster for its metadata. It tells that the broker answers, not
// only that the port is open.
func Ping(ctx context.Context, cluster kafka.Cluster) error {
	client, err := cluster.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Ping(ctx)
}

// CreateTopics creates the topics that do not exist yet, as [topics.Create] does.
func CreateTopics(ctx context.Context, cluster kafka.Cluster, declared ...events.Topic) error {
	client, err := cluster.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	return topics.Create(ctx, client, declared, 0)
}

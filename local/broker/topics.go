package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

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

// CreateTopics creates the topics that do not exist yet. Those that exist are
// left as they are: an operator may have changed them.
func CreateTopics(ctx context.Context, brokers []string, topics ...events.Topic) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for _, t := range topics {
		config := map[string]*string{}
		for k, v := range t.Config {
			config[k] = &v
		}
		// -1: the broker's own default of replicas.
		res, err := admin.CreateTopic(ctx, t.Partitions, -1, config, t.Name)
		if err == nil {
			err = res.Err
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", t.Name, err)
		}
	}
	return nil
}

package events

import (
	"maps"
	"strconv"
	"time"
)

// Names of the topics. The key of every record is the order id.
const (
	TopicOrderEvents        = "order.events"
	TopicPaymentEvents      = "payment.events"
	TopicInventoryEvents    = "inventory.events"
	TopicShippingEvents     = "shipping.events"
	TopicOrderNotifications = "order.notifications"
	TopicOrderSnapshots     = "order.snapshots"
)

// Partitions is how many partitions a topic has unless the operator changes it: a few
// times the replicas a service is likely to run with, and divisible by 2 and 3 so that
// these get equal shares.
const Partitions int32 = 6

const (
	// notificationRetention: whoever missed a notification for a week asks the order
	// service instead.
	notificationRetention = 7 * 24 * time.Hour
	// retryRetention is far beyond the last scheduled attempt, so that a consumer
	// group that is down over a long weekend loses no retry.
	retryRetention = 14 * 24 * time.Hour
	// deadLetterRetention gives people a month to decide about a dead letter.
	deadLetterRetention = 30 * 24 * time.Hour
)

// Topic says how a topic is to be created.
type Topic struct {
	Name       string
	Partitions int32
	// Config holds Kafka topic configs by their names, for example "retention.ms".
	Config map[string]string
}

// Topics returns the topics the producers write to, without the retry and dead-letter
// topics, which belong to consumer groups.
//
// The *.events topics keep everything, so that a projection can be rebuilt
// from offset 0. They are never compacted: every event counts, not only the last.
func Topics() []Topic {
	forever := map[string]string{
		"cleanup.policy":  "delete",
		"retention.ms":    "-1",
		"retention.bytes": "-1",
	}
	return []Topic{
		topic(TopicOrderEvents, forever),
		topic(TopicPaymentEvents, forever),
		topic(TopicInventoryEvents, forever),
		topic(TopicShippingEvents, forever),
		topic(TopicOrderNotifications, expiring(notificationRetention)),
		topic(TopicOrderSnapshots, map[string]string{"cleanup.policy": "compact"}),
	}
}

// DeadLetterTopic returns the topic "<topic>.<group>.dlq" for the records of a topic
// that a consumer group gave up on. It has as many partitions as the original, so that
// a key keeps its partition number.
func DeadLetterTopic(original, group string) Topic {
	return topic(original+"."+group+".dlq", expiring(deadLetterRetention))
}

// RetryTopic returns the topic "<topic>.<group>.retry" for the records of a topic that
// a consumer group will try again. It has as many partitions as the original.
func RetryTopic(original, group string) Topic {
	return topic(original+"."+group+".retry", expiring(retryRetention))
}

func topic(name string, config map[string]string) Topic {
	return Topic{Name: name, Partitions: Partitions, Config: maps.Clone(config)}
}

func expiring(after time.Duration) map[string]string {
	return map[string]string{
		"cleanup.policy": "delete",
		"retention.ms":   strconv.FormatInt(after.Milliseconds(), 10),
	}
}
